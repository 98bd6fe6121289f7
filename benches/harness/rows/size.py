"""What a million devices do to memory, to the start, and what a second core brings."""

from statistics import median

from .. import database, heliostat, processes


class Memory:
    """Peak memory of a fan-out to ten times as many."""

    name = "memory"
    about = "peak memory of a fan-out"

    def run(self, bench):
        devices, rounds = bench.size(database.LARGE["apns"]), []
        path = database.large(bench).copy()
        for _ in range(bench.repetitions):
            one = {}
            for interest, count in (("apns-tenth", devices // 10), ("apns", devices)):
                with heliostat.serving(bench, path) as server:
                    one[interest] = heliostat.fan_out(bench, server, "apns", interest, count)
                    one[interest]["peak"] = processes.peak_memory_mb(server.pid)
            rounds.append(one)
            bench.say(f"{self.name}: {one['apns']['peak']:.1f} MB beside {one['apns-tenth']['peak']:.1f} MB")
        few, many = (median(one[interest]["peak"] for one in rounds) for interest in ("apns-tenth", "apns"))
        return {
            "what": f"{self.about} to {devices} devices",
            "measured": f"{many:.1f} MB",
            "beside": f"{few:.1f} MB ({devices // 10} devices)",
            "ratio": many / few,
            "target": "<= 1.15, < 150 MB",
            "met": many / few <= 1.15 and many < 150,
            "rounds": rounds,
        }


class Start:
    """How long until the server is ready."""

    name = "start"
    about = "start until ready"

    def run(self, bench):
        devices, rounds = bench.size(database.LARGE["apns"]), []
        paths = {"empty": database.empty(bench).copy(), "large": database.large(bench).copy()}
        for _ in range(max(bench.repetitions, 5)):
            rounds.append({name: self.once(bench, path) for name, path in paths.items()})
        empty, large = (median(one[name] for one in rounds) for name in ("empty", "large"))
        bench.say(f"{self.name}: {large:.3f} s beside {empty:.3f} s")
        return {
            "what": f"{self.about} with {devices} devices",
            "measured": f"{large * 1000:.0f} ms",
            "beside": f"{empty * 1000:.0f} ms (empty)",
            "ratio": large / empty,
            "target": "< 500 ms",
            "met": large < 0.5,
            "rounds": rounds,
        }

    @staticmethod
    def once(bench, path):
        span = processes.Span()
        with heliostat.serving(bench, path):
            return span.end(0)["seconds"]


class Workers:
    """Deliveries per second with one worker thread and with two."""

    name = "workers"
    about = "deliveries/s with 2 worker threads"
    CORES = {1: "0", 2: "0,1"}

    def run(self, bench):
        path = database.devices(bench).copy()
        return {"rows": [self.platform(bench, path, platform) for platform in ("apns", "web")]}

    def platform(self, bench, path, platform):
        size, rounds = bench.size(database.DEVICES[platform]), []
        for _ in range(bench.repetitions):
            one = {}
            for workers, cores in self.CORES.items():
                settings = {"HELIOSTAT_WORKER_THREADS": str(workers)}
                with heliostat.serving(bench, path, cores, **settings) as server:
                    heliostat.fan_out(bench, server, platform, f"{platform}-warm", min(database.WARM, size))
                    one[workers] = heliostat.fan_out(bench, server, platform, platform, size)
            rounds.append(one)
        rate = {workers: median(size / one[workers]["seconds"] for one in rounds) for workers in self.CORES}
        bench.say(f"{self.name}: {platform} {rate[1]:,.0f}/s and {rate[2]:,.0f}/s")
        return {
            "what": f"{platform}: {self.about}, the receiver on the second core too",
            "measured": f"{rate[2]:,.0f}/s",
            "beside": f"{rate[1]:,.0f}/s (1 worker thread, 1 core)",
            "ratio": rate[2] / rate[1],
            "target": "",
            "met": None,
            "rounds": rounds,
        }
