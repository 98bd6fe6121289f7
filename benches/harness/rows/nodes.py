"""One, two and three nodes on one PostgreSQL, and one on SQLite, in turns."""

import contextlib
import json
import time
from concurrent.futures import ThreadPoolExecutor
from statistics import median

from .. import database, heliostat, postgres, processes
from .intake import CONNECTIONS, CONNECTIONS_TO_NODES, Publishes, load

NODES = [1, 2, 3]
INTEREST = "apns"
# How many fan-outs, of a device of each user, are published at once: several for each node, since a fan-out of that length is one
# job, which one node works on at a time.
FAN_OUTS, FAN_OUTS_QUICK = 40, 12


class Nodes:
    """Publishes accepted, and deliveries of fan-outs, per second of all nodes together."""

    name = "nodes"
    about = "nodes on one PostgreSQL"

    def __init__(self):
        self.payloads = json.dumps({"apns": heliostat.PAYLOADS["apns"]})

    def run(self, bench):
        seconds = bench.size(8, 4)
        sqlite = database.Template(bench, "nodes", {"apns": database.USERS})
        rounds = {key: [] for key in ("pgbench", "sqlite", *NODES)}
        with postgres.running(bench, processes.all_cores()) as url:
            postgres.fill(bench, url)
            for repetition in range(bench.repetitions):
                inserts = postgres.inserts_per_second(
                    bench, url, self.payloads, CONNECTIONS, seconds, processes.all_cores()
                )
                rounds["pgbench"].append(inserts)
                bench.say(f"{self.name}: pgbench {inserts:,.0f}/s")
                # Another one begins each time, so that none always finds the database smallest.
                first = repetition % len(NODES)
                for count in NODES[first:] + NODES[:first]:
                    rounds[count].append(self._measured(bench, url, count, seconds))
                rounds["sqlite"].append(self._measured(bench, sqlite.copy(), 1, seconds))
        return {"what": self.about, "rows": table(rounds), "rounds": {str(key): done for key, done in rounds.items()}}

    def _measured(self, bench, path, count, seconds):
        """What so many nodes do on a database."""
        with contextlib.ExitStack() as stack:
            core = processes.all_but_the_receivers()
            nodes = [stack.enter_context(heliostat.serving(bench, path, core)) for _ in range(count)]
            self._publish(bench, nodes, 1)
            dry(nodes)
            before = sum(settled(node) for node in nodes)
            publishes = self._publish(bench, nodes, seconds)
            dry(nodes)
            behind = sum(settled(node) for node in nodes) - before
            # The load counts what was answered in time; each of those has one device.
            if behind < int(publishes * seconds * 0.99):
                raise processes.Failed(f"{publishes * seconds:,.0f} publishes accepted, but {behind} deliveries settled")
            deliveries, shares = fan_outs(bench, nodes)
        where = "SQLite" if str(path).endswith(".db") else "PostgreSQL"
        bench.say(f"{self.name}: {count} on {where}: {publishes:,.0f} publishes/s, {deliveries:,.0f} deliveries/s")
        return {"publishes": publishes, "deliveries": deliveries, "deliveriesOfNodes": shares}

    def _publish(self, bench, nodes, seconds):
        """Publishes per second that all nodes accept over as many connections as one would have."""
        more = ["--users", database.USERS, "--payloads", self.payloads]

        def one(number):
            connections = CONNECTIONS_TO_NODES // len(nodes) + (number < CONNECTIONS_TO_NODES % len(nodes))
            return load(bench, nodes[number], "publish-user", seconds, *more, connections=connections)

        with ThreadPoolExecutor(len(nodes)) as threads:
            return sum(threads.map(one, range(len(nodes))))


def settled(node):
    return sum(node.deliveries().values())


def dry(nodes):
    """Waits until there is no job; any node tells of those of all."""
    processes.wait_until("the queue running dry", lambda: Publishes.is_dry(nodes[0]), 300, 0.1)


def fan_outs(bench, nodes):
    """Deliveries per second of several fan-outs at once, until all are settled; how many each node did."""
    each, count = database.USERS, FAN_OUTS_QUICK if bench.quick else FAN_OUTS
    total = each * count
    accepted = [node.deliveries().get(("apns", "accepted"), 0) for node in nodes]
    seen, began = bench.receiver.requests(), time.monotonic()
    for number in range(count):
        nodes[number % len(nodes)].publish("interests", [INTEREST], {"apns": heliostat.PAYLOADS["apns"]})
    # The receiver is asked first, since being asked for metrics costs the nodes time.
    processes.wait_until("the fan-outs", lambda: bench.receiver.requests() - seen >= total, 300, 0.02)

    def ended():
        now = [node.deliveries().get(("apns", "accepted"), 0) for node in nodes]
        shares = [after - before for after, before in zip(now, accepted, strict=True)]
        return shares if sum(shares) >= total else None

    shares = processes.wait_until("the settling", ended, 120, 0.02)
    rate = total / (time.monotonic() - began)
    dry(nodes)
    return rate, shares


def table(rounds):
    """Medians of all repetitions, beside pgbench and beside one node."""
    inserts = median(rounds["pgbench"])
    medians = {
        key: {what: median(one[what] for one in rounds[key]) for what in ("publishes", "deliveries")}
        for key in (*NODES, "sqlite")
    }
    lines = []
    for what in ("publishes", "deliveries"):
        single = medians[1][what]
        for key in (*NODES, "sqlite"):
            rate = medians[key][what]
            where = "1 node on SQLite" if key == "sqlite" else f"{key} node{'s' if key > 1 else ''} on one PostgreSQL"
            line = {"what": f"{what}, {where}", "measured": f"{rate:,.0f}/s", "target": ""}
            if what == "publishes" and key != "sqlite":
                line |= {
                    "measured": f"{rate:,.0f}/s, {rate / single:.2f} of one node's",
                    "beside": f"{inserts:,.0f}/s (pgbench, an insert of the same payloads each)",
                    "ratio": rate / inserts,
                    "target": ">= 0.4",
                    "met": rate / inserts >= 0.4,
                }
            else:
                line |= {"beside": f"{single:,.0f}/s (1 node on PostgreSQL)", "ratio": rate / single}
            lines.append(line)
    return lines
