"""What devices report: that they got a publish, that it was opened."""

import itertools
import sqlite3
import uuid
from statistics import median

from .. import commits, database, heliostat, processes
from .intake import CONNECTIONS, load

PUBLISHES = 8
# Of so many requests one repeats the one before, as SDKs do that did not hear the answer.
ONE_REPEATS = 5
# Each round's publishes are read in an interest that nobody has: they end at once, and only reports cost anything.
NOBODY = "nobody-has-this-interest"


class Events:
    """Reports through the reporting API, each durable before it is answered, and counted once."""

    name = "events"
    about = "events reported, durable, one of five a repetition"

    def run(self, bench):
        seconds, rounds = bench.size(10, 5), []
        path = database.devices(bench).copy()
        devices = bench.work / "reporting-devices"
        with sqlite3.connect(path) as rows:
            ids = rows.execute("SELECT id FROM devices WHERE platform = 'apns' ORDER BY device").fetchall()
        devices.write_text("".join(f"apns-{uuid.UUID(bytes=id)}\n" for (id,) in ids), encoding="ascii")
        for _ in range(bench.repetitions):
            limit = commits.events_per_second(path, CONNECTIONS, seconds)
            with heliostat.serving(bench, path) as server:
                for _ in range(PUBLISHES):
                    server.publish("interests", [NOBODY], {"apns": heliostat.PAYLOADS["apns"]})
                publishes = self.newest(path)
                span = processes.Span(server.pid)
                told = load(bench, server, "report", seconds, "--devices", devices, "--publishes", ",".join(publishes), whole=True)
                cost = span.end()
            self.check(path, publishes, told["done"])
            rate = told["done"] / told["seconds"]
            cpu = cost["cpu"] / told["done"] * 1e6
            rounds.append({"events": rate, "cpuMicroseconds": cpu, "limit": limit, "server": cost})
            bench.say(f"{self.name}: {rate:,.0f}/s, {cpu:.1f} us, beside {limit:,.0f}/s")
        rate, cpu, limit = (median(one[key] for one in rounds) for key in ("events", "cpuMicroseconds", "limit"))
        return {
            "what": self.about,
            "measured": f"{rate:,.0f}/s, {cpu:.1f} us CPU",
            "beside": f"{limit:,.0f}/s (SQLite alone, {CONNECTIONS} per commit)",
            "ratio": rate / limit,
            "target": ">= 10,000/s",
            "met": rate >= 10_000,
            "rounds": rounds,
        }

    @staticmethod
    def newest(path):
        """The ids of the publishes that this round made."""
        with sqlite3.connect(path) as rows:
            ids = rows.execute("SELECT id FROM publishes ORDER BY publish DESC LIMIT ?", (PUBLISHES,)).fetchall()
        return [f"pubid-{uuid.UUID(bytes=id)}" for (id,) in ids]

    @staticmethod
    def check(path, publishes, done):
        """Every report counts, and none twice: for its publish, as a row, and for its hour."""
        expected = done - done // ONE_REPEATS
        ids = [uuid.UUID(publish.removeprefix("pubid-")).bytes for publish in publishes]
        marks = ",".join(itertools.repeat("?", len(ids)))
        with sqlite3.connect(path) as rows:
            (tallied,) = rows.execute(f"SELECT sum(delivered + opened) FROM publishes WHERE id IN ({marks})", ids).fetchone()
            (kept,) = rows.execute(
                f"SELECT count(*) FROM events WHERE publish IN (SELECT publish FROM publishes WHERE id IN ({marks}))", ids
            ).fetchone()
        if (tallied, kept) != (expected, expected):
            raise processes.Failed(f"{expected} events were reported; {tallied} were tallied and {kept} are kept")
