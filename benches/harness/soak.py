"""The soak: hours at half of what the machine can do, with faults that come and go, and everything accounted for at the end.

The server is the release binary on SQLite; APNs and FCM are Heliostat's emulators, told to misbehave; the Web Push host and the
webhook's receiver are nginx, which is stopped and continued. Nothing here is a limit to compare with: each line passes or not.
"""

import contextlib
import json
import os
import re
import signal
import subprocess
import threading
import time
import uuid
from pathlib import Path
from statistics import median

from . import accounts, database, heliostat, processes, quantiles
from .emulators import Emulators

PEAK_SECONDS, PEAK_SECONDS_QUICK, DRAIN_SECONDS_MAX = 15, 5, 1200
CONNECTIONS = 64
# How long the load waits before it connects again, as benches/tools/src/soak.rs has it.
RECONNECT_SECONDS = 0.1
# A fault holds for so long, and as long again nothing is wrong: in runs of twenty minutes or more, in shorter ones, in quick ones.
FAULT_SECONDS, FAULT_SECONDS_SHORT, FAULT_SECONDS_QUICK = 20, 6, 2
LONG_SECONDS = 1200
# So often there is a fan-out; in quick runs, so that faults meet some.
FANOUT_SECONDS, FANOUT_SECONDS_QUICK = 5, 2
# Before this share of the time, caches fill and the server is killed; memory is judged after it.
WARM_UP_SHARE, KILLS = 1 / 3, 2
WINDOWS = 10
MEMORY_GROWTH_MAX, DESCRIPTORS_GROWTH_MAX = 0.05, 8
# Which share of half of the peak must be reached.
RATE_SHARE_MIN = 0.9
QUANTILES = {"half": 0.5, "99 %": 0.99, "all": 1}
QUEUES = ("heliostat_queue_jobs", "heliostat_queue_retries", "heliostat_webhook_requests_waiting")
RETRIED = re.compile(r'^heliostat_attempts_total\{(?=.*gateway="(\w+)")(?=.*outcome="retry").*\} (\d+)', re.M)
INTERESTS = ["apns-warm", "fcm-warm", "web-warm"]
BEGIN, END = "<!-- soak: written by scripts/bench --soak --record -->", "<!-- end of soak -->"

FAULTS = [
    ("APNs answers 503", {"gateway": "apns", "behaviour": "server-error", "status": 503}),
    ("FCM answers 500", {"gateway": "fcm", "behaviour": "server-error", "status": 500}),
    ("APNs answers 429 with Retry-After", {"gateway": "apns", "behaviour": "throttled", "retry_after_s": 2}),
    ("Web Push host and webhook receiver hang", None),
    ("FCM answers 429 with Retry-After", {"gateway": "fcm", "behaviour": "throttled", "retry_after_s": 2}),
    ("APNs ends connections with GOAWAY", {"gateway": "apns", "behaviour": "goaway", "abrupt": True, "times": 50}),
    ("FCM takes requests and never answers", {"gateway": "fcm", "behaviour": "hang", "times": 200}),
    ("FCM drops connections", {"gateway": "fcm", "behaviour": "cut", "times": 50}),
    ("APNs takes requests and never answers", {"gateway": "apns", "behaviour": "hang", "times": 200}),
]
# What the emulators must have done wrong where every fault holds for long enough to be met by a fan-out.
EFFECTS = {(gateway, verdict) for gateway in ("apns", "fcm") for verdict in ("server-error", "throttled", "unanswered")}


class Soak:
    """One run."""

    def __init__(self, bench, minutes, kills):
        self.bench, self.seconds, self.kills = bench, minutes * 60, kills
        self.port = processes.free_port()
        self.process, self.began = None, None
        self.is_long = self.seconds >= LONG_SECONDS
        self.span = FAULT_SECONDS if self.is_long else FAULT_SECONDS_QUICK if bench.quick else FAULT_SECONDS_SHORT
        self.samples, self.faults, self.killed = [], {}, 0
        self.ends = {}
        # How many publishes to one user took so many milliseconds.
        self.took = {}
        # How many connections the load may have tried in vain while the server was down.
        self.unconnected_max = 0
        self.over, self.broken = threading.Event(), []
        self.runs = 0
        self.acknowledged = bench.work / "acknowledged"
        self.acknowledged.unlink(missing_ok=True)
        # By platform, what the gateways had refused when the server was started, and the attempts that ended in doubt.
        self.refused, self.doubtful = {}, {}

    # ------------------------------------------------------------------ the server

    def start(self):
        command = [self.bench.binary, "serve", "--listen", f"127.0.0.1:{self.port}", "--database", database.url(self.path)]
        with open(self.bench.work / "heliostat.log", "ab") as log:
            self.process = subprocess.Popen(
                processes.pinned(processes.SENDER_CORE, command), stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                env=self.environment)
        self.server = heliostat.Server(self.process, self.port)
        processes.wait_until("the server listening", self.server.is_up)

    def settings(self, emulators):
        own = emulators.settings
        roots = self.bench.work / "soak-roots.pem"
        pem = [Path(file).read_text(encoding="ascii") for file in (self.bench.certificates.ca, own["HELIOSTAT_OUTBOUND_CA_FILE"])]
        roots.write_text("\n".join(pem), encoding="ascii")
        urls = {name: own[name] for name in ("HELIOSTAT_APNS_URL", "HELIOSTAT_APNS_SANDBOX_URL", "HELIOSTAT_FCM_URL")}
        return self.bench.environment() | heliostat.UNLIMITED | urls | {
            "HELIOSTAT_OUTBOUND_CA_FILE": str(roots),
            # One address registers here for all devices.
            "HELIOSTAT_LIMITS_REGISTRATIONS_PER_ADDRESS_PER_MINUTE_MAX": "0",
            "HELIOSTAT_LIMITS_REGISTRATIONS_PER_INSTANCE_PER_MINUTE_MAX": "0",
            "HELIOSTAT_LIMITS_CONNECTIONS_PER_ADDRESS_MAX": "0",
            # For the judgement.
            "HELIOSTAT_WEBHOOKS_KEEP_MAX": "1000000",
            "HELIOSTAT_LOG_FILTER": "warn",
        }

    def prepare(self, emulators):
        self.path = database.devices(self.bench).copy()
        own, instance = emulators.settings, ["--instance", database.INSTANCE]
        ids = ["--key-id", own["APNS_KEY_ID"], "--team-id", own["APNS_TEAM_ID"]]
        key = ["--key-file", own["EMULATOR_APNS_KEY_FILE"]]
        database.heliostat(self.bench, self.path, "credential", "set", "apns", *instance, *key, *ids)
        account = own["EMULATOR_SERVICE_ACCOUNT_FILE"]
        database.heliostat(self.bench, self.path, "credential", "set", "fcm", *instance, "--service-account", account)
        hook = ["--url", f"{self.bench.receiver.url}/webhook", "--event", "v1.PublishToInterestsAttempt"]
        database.heliostat(self.bench, self.path, "webhook", "add", *instance, *hook)
        self.environment = self.settings(emulators)

    # ------------------------------------------------------------------ load and faults

    def load(self, seconds, rate):
        """Makes load, adds up how it ended, and keeps how long publishes took; how many requests were answered."""
        self.runs += 1
        payloads = json.dumps(heliostat.PAYLOADS)
        command = [
            self.bench.tools, "soak", "--server", self.server.address, "--seconds", seconds, "--rate", rate,
            "--instance", database.INSTANCE, "--secret-key", database.SECRET_KEY, "--users", database.USERS,
            *(word for name in INTERESTS for word in ("--interest", name)),
            "--reported", self.reported, "--payloads", payloads, "--run", self.runs,
            "--connections", CONNECTIONS, "--fanout-every", FANOUT_SECONDS_QUICK if self.bench.quick else FANOUT_SECONDS,
            "--acknowledged", self.acknowledged,
        ]
        log = self.bench.work / "load.log"
        out, _ = processes.run(command, processes.RECEIVER_CORE, log=log, seconds_max=seconds + 120)
        told = json.loads(out)
        for how, count in told["ends"].items():
            self.ends[how] = self.ends.get(how, 0) + count
        self.took = {int(milliseconds): count for milliseconds, count in told["tookMs"].items()}
        return sum(count for how, count in told["ends"].items() if how.endswith((" 200", " 204")))

    def first_publish(self):
        body = json.dumps({"users": ["user-0"], **heliostat.PAYLOADS})
        headers = {"authorization": f"Bearer {database.SECRET_KEY}", "content-type": "application/json"}
        path = f"/publish_api/v1/instances/{database.INSTANCE}/publishes/users"
        status, answer = self.server.request("POST", path, body, headers)
        if status != 200:
            raise processes.Failed(f"publishing: {status} {answer}")
        self.ends["publish 200"] = 1
        self.reported = json.loads(answer)["publishId"]
        self.acknowledged.write_bytes(uuid.UUID(self.reported.removeprefix("pubid-")).bytes)

    def trouble(self, emulators):
        """Switches one fault after the other on and off, until the load is over."""
        at = 0
        while not self.over.wait(self.span):
            name, behaviour = FAULTS[at % len(FAULTS)]
            at += 1
            self.faults[name] = self.faults.get(name, 0) + 1
            if behaviour is None:
                self.receivers(signal.SIGSTOP)
            else:
                emulators.control("PUT", "behaviours", behaviour)
            self.over.wait(self.span)
            self.receivers(signal.SIGCONT)
            emulators.control("DELETE", "behaviours")

    def receivers(self, number):
        """Stops or continues the workers of nginx, children of our own child."""
        parent = self.bench.receiver.process.pid
        for child in Path(f"/proc/{parent}/task/{parent}/children").read_text(encoding="ascii").split():
            os.kill(int(child), number)

    def kill_now_and_then(self, emulators):
        """Kills the server while it warms up, as often as was asked for."""
        for number in range(self.kills):
            due = self.began + self.seconds * WARM_UP_SHARE * (number + 1) / (self.kills + 1)
            if self.over.wait(max(due - time.monotonic(), 0)):
                return
            self.count_doubts(emulators)
            began = time.monotonic()
            self.process.kill()
            self.process.wait()
            self.killed += 1
            _, self.refused = emulators.totals()
            self.start()
            tries = (time.monotonic() - began) / RECONNECT_SECONDS + 1
            self.unconnected_max += round(CONNECTIONS * tries)

    def count_doubts(self, emulators):
        """Counts the attempts of this process that failed without its gateway having refused them."""
        # The gateways first: of two attempts that fail in between, one that was refused counts as doubtful, and none is missed.
        _, refused = emulators.totals()
        status, text = self.server.request("GET", "/metrics")
        if status != 200:
            raise processes.Failed(f"/metrics: {status}")
        for platform, retried in RETRIED.findall(text):
            known = refused.get(platform, 0) - self.refused.get(platform, 0)
            self.doubtful[platform] = self.doubtful.get(platform, 0) + max(int(retried) - known, 0)

    def beside(self, work, *given):
        """Starts what goes on beside the load. What breaks there breaks the run when the load is over."""
        def guarded():
            try:
                work(*given)
            except Exception as error:
                self.bench.say(f"soak: {work.__name__} broke: {error!r}")
                self.broken.append(error)

        thread = threading.Thread(target=guarded)
        thread.start()
        return thread

    def watch(self):
        """Memory in KiB and open descriptors of the server, once a second."""
        while not self.over.wait(1):
            with contextlib.suppress(OSError, StopIteration):
                pid = self.process.pid
                lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
                memory = next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))
                descriptors = len(os.listdir(f"/proc/{pid}/fd"))
                self.samples.append((time.monotonic() - self.began, memory, descriptors))

    # ------------------------------------------------------------------ the run

    def drain(self):
        """Waits until no work is left; how long that took."""
        began = time.monotonic()
        processes.wait_until("the queues running dry", self.is_dry, DRAIN_SECONDS_MAX, 0.2)
        return time.monotonic() - began

    def is_dry(self):
        _, text = self.server.request("GET", "/metrics")
        return all(f"\n{name} 0\n" in text for name in QUEUES)

    def run(self):
        with Emulators(self.bench, self.bench.work / "soak-emulators").running() as emulators:
            self.prepare(emulators)
            self.start()
            try:
                return self.judge(emulators, *self.soak(emulators))
            finally:
                self.over.set()
                self.receivers(signal.SIGCONT)
                if self.process.poll() is None:
                    self.process.kill()
                    self.process.wait()

    def soak(self, emulators):
        self.first_publish()
        seconds = PEAK_SECONDS_QUICK if self.bench.quick else PEAK_SECONDS
        done = self.load(seconds, 0)
        peak = done / (seconds + self.drain())
        self.bench.say(f"soak: {peak:,.0f} requests/s at most; {peak / 2:,.0f} for {self.seconds / 60:g} minutes")
        self.began = time.monotonic()
        threads = [self.beside(self.trouble, emulators), self.beside(self.kill_now_and_then, emulators), self.beside(self.watch)]
        try:
            done = self.load(self.seconds, peak / 2)
        finally:
            self.over.set()
            for thread in threads:
                thread.join()
        if self.broken:
            raise self.broken[0]
        drained = self.drain()
        self.count_doubts(emulators)
        self.process.terminate()
        if self.process.wait(processes.STOP_SECONDS) != 0:
            raise processes.Failed("the server did not stop in order")
        return peak, done / self.seconds, drained

    # ------------------------------------------------------------------ the judgement

    def growth(self, column):
        """From the first to the last of ten windows after the warm-up, along the line through their medians."""
        warm = self.seconds * WARM_UP_SHARE
        length = (self.seconds - warm) / WINDOWS
        medians = []
        for window in range(WINDOWS):
            begin = warm + window * length
            inside = [sample[column] for sample in self.samples if begin <= sample[0] < begin + length]
            if not inside:
                raise processes.Failed("a window without a sample")
            medians.append(median(inside))
        middle = (WINDOWS - 1) / 2
        mean = sum(medians) / WINDOWS
        slope = sum((at - middle) * (value - mean) for at, value in enumerate(medians))
        slope /= sum((at - middle) ** 2 for at in range(WINDOWS))
        return slope * (WINDOWS - 1), medians

    def judge(self, emulators, peak, rate, drained):
        lines = [] if self.bench.quick else [*self.growths(), self.rate(rate, peak / 2)]
        lines += [self.trials(emulators), self.answers()]
        lines += accounts.judge(self.path, self.seen(emulators))
        memories, handles = ([], []) if self.bench.quick else (self.growth(column)[1] for column in (1, 2))
        return {
            "minutes": self.seconds / 60, "peakPerSecond": round(peak), "perSecond": round(rate), "kills": self.killed,
            "drainedSeconds": round(drained, 1), "acknowledged": self.acknowledged.stat().st_size // accounts.ID.size,
            "faults": self.faults, "ends": self.ends, "memoryKib": memories, "descriptors": handles,
            "lines": [{"what": what, "measured": measured, "met": met} for what, measured, met in lines],
        }

    def growths(self):
        (memory, memories), (descriptors, handles) = self.growth(1), self.growth(2)
        share = memory / memories[0]
        return (
            ("memory", f"{memories[0] / 1024:,.0f} MiB at first, {memories[-1] / 1024:,.0f} at last; {share:+.1%} along the line",
             abs(share) <= MEMORY_GROWTH_MAX),
            ("descriptors", f"{handles[0]:.0f} at first, {handles[-1]:.0f} at last", descriptors <= DESCRIPTORS_GROWTH_MAX),
        )

    def rate(self, reached, asked):
        """Whether as much was answered as has to be; how fast publishes were is told beside it."""
        if not self.took:
            raise processes.Failed("no publish was answered")
        times = ", ".join(f"{quantiles.of_counts(self.took, share):,} ms ({name})" for name, share in QUANTILES.items())
        told = f"{reached:,.0f} requests/s of {asked:,.0f} asked for; publishes to one user were answered within {times}"
        return "rate", told, reached >= RATE_SHARE_MIN * asked

    def trials(self, emulators):
        """Whether all happened that was to happen: each kill, and in runs that are long enough each fault."""
        missing = []
        if self.seconds > 2 * self.span * len(FAULTS):
            missing += [name for name, _ in FAULTS if name not in self.faults]
        if self.is_long:
            missing += [" ".join(effect) for effect in sorted(EFFECTS - emulators.misbehaved())]
        told = f"{self.killed} kills of {self.kills}, {sum(self.faults.values())} faults; missing: {', '.join(missing) or 'none'}"
        return "trials", told, self.killed == self.kills and not missing

    def answers(self):
        """Requests end with 2xx, or because the server was killed: one on each connection, and tries until it was back."""
        def count(*how):
            return sum(number for end, number in self.ends.items() if end.endswith(how))

        broken, unconnected = count(" broken"), count(" unconnected")
        refused = sum(self.ends.values()) - count(" 200", " 204") - broken - unconnected
        broken_max = self.killed * CONNECTIONS
        told = (
            f"{refused:,} not 2xx; {broken:,} broken off of {broken_max:,} and {unconnected:,} not connected of "
            f"{self.unconnected_max:,} that kills account for"
        )
        return "answers", told, refused == 0 and broken <= broken_max and unconnected <= self.unconnected_max

    def seen(self, emulators):
        """What the load, the gateways and the webhook's receiver saw."""
        taken, _ = emulators.totals()
        broken = sum(count for how, count in self.ends.items() if how.startswith(("publish", "fanout")) and how.endswith("broken"))
        return accounts.Seen(
            acknowledged=self.acknowledged, interests=INTERESTS, broken=broken, kills=self.killed,
            accepted=taken | {"web": self.bench.receiver.web_pushes()}, doubtful=self.doubtful,
            told=self.bench.receiver.webhook_requests())


def text(result):
    """For the terminal."""
    lines = [f"{'ok' if line['met'] else 'FAILED':8}{line['what']:13}{line['measured']}" for line in result["lines"]]
    return "\n".join(lines)


def record(page, facts, result):
    """Writes the result between the two marks of a page."""
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    faults = "; ".join(f"{name}, {times} times" for name, times in result["faults"].items())
    refused = ", ".join(f"{count:,} `{how}`" for how, count in sorted(result["ends"].items()))
    lines = "".join(f"| {line['what']} | {line['measured']} | {'yes' if line['met'] else 'NO'} |\n" for line in result["lines"])
    page.write_text(
        f"{before}{BEGIN}\n\n`scripts/bench --soak --minutes {result['minutes']:g}`, {facts['date'][:10]}, commit {facts['commit']}, "
        f"{facts['cores']} cores of {facts['processor']}: {result['perSecond']:,} requests/s, of {result['peakPerSecond']:,} at most, "
        f"with {result['kills']} kills.\n\n| what | measured | met |\n| --- | --- | --- |\n{lines}\n"
        f"Faults: {faults}. Requests ended: {refused}.\n\n{END}{after}", encoding="utf-8")
