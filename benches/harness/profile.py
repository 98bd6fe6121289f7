"""Where the server's CPU time goes, by groups of functions: `scripts/bench --profile`.

`perf` takes samples of the server with their stacks. A sample belongs to the first group, in the order of GROUPS, that
one of its frames matches, looked at from the innermost frame outwards; helpers such as memmove match none and so count
where they are called. What allocates and frees is a group of its own and is also told by who called it.
"""

import json
import re
import shutil
import signal
import subprocess
import time
from collections import Counter

from . import database, heliostat, processes
from .rows import intake

FREQUENCY = 1999
STACK_BYTES = 16384
# Name, and what a frame's symbol looks like.
GROUPS = [
    ("allocator", r"^(malloc|calloc|realloc|cfree|free|_int_(malloc|free\w*|realloc)|malloc_consolidate|unlink_chunk"
                  r"|__libc_(malloc|calloc|realloc)|mi_|_mi_|je_|tcache|sysmalloc|systrim)"),
    ("kernel: TCP, wake-ups, files", r"^\[k\]"),
    ("encryption of Web Push", r"^(<?gateway::webpush::encrypt|aws_lc_\S*(_EC|_ec_|p256|P256|nistz|_BN_|_bn_|HKDF|HMAC|hmac"
                               r"|sha256|SHA256|_RAND|_rand|DRBG|EVP_PKEY|aes_ctr|ed25519)|\S*nistz256)"),
    ("TLS", r"^(<?rustls|<?tokio_rustls|aws_lc|<?aws_lc_rs|aes_gcm|skip_iv|\S*gcm_|\S*ghash)"),
    ("HPACK", r"^<?h2::(hpack|frame::headers)"),
    ("HTTP/2 frames, streams, flow control", r"^<?h2::"),
    ("store: reading pages", r"^<?(store::sqlite::(readers|audience|columns)|domain::device::GatewayToken::from_parts)"),
    ("store: writing", r"^<?store::sqlite"),
    ("store: SQLite", r"^(sqlite3|<?rusqlite|<?hashlink)"),
    ("metrics", r"^<?(metrics|delivery::measure)"),
    ("settling", r"^<?delivery::settle"),
    ("logging", r"^<?tracing"),
    ("JSON", r"^<?serde"),
    ("routing and handlers", r"^<?(server::|axum|tower|matchit)"),
    ("HTTP/1", r"^<?(hyper|httparse)"),
    ("Beams tokens, keys", r"^<?domain::(beams_token|jws|instance)"),
    ("building requests", r"^<?(gateway::(apns|fcm|webpush)::request|domain::payload|http::|domain::publish)"),
    ("reading answers", r"^<?gateway::(apns|fcm|webpush)::response"),
    ("connections and slots", r"^<?gateway::http"),
    ("clock and timers", r"^(__vdso|clock_gettime|<?tokio::(runtime::)?time|std::time|<std::time|<domain::clock)"),
    ("futures of a page", r"^<?futures_util"),
    ("gateways", r"^<?gateway::"),
    ("delivery", r"^<?delivery::"),
    ("tokio", r"^<?tokio"),
]
PATTERNS = [(name, re.compile(pattern)) for name, pattern in GROUPS]
KERNEL = "[kernel"
LOADS = ["healthz", "publish-user", "register"]


def sampled(bench, server, name, work):
    """What `work` returns, and the samples of the server meanwhile."""
    data = bench.work / f"{name}.perf"
    how = ["-e", "cpu-clock", "-F", FREQUENCY, "--call-graph", f"dwarf,{STACK_BYTES}"]
    command = processes.pinned(processes.RECEIVER_CORE, ["perf", "record", *how, "-p", server.pid, "-o", data])
    perf = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        time.sleep(1)
        done = work()
    finally:
        perf.send_signal(signal.SIGINT)
        perf.wait(120)
    return done, stacks(data)


def fan_out(bench, platform):
    """A fan-out: the groups with their microseconds of a delivery, as it costs without being watched."""
    size = bench.size(database.DEVICES[platform])
    with heliostat.serving(bench, database.devices(bench).copy()) as server:
        heliostat.fan_out(bench, server, platform, f"{platform}-warm", min(database.WARM, size))
        plain = heliostat.fan_out(bench, server, platform, platform, size)
        _, samples = sampled(bench, server, platform, lambda: heliostat.fan_out(bench, server, platform, platform, size))
    return groups(samples, plain["cpu"] / size * 1e6)


def load(bench, what):
    """Requests of a kind: the groups with their microseconds of one."""
    seconds = bench.size(10, 3)
    payloads = json.dumps({"apns": heliostat.PAYLOADS["apns"]})
    more = ["--users", database.USERS, "--payloads", payloads]

    with heliostat.serving(bench, database.devices(bench).copy()) as server:
        def once(run):
            span = processes.Span(server.pid)
            rate = intake.load(bench, server, what, seconds, *more, "--run", run)
            return span.end()["cpu"] / (rate * seconds) * 1e6

        plain = once(1)
        _, samples = sampled(bench, server, what, lambda: once(2))
    return groups(samples, plain)


def stacks(data):
    """The samples: each a list of symbols, innermost first."""
    command = ["perf", "script", "-i", str(data), "-F", "ip,sym,dso", "--no-inline"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    for block in text.split("\n\n"):
        frames = []
        for line in filter(None, map(str.strip, block.splitlines())):
            symbol, _, where = line.partition(" ")[2].rpartition(" (")
            frames.append(f"[k] {symbol}" if where.startswith(KERNEL) else symbol.removesuffix("+0x0"))
        if frames:
            yield frames


def group_of(frames, allocator=True):
    """The group that a stack belongs to."""
    for frame in frames:
        for name, pattern in PATTERNS[0 if allocator else 1:]:
            if pattern.match(frame):
                return name
    return "other"


def groups(samples, microseconds):
    """Shares of all samples, of which one piece of work costs so many microseconds."""
    all_of_them, allocating, leaves = Counter(), Counter(), {}
    for frames in samples:
        name = group_of(frames)
        all_of_them[name] += 1
        if name == "allocator":
            allocating[group_of(frames, allocator=False)] += 1
        leaves.setdefault(name, Counter())[frames[0]] += 1
    total = max(sum(all_of_them.values()), 1)
    return {
        "samples": total,
        "microseconds": microseconds,
        "groups": [
            {"group": name, "share": count / total, "microseconds": count / total * microseconds,
             "top": leaves[name].most_common(6)}
            for name, count in all_of_them.most_common()
        ],
        "allocatorCalledBy": {name: count / total * microseconds for name, count in allocating.most_common()},
    }


def show(name, profile):
    """For people."""
    lines = [f"{name}: {profile['microseconds']:.1f} us CPU each, {profile['samples']} samples"]
    lines += [f"  {one['microseconds']:6.2f} us {one['share']:6.1%}  {one['group']}" for one in profile["groups"]]
    by = ", ".join(f"{name} {cost:.2f}" for name, cost in list(profile["allocatorCalledBy"].items())[:6])
    return "\n".join([*lines, f"  the allocator is called by: {by} us"])


def main(bench):
    """Profiles deliveries and requests, prints and writes."""
    if not shutil.which("perf"):
        raise SystemExit("perf is not there; on Debian it is in linux-perf")
    profiles = {}
    for name in [*database.DEVICES, *LOADS]:
        profiles[name] = load(bench, name) if name in LOADS else fan_out(bench, name)
        print(show(name, profiles[name]) + "\n")
    (bench.work / "profile.json").write_text(json.dumps(profiles, indent=1), encoding="utf-8")
