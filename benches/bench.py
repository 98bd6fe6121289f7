"""`scripts/bench` once everything is installed: runs the rows, prints a table, writes JSON."""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from harness import instructions, machine, processes, profile, soak, tables
from harness.database import MASTER_KEY
from harness.peers import Peers
from harness.receiver import Certificates, Receiver
from harness.rows import all_rows

PROXIES = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"]


class Bench:
    """What all rows share."""

    def __init__(self, options):
        self.root = Path(__file__).resolve().parent.parent
        self.quick, self.repetitions = options.quick, options.repetitions
        self.target = self.root / os.environ.get("CARGO_TARGET_DIR", "target")
        self.work = self.target / "bench"
        self.binary = Path(options.binary) if options.binary else self.target / "release/heliostat"
        self.tools = Path(options.tools) if options.tools else self.work / "cargo/release/bench-tools"
        self.apns_h2 = self.work / "cargo/release/heliostat-bench-apns-h2"
        self.python = self.work / "python/bin/python"
        self.work.mkdir(parents=True, exist_ok=True)
        self.certificates = Certificates(self.work / "certificates")
        self.receiver = Receiver(self.work / "nginx", self.certificates, counts=options.soak)
        self.peers = Peers(self)

    def size(self, full, divisor=10):
        """How many devices: fewer in a quick run."""
        return full // divisor if self.quick else full

    def environment(self, gateway_url=None):
        """Settings that lead the server to the receiver."""
        url = gateway_url or self.receiver.url
        return os.environ | {
            "HELIOSTAT_MASTER_KEY": MASTER_KEY,
            "HELIOSTAT_APNS_URL": url,
            "HELIOSTAT_APNS_SANDBOX_URL": url,
            "HELIOSTAT_FCM_URL": url,
            # The quota of a real Firebase project would be what is measured.
            "HELIOSTAT_FCM_DELIVERIES_PER_MINUTE_MAX": "0",
            "HELIOSTAT_OUTBOUND_CA_FILE": str(self.certificates.ca),
            "HELIOSTAT_OUTBOUND_ALLOW": "127.0.0.0/8,::1/128",
            "HELIOSTAT_WEB_PUSH_CONTACT": "mailto:bench@example.com",
        }

    @staticmethod
    def say(line):
        print(f"{time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)


def options(names):
    parser = argparse.ArgumentParser(prog="scripts/bench", description="Measures Heliostat beside its limits.")
    parser.add_argument("--quick", action="store_true", help="a tenth of the devices, and --soak judges no numbers: for a look")
    parser.add_argument("--only", metavar="NAME", action="append", choices=names, help=f"this row; of {', '.join(names)}")
    parser.add_argument("--repetitions", type=int, default=3, metavar="N", help="of each measurement; medians count")
    parser.add_argument("--profile", action="store_true", help="instead of rows: where the time of deliveries goes, by perf")
    parser.add_argument("--instructions", action="store_true", help="instead of rows: how many instructions a delivery takes, by valgrind")
    parser.add_argument("--soak", action="store_true", help="instead of rows: hours at half of peak, with faults that come and go")
    parser.add_argument("--minutes", type=float, default=60, metavar="N", help="how long --soak makes load; 60 if not given")
    parser.add_argument("--kills", type=int, default=soak.KILLS, metavar="N", help="how often --soak kills the server in its first third")
    parser.add_argument("--record", action="store_true", help="write the results into docs/PERFORMANCE.md, too")
    parser.add_argument("--binary", metavar="FILE", help="measure this build instead of target/release/heliostat")
    parser.add_argument("--tools", metavar="FILE", help="another build of benches/tools than that in target/bench")
    return parser.parse_args()


def main():
    rows = {row.name: row for row in all_rows()}
    chosen = options(list(rows))
    for name in PROXIES:
        os.environ.pop(name, None)
    os.chdir(Path(__file__).resolve().parent.parent)
    # What watches stays off the sender's core.
    os.sched_setaffinity(0, {processes.RECEIVER_CORE})
    bench = Bench(chosen)
    facts = machine.facts(bench.work)
    for name, fact in facts.items():
        print(f"{name:12} {fact}")
    results = {}
    with bench.receiver.running():
        if chosen.profile:
            profile.main(bench)
            return 0
        if chosen.instructions:
            instructions.main(bench)
            return 0
        if chosen.soak:
            return soak_main(bench, chosen, facts)
        for name in chosen.only or rows:
            bench.say(f"row {name}")
            try:
                results[name] = rows[name].run(bench)
            except (processes.Failed, OSError, ValueError, subprocess.SubprocessError) as error:
                results[name] = {"what": rows[name].about, "failed": f"{error}"}
            report = {"machine": facts, "quick": bench.quick, "repetitions": bench.repetitions, "rows": results}
            stamp = facts["date"].replace(":", "").split("+")[0]
            (bench.work / f"{stamp}.json").write_text(json.dumps(report, indent=1), encoding="utf-8")
    (bench.work / f"{stamp}.md").write_text(tables.markdown(results), encoding="utf-8")
    if chosen.record:
        tables.record(bench.root / "docs/PERFORMANCE.md", facts, results, all_rows=not chosen.only)
    print("\n" + tables.text(results))
    print(f"\n{os.path.relpath(bench.work)}/{stamp}.json and .md")
    return 1 if any("failed" in result for result in results.values()) else 0


def soak_main(bench, chosen, facts):
    result = soak.Soak(bench, chosen.minutes, chosen.kills).run()
    stamp = facts["date"].replace(":", "").split("+")[0]
    (bench.work / f"soak-{stamp}.json").write_text(json.dumps({"machine": facts, **result}, indent=1), encoding="utf-8")
    if chosen.record:
        soak.record(bench.root / "docs/PERFORMANCE.md", facts, result)
    print("\n" + soak.text(result))
    print(f"\n{os.path.relpath(bench.work)}/soak-{stamp}.json")
    return 0 if all(line["met"] for line in result["lines"]) else 1


if __name__ == "__main__":
    sys.exit(main())
