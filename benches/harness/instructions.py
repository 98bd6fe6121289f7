"""How many instructions a delivery takes, by groups of functions: `scripts/bench --instructions`.

valgrind counts them, so the numbers are nearly the same at every run and whatever else the machine does, unlike times. The kernel
is not in them, and valgrind knows no AVX-512, SHA and VAES instructions: what the processor has for cryptography counts for
more here than it costs. A function belongs to a group by its name; helpers such as memcpy, which are in none, belong to
whoever calls them, in proportion.
"""

import json
import re
import shutil
import subprocess
from collections import Counter, defaultdict

from . import database, heliostat, processes, profile

# A fan-out is counted over so many deliveries, after a first one that makes connections and fills caches.
COUNTED = {"apns": 20_000, "fcm": 20_000, "web": 5_000}
# Half a million instructions a second or so: nothing is in a hurry.
WITHOUT_END = {"HELIOSTAT_OUTBOUND_REQUEST_TIMEOUT_SECS": "600", "HELIOSTAT_DELIVERY_LEASE_SECS": "3600"}
OTHER = "other"
# Rounds of handing what helpers cost on to their callers; helpers that call helpers need more than one.
ROUNDS = 12
# Asking for metrics is part of measuring.
MEASURING = re.compile(r"metrics_exporter_prometheus|^<?metrics_util")


def _control(pid, *what):
    command = ["callgrind_control", *what, str(pid)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def count(bench, platform):
    """The file that callgrind writes of a fan-out."""
    out = bench.work / f"{platform}.callgrind"
    for old in bench.work.glob(f"{out.name}*"):
        old.unlink()
    path = database.devices(bench).copy()
    tool = ["valgrind", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={out}"]
    with heliostat.serving(bench, path, "0,1", under=tool, **WITHOUT_END) as server:
        heliostat.fan_out(bench, server, platform, f"{platform}-warm", database.WARM)
        _control(server.pid, "-i", "on")
        heliostat.fan_out(bench, server, platform, f"{platform}-tenth", COUNTED[platform])
        _control(server.pid, "-i", "off")
        _control(server.pid, "-d")
    return out.with_name(out.name + ".1")


class Counts:
    """What a callgrind file says: instructions by function, and by caller of each function."""

    def __init__(self, path):
        self.own, self.calls = Counter(), defaultdict(Counter)
        names, function, called, in_call = {}, None, None, False
        with open(path, encoding="utf-8", errors="replace") as lines:
            for line in lines:
                key, separator, value = line.rstrip("\n").partition("=")
                if separator and key in ("fn", "cfn"):
                    number, _, name = value.partition(" ")
                    names.setdefault(number, name)
                    if key == "fn":
                        function = names[number]
                    else:
                        called = names[number]
                elif key == "calls":
                    in_call = True
                elif line[0].isdigit() or line[0] in "+-*":
                    instructions = int(line.split()[1])
                    if in_call:
                        self.calls[called][function] += instructions
                    else:
                        self.own[function] += instructions
                    in_call = False


def group_of(function):
    """The group that a function is in by its name; None where it is in none."""
    return next((name for name, pattern in profile.PATTERNS if pattern.match(function)), None)


def groups(counts):
    """Instructions by group, helpers handed on to who calls them."""
    found, waiting = Counter(), Counter()
    for function, instructions in counts.own.items():
        name = group_of(function)
        if MEASURING.search(function):
            continue
        if name:
            found[name] += instructions
        else:
            waiting[function] += instructions
    for _ in range(ROUNDS):
        waiting, now = Counter(), waiting
        for function, instructions in now.items():
            callers = counts.calls.get(function, {})
            total = sum(callers.values())
            for caller, share in callers.items():
                part = instructions * share / total
                if MEASURING.search(caller):
                    continue
                name = group_of(caller)
                if name:
                    found[name] += part
                else:
                    waiting[caller] += part
            if not total:
                found[OTHER] += instructions
    found[OTHER] += sum(waiting.values())
    return found


def main(bench):
    """Counts, prints and writes."""
    if not shutil.which("valgrind"):
        raise SystemExit("valgrind is not there; on Debian it is in the package of its name")
    told = {}
    for platform, deliveries in COUNTED.items():
        counts = Counts(count(bench, platform))
        each = {name: round(total / deliveries) for name, total in groups(counts).most_common()}
        top = {name: round(total / deliveries) for name, total in counts.own.most_common(25)}
        told[platform] = {"groups": each, "functions": top}
        print(f"{platform}: {sum(each.values()):,} instructions a delivery, without the kernel")
        print("\n".join(f"  {total:9,}  {name}" for name, total in each.items()) + "\n")
    (bench.work / "instructions.json").write_text(json.dumps(told, indent=1), encoding="utf-8")
