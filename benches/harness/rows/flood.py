"""How long a publish to one user takes while strangers register devices as fast as they can."""

import json
import threading
import time
from statistics import median

from .. import database, heliostat, processes, quantiles
from .intake import load

# So many registrations wait at any time. No rate holds them back, as if each came from an address of its own.
FLOOD_CONNECTIONS, FLOOD_SECONDS, BEGUN_SECONDS = 256, 40, 1
NO_RATES = {
    "HELIOSTAT_LIMITS_REGISTRATIONS_PER_ADDRESS_PER_MINUTE_MAX": "0",
    "HELIOSTAT_LIMITS_REGISTRATIONS_PER_INSTANCE_PER_MINUTE_MAX": "0",
    "HELIOSTAT_LIMITS_CONNECTIONS_PER_ADDRESS_MAX": "0",
}


class Flood:
    """Idle, and beside the flood."""

    name = "flood"
    about = "publish to gateway, one user"

    def run(self, bench):
        rounds = [self.once(bench, number + 1) for number in range(bench.repetitions)]
        return {"rows": self.results(rounds), "rounds": rounds}

    def once(self, bench, number):
        port, path = processes.free_port(), database.large(bench).copy()
        with heliostat.serving(bench, path, gateway_url=f"https://localhost:{port}", **NO_RATES) as server:
            idle = self.publishes(bench, server, port)
            rates = []
            flood = threading.Thread(target=lambda: rates.append(
                load(bench, server, "register", FLOOD_SECONDS, "--run", number, connections=FLOOD_CONNECTIONS)))
            flood.start()
            time.sleep(BEGUN_SECONDS)
            beside = self.publishes(bench, server, port)
            was_flooded = flood.is_alive()
            flood.join()
        if not was_flooded or not rates:
            raise processes.Failed("the flood was over before the publishes were")
        told = [[round(quantiles.of_values(ms, share), 2) for share in (0.5, 0.99)] for ms in (idle, beside)]
        bench.say(f"{self.name}: p50 and p99 in ms {told[0]} idle, {told[1]} beside {rates[0]:,.0f} devices/s")
        return {"idle": idle, "beside": beside, "devicesPerSecond": rates[0]}

    def publishes(self, bench, server, port):
        """How long each of many took, in milliseconds, in order. None may be refused or get lost."""
        certificates = bench.certificates
        listen = ["--listen", f"127.0.0.1:{port}", "--certificate", certificates.certificate, "--key", certificates.key]
        body = json.dumps({"users": [database.OUTSIDER], "apns": heliostat.PAYLOADS["apns"]})
        instance = ["--instance", database.INSTANCE, "--secret-key", database.SECRET_KEY]
        what = ["--token", database.OUTSIDER_TOKEN, "--body", body, "--count", bench.size(500, 4)]
        command = [bench.tools, "latency", *listen, "--server", server.address, *instance, *what]
        out, _ = processes.run(command, processes.RECEIVER_CORE, log=bench.work / "latency.log")
        return sorted(json.loads(out)["ms"])

    def results(self, rounds):
        def middle(key, share):
            return median(quantiles.of_values(one[key], share) for one in rounds)

        rate = median(one["devicesPerSecond"] for one in rounds)
        rows = []
        for name, share in (("p50", 0.5), ("p99", 0.99)):
            idle, beside = middle("idle", share), middle("beside", share)
            rows.append({
                "what": f"{self.about}, beside {FLOOD_CONNECTIONS} connections that register without end: {name}",
                "measured": f"{beside:.2f} ms", "ratio": beside / idle,
                "beside": f"{idle:.2f} ms (idle); {rate:,.0f} devices/s registered meanwhile",
                "target": "<= 50 ms", "met": beside <= 50,
            })
        return rows
