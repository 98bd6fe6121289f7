"""The same on PostgreSQL."""

import json
import time
from statistics import median

from .. import database, heliostat, postgres, processes
from .intake import CONNECTIONS, CONNECTIONS_TO_NODES, Publishes, drained, load


class PostgresPublishes:
    """Publishes to one user each, durable in PostgreSQL before they are answered, and their delivery."""

    name = "publish-rate-postgres"
    about = "publishes to one user accepted, on PostgreSQL"

    def run(self, bench):
        seconds = bench.size(10, 5)
        payloads = json.dumps({"apns": heliostat.PAYLOADS["apns"]})
        rounds = []
        with postgres.running(bench) as url:
            postgres.fill(bench, url)
            more = ["--users", database.USERS, "--payloads", payloads]
            with heliostat.serving(bench, url) as server:
                load(bench, server, "publish-user", 1, *more)
                for _ in range(bench.repetitions):
                    processes.wait_until("the queue running dry", lambda: Publishes.is_dry(server), 300, 0.1)
                    inserts = postgres.inserts_per_second(bench, url, payloads, CONNECTIONS, seconds)
                    before, began = sum(server.deliveries().values()), time.monotonic()
                    publishes = load(bench, server, "publish-user", seconds, *more, connections=CONNECTIONS_TO_NODES)
                    wanted = before + int(publishes * seconds * 0.99)
                    processes.wait_until("the deliveries", lambda wanted=wanted: drained(server, wanted), 300, 0.05)
                    deliveries = (sum(server.deliveries().values()) - before) / (time.monotonic() - began)
                    rounds.append({"inserts": inserts, "publishes": publishes, "deliveries": deliveries})
                    bench.say(f"{self.name}: {publishes:,.0f}/s beside {inserts:,.0f}/s, {deliveries:,.0f} delivered/s")
        publishes, inserts, deliveries = (
            median(one[key] for one in rounds) for key in ("publishes", "inserts", "deliveries")
        )
        return {
            "what": self.about,
            "measured": f"{publishes:,.0f}/s; {deliveries:,.0f}/s delivered meanwhile",
            "beside": f"{inserts:,.0f}/s (pgbench, an insert of the same payloads each)",
            "ratio": publishes / inserts,
            "target": ">= 0.4",
            "met": publishes / inserts >= 0.4,
            "rounds": rounds,
        }
