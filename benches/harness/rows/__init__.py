"""The rows: one module for each kind. A row has `name`, `about` and `run(bench)`, which returns what the table shows."""


def all_rows():
    """Every row, in the table's order."""
    from .fanout import Fanout

    return [Fanout("apns"), Fanout("fcm"), Fanout("web")]
