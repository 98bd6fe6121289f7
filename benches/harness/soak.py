"""The soak: hours at half of what the machine can do, with faults that come and go, and everything accounted for at the end.

The server is the release binary on SQLite; APNs and FCM are Heliostat's emulators, told to misbehave; the Web Push host and the
webhook's receiver are nginx, which is stopped and continued. Nothing here is a limit to compare with: each line passes or not.
"""

import contextlib
import json
import os
import re
import signal
import sqlite3
import subprocess
import threading
import time
import urllib.request
from pathlib import Path
from statistics import median

from . import database, heliostat, processes

PEAK_SECONDS, DRAIN_SECONDS_MAX = 15, 1200
# A fault holds for so long, and as long again nothing is wrong.
FAULT_SECONDS, FAULT_SECONDS_QUICK = 20, 6
# Before this share of the time, caches fill and the server is killed; memory is judged after it.
WARM_UP_SHARE, KILLS = 1 / 3, 2
WINDOWS = 10
MEMORY_GROWTH_MAX, DESCRIPTORS_GROWTH_MAX = 0.05, 8
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


class Emulators:
    """`heliostat emulate`, and the way to tell it how to behave."""

    def __init__(self, bench, directory):
        self.bench, self.directory = bench, directory
        self.settings = {}

    @contextlib.contextmanager
    def running(self):
        (self.directory / "env.sh").unlink(missing_ok=True)
        command = [self.bench.binary, "emulate", "--out", self.directory]
        log = self.bench.work / "emulate.log"
        with open(os.devnull, "wb") as nothing:
            with processes.running(command, processes.RECEIVER_CORE, dict(os.environ), log, nothing):
                processes.wait_until("the emulators", self._read)
                yield self

    def _read(self):
        with contextlib.suppress(OSError):
            text = (self.directory / "env.sh").read_text(encoding="utf-8")
            found = dict(re.findall(r"^(?:export )?(\w+)='?([^'\n]*)'?$", text, re.M))
            self.settings = found
            return "EMULATOR_CONTROL_URL" in found and self.control("GET", "gateways") is not None
        return False

    def control(self, method, path, body=None):
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(f"{self.settings['EMULATOR_CONTROL_URL']}/{path}", data, method=method)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.read()


class Soak:
    """One run."""

    def __init__(self, bench, minutes, kills):
        self.bench, self.seconds, self.kills = bench, minutes * 60, kills
        self.port = processes.free_port()
        self.process, self.began = None, None
        self.samples, self.faults, self.killed = [], {}, 0
        self.ends = {}
        self.over = threading.Event()
        self.runs = 0

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
        hook = ["--url", f"{self.bench.receiver.url}/wpush/hook", "--event", "v1.PublishToInterestsAttempt"]
        database.heliostat(self.bench, self.path, "webhook", "add", *instance, *hook)
        self.environment = self.settings(emulators)

    # ------------------------------------------------------------------ load and faults

    def load(self, seconds, rate):
        """Makes load and adds up how it ended; requests per second that were answered."""
        self.runs += 1
        payloads = json.dumps(heliostat.PAYLOADS)
        command = [
            self.bench.tools, "soak", "--server", self.server.address, "--seconds", seconds, "--rate", rate,
            "--instance", database.INSTANCE, "--secret-key", database.SECRET_KEY, "--users", database.USERS,
            *(word for name in INTERESTS for word in ("--interest", name)),
            "--reported", self.reported, "--payloads", payloads, "--run", self.runs,
        ]
        log = self.bench.work / "load.log"
        out, _ = processes.run(command, processes.RECEIVER_CORE, log=log, seconds_max=seconds + 120)
        told = json.loads(out)
        for how, count in told["ends"].items():
            self.ends[how] = self.ends.get(how, 0) + count
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

    def trouble(self, emulators):
        """Switches one fault after the other on and off, until the load is over."""
        span = FAULT_SECONDS if self.seconds >= 1200 else FAULT_SECONDS_QUICK
        at = 0
        while not self.over.wait(span):
            name, behaviour = FAULTS[at % len(FAULTS)]
            at += 1
            self.faults[name] = self.faults.get(name, 0) + 1
            if behaviour is None:
                self.receivers(signal.SIGSTOP)
            else:
                emulators.control("PUT", "behaviours", behaviour)
            self.over.wait(span)
            self.receivers(signal.SIGCONT)
            emulators.control("DELETE", "behaviours")

    def receivers(self, number):
        """Stops or continues the workers of nginx, children of our own child."""
        parent = self.bench.receiver.process.pid
        for child in Path(f"/proc/{parent}/task/{parent}/children").read_text(encoding="ascii").split():
            os.kill(int(child), number)

    def kill_now_and_then(self):
        """Kills the server while it warms up, as often as was asked for."""
        for number in range(self.kills):
            due = self.began + self.seconds * WARM_UP_SHARE * (number + 1) / (self.kills + 1)
            if self.over.wait(max(due - time.monotonic(), 0)):
                return
            self.process.kill()
            self.process.wait()
            self.killed += 1
            self.start()

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
        return all(f"\n{name} 0\n" in text for name in ("heliostat_queue_jobs", "heliostat_queue_retries"))

    def run(self):
        with Emulators(self.bench, self.bench.work / "soak-emulators").running() as emulators:
            self.prepare(emulators)
            self.start()
            try:
                return self.judge(*self.soak(emulators))
            finally:
                self.over.set()
                self.receivers(signal.SIGCONT)
                if self.process.poll() is None:
                    self.process.kill()
                    self.process.wait()

    def soak(self, emulators):
        self.first_publish()
        done = self.load(PEAK_SECONDS, 0)
        peak = done / (PEAK_SECONDS + self.drain())
        self.bench.say(f"soak: {peak:,.0f} requests/s at most; {peak / 2:,.0f} for {self.seconds / 60:g} minutes")
        self.began = time.monotonic()
        beside = [threading.Thread(target=work, args=given) for work, given in (
            (self.trouble, (emulators,)), (self.kill_now_and_then, ()), (self.watch, ()))]
        for thread in beside:
            thread.start()
        try:
            done = self.load(self.seconds, peak / 2)
        finally:
            self.over.set()
            for thread in beside:
                thread.join()
        drained = self.drain()
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

    def judge(self, peak, rate, drained):
        (memory, memories), (descriptors, handles) = self.growth(1), self.growth(2)
        share = memory / memories[0]
        accounts = self.accounts()
        answered = self.ends.get("publish 200", 0) + self.ends.get("fanout 200", 0)
        # What was stored and not answered was in flight when the server was killed or the load's time ended.
        broken = sum(count for how, count in self.ends.items() if how.startswith(("publish", "fanout")) and how.endswith("broken"))
        lines = [
            ("memory", f"{memories[0] / 1024:,.0f} MiB at first, {memories[-1] / 1024:,.0f} at last; {share:+.1%} along the line",
             abs(share) <= MEMORY_GROWTH_MAX),
            ("descriptors", f"{handles[0]:.0f} at first, {handles[-1]:.0f} at last", descriptors <= DESCRIPTORS_GROWTH_MAX),
            ("stuck work", f"{accounts['left']} jobs and retries left {drained:.0f} s after the load", accounts["left"] == 0),
            ("publishes", f"{answered:,} answered 200, {accounts['stored']:,} stored, {broken:,} broken off",
             answered <= accounts["stored"] <= answered + broken),
            ("deliveries", f"{accounts['counted']:,} of {accounts['due']:,}: {accounts['ends']}",
             accounts["counted"] == accounts["due"] and accounts["wrong"] == 0),
        ]
        return {
            "minutes": self.seconds / 60, "peakPerSecond": round(peak), "perSecond": round(rate), "kills": self.killed,
            "faults": self.faults, "ends": self.ends, "memoryKib": memories, "descriptors": handles,
            "lines": [{"what": what, "measured": measured, "met": met} for what, measured, met in lines],
        }

    def accounts(self):
        """What the database says: every delivery that was due has had an end, publish by publish."""
        with contextlib.closing(sqlite3.connect(self.path)) as book:
            def one(sql):
                return book.execute(sql).fetchone()

            sizes = {name: one("SELECT count(*) FROM subscriptions s JOIN interests i USING (interest) WHERE i.name = '%s'" % name)[0]
                     for name in INTERESTS}
            if len(set(sizes.values())) != 1:
                raise processes.Failed(f"devices are gone: {sizes}")
            due = "CASE named WHEN 'users' THEN 1 ELSE %d END" % sizes[INTERESTS[0]]
            counted = "(SELECT coalesce(sum(count), 0) FROM tallies t WHERE t.publish = p.publish)"
            stored, all_due, all_counted, wrong = one(
                f"SELECT count(*), sum({due}), sum({counted}), sum({due} <> {counted} OR state <> 'finished') FROM publishes p")
            left = one("SELECT (SELECT count(*) FROM jobs) + (SELECT count(*) FROM retries)")[0]
            ends = book.execute("SELECT outcome, sum(count) FROM tallies GROUP BY outcome ORDER BY outcome").fetchall()
        told = ", ".join(f"{count:,} {outcome}" for outcome, count in ends)
        return {"stored": stored, "due": all_due, "counted": all_counted, "wrong": wrong, "left": left, "ends": told}


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
