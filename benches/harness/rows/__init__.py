"""The rows: one module for each kind. A row has `name`, `about` and `run(bench)`, which returns what the table shows."""


def all_rows():
    """Every row, in the table's order."""
    from .events import Events
    from .fanout import Fanout
    from .flood import Flood
    from .intake import Import, Publishes, Registrations
    from .latency import Latency
    from .nodes import Nodes
    from .postgres import PostgresPublishes
    from .size import Memory, Start, Workers

    fanouts = [Fanout("apns"), Fanout("fcm"), Fanout("web")]
    intake = [Publishes(), PostgresPublishes(), Nodes()]
    return [*fanouts, Workers(), *intake, Latency(), Flood(), Memory(), Registrations(), Events(), Import(), Start()]
