"""How long a publish to one user takes from its request to the gateway."""

import json
from statistics import median

from .. import commits, database, heliostat, processes, quantiles


class Latency:
    """Idle, and beside a large fan-out through the same gateway."""

    name = "latency"
    about = "publish to gateway, one user"

    def run(self, bench):
        devices, count = bench.size(database.LARGE["apns"]), bench.size(1000, 4)
        rounds = []
        for _ in range(bench.repetitions):
            path = database.large(bench).copy()
            commit = commits.commit_milliseconds(bench.work)
            idle, beside = self.once(bench, path, devices, count)
            rounds.append({"commit": commit, "idle": sorted(idle["ms"]), "beside": sorted(beside["ms"]),
                           "deliveriesPerSecond": beside["deliveriesPerSecond"]})
            told = {key: [round(quantiles.of_values(rounds[-1][key], share), 2) for share in (0.5, 0.99)]
                    for key in ("commit", "idle", "beside")}
            bench.say(f"{self.name}: p50 and p99 in ms {told}, {len(beside['ms'])} beside the fan-out")
        return {"rows": self.results(rounds, devices), "rounds": rounds}

    def once(self, bench, path, devices, count):
        port = processes.free_port()
        certificates = bench.certificates
        listen = ["--listen", f"127.0.0.1:{port}", "--certificate", certificates.certificate, "--key", certificates.key]
        payloads = {"apns": heliostat.PAYLOADS["apns"]}
        to_user = json.dumps({"users": [database.OUTSIDER], **payloads})
        to_all = json.dumps({"interests": ["apns"], **payloads})
        with heliostat.serving(bench, path, gateway_url=f"https://localhost:{port}") as server:
            instance = ["--instance", database.INSTANCE, "--secret-key", database.SECRET_KEY]
            what = ["--token", database.OUTSIDER_TOKEN, "--body", to_user, "--count", count, "--beside", to_all, devices]
            command = [bench.tools, "latency", *listen, "--server", server.address, *instance, *what]
            out, _ = processes.run(command, processes.RECEIVER_CORE, log=bench.work / "latency.log")
        return [json.loads(line) for line in out.splitlines()]

    def results(self, rounds, devices):
        def middle(key, share):
            return median(quantiles.of_values(one[key], share) for one in rounds)

        commit, idle, idle_late = middle("commit", 0.5), middle("idle", 0.5), middle("idle", 0.99)
        late, rate = middle("beside", 0.99), median(one["deliveriesPerSecond"] for one in rounds)
        return [
            {"what": f"{self.about}, idle: p50", "measured": f"{idle:.2f} ms", "ratio": idle / commit,
             "beside": f"{commit:.2f} ms (write and fdatasync of a page)", "target": "<= 3", "met": idle <= 3 * commit},
            {"what": f"{self.about}, idle: p99", "measured": f"{idle_late:.2f} ms", "ratio": None, "beside": "",
             "target": "<= 15 ms", "met": idle_late <= 15},
            {"what": f"{self.about}, beside {devices} devices: p99", "measured": f"{late:.2f} ms",
             "ratio": late / idle_late, "beside": f"{idle_late:.2f} ms (idle); {rate:,.0f} deliveries/s",
             "target": "<= 50 ms", "met": late <= 50},
        ]
