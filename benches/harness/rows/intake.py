"""What comes in: publishes, registrations, imports."""

import json
import os
import subprocess
from statistics import median

from .. import commits, database, heliostat, processes

CONNECTIONS = 64
# Where the database is a server, whose answers take longer: apps that publish are many, and a group commit lives on them.
# pgbench keeps CONNECTIONS, where it is fastest: each of its connections is one to the database.
CONNECTIONS_TO_NODES = 256
INTERESTS = ["news", "city-7", "team-3"]


def load(bench, server, what, seconds, *more, connections=CONNECTIONS, whole=False):
    """Requests done per second, or else all that is told of them."""
    instance = ["--instance", database.INSTANCE, "--secret-key", database.SECRET_KEY]
    common = ["--server", server.address, "--connections", connections, "--seconds", seconds, *instance]
    log = bench.work / "load.log"
    out, _ = processes.run([bench.tools, "load", what, *common, *more], processes.RECEIVER_CORE, log=log)
    told = json.loads(out)
    return told if whole else told["done"] / told["seconds"]


def drained(server, accepted):
    """Whether so many deliveries have had their end."""
    return sum(server.deliveries().values()) >= accepted


class Publishes:
    """Publishes to one user each, durable before they are answered."""

    name = "publish-rate"
    about = "publishes to one user accepted"

    def run(self, bench):
        seconds = bench.size(10, 5)
        payloads = json.dumps({"apns": heliostat.PAYLOADS["apns"]})
        rounds = []
        with heliostat.serving(bench, database.devices(bench).copy()) as server:
            load(bench, server, "publish-user", 1, "--users", database.USERS, "--payloads", payloads)
            for _ in range(bench.repetitions):
                healthz = load(bench, server, "healthz", seconds)
                span = processes.Span(server.pid)
                publishes = load(bench, server, "publish-user", seconds, "--users", database.USERS, "--payloads", payloads)
                rounds.append({"healthz": healthz, "publishes": publishes, "server": span.end()})
                processes.wait_until("the queue running dry", lambda: self.is_dry(server), 300, 0.1)
                bench.say(f"{self.name}: {publishes:,.0f}/s beside {healthz:,.0f}/s")
        publishes, healthz = (median(one[key] for one in rounds) for key in ("publishes", "healthz"))
        return {
            "what": f"{self.about}, delivered on the same core",
            "measured": f"{publishes:,.0f}/s",
            "beside": f"{healthz:,.0f}/s (/healthz)",
            "ratio": publishes / healthz,
            "target": ">= 0.35",
            "met": publishes / healthz >= 0.35,
            "rounds": rounds,
        }

    @staticmethod
    def is_dry(server):
        _, text = server.request("GET", "/metrics")
        return "heliostat_queue_jobs 0" in text


class Registrations:
    """Devices that register, are bound to a user, and set three interests."""

    name = "registrations"
    about = "devices registered, bound to a user, 3 interests"

    def run(self, bench):
        seconds = bench.size(10, 5)
        path = database.devices(bench).copy()
        rounds = []
        for number in range(bench.repetitions):
            limit = commits.registrations_per_second(path, CONNECTIONS, seconds)
            with heliostat.serving(bench, path) as server:
                span = processes.Span(server.pid)
                rate = load(bench, server, "register", seconds, "--run", number + 1)
                rounds.append({"devices": rate, "limit": limit, "server": span.end()})
            bench.say(f"{self.name}: {rate:,.0f}/s beside {limit:,.0f}/s")
        rate, limit = (median(one[key] for one in rounds) for key in ("devices", "limit"))
        return {
            "what": self.about,
            "measured": f"{rate:,.0f} devices/s",
            "beside": f"{limit:,.0f} devices/s (SQLite alone, {CONNECTIONS} per commit)",
            "ratio": rate / limit,
            "target": ">= 8,000/s",
            "met": rate >= 8000,
            "rounds": rounds,
        }


class Import:
    """Devices from a file."""

    name = "import"
    about = "devices imported from a file"

    def run(self, bench):
        if subprocess.run([bench.binary, "import", "devices", "--help"], capture_output=True, check=False).returncode:
            raise processes.Failed("this build has no `heliostat import devices`")
        count, rounds = bench.size(500_000), []
        lines = [
            {"platform": "apns", "token": os.urandom(32).hex(), "bundleIdentifier": "com.example.app",
             "userId": f"imported-{number}", "interests": ["bulk"]}
            for number in range(count)
        ]
        file = bench.work / "devices.ndjson"
        file.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="ascii")
        for _ in range(bench.repetitions):
            limit = commits.bulk_rows_per_second(database.empty(bench).copy(), lines)
            path = database.empty(bench).copy()
            command = [bench.binary, "import", "devices", "--instance", database.INSTANCE, file]
            where = ["--database", f"sqlite:{path}"]
            _, cost = processes.run([*command, *where], env=bench.environment(), log=bench.work / "import.log")
            rounds.append({"devices": count / cost["seconds"], "limit": limit, "import": cost})
            bench.say(f"{self.name}: {count / cost['seconds']:,.0f}/s beside {limit:,.0f}/s")
        rate, limit = (median(one[key] for one in rounds) for key in ("devices", "limit"))
        return {
            "what": f"{count} {self.about}",
            "measured": f"{rate:,.0f} devices/s",
            "beside": f"{limit:,.0f} devices/s (SQLite alone, one transaction)",
            "ratio": rate / limit,
            "target": ">= 0.3",
            "met": rate / limit >= 0.3,
            "rounds": rounds,
        }
