"""`scripts/bench` once everything is installed: runs the rows, prints a table, writes JSON."""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from harness import machine, processes, profile
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
        self.tools = self.work / "cargo/release/bench-tools"
        self.apns_h2 = self.work / "cargo/release/heliostat-bench-apns-h2"
        self.python = self.work / "python/bin/python"
        self.work.mkdir(parents=True, exist_ok=True)
        self.certificates = Certificates(self.work / "certificates")
        self.receiver = Receiver(self.work / "nginx", self.certificates)
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
            "HELIOSTAT_OUTBOUND_CA_FILE": str(self.certificates.ca),
            "HELIOSTAT_OUTBOUND_ALLOW": "127.0.0.0/8,::1/128",
            "HELIOSTAT_WEB_PUSH_CONTACT": "mailto:bench@example.com",
        }

    @staticmethod
    def say(line):
        print(f"{time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)


def options(names):
    parser = argparse.ArgumentParser(prog="scripts/bench", description="Measures Heliostat beside its limits.")
    parser.add_argument("--quick", action="store_true", help="a tenth of the devices: for a look, not for numbers")
    parser.add_argument("--only", metavar="NAME", action="append", choices=names, help=f"this row; of {', '.join(names)}")
    parser.add_argument("--repetitions", type=int, default=3, metavar="N", help="of each measurement; medians count")
    parser.add_argument("--profile", action="store_true", help="instead of rows: where the time of deliveries goes, by perf")
    parser.add_argument("--binary", metavar="FILE", help="measure this build instead of target/release/heliostat")
    return parser.parse_args()


def table(results):
    """For people."""
    head = ["what", "measured", "beside", "ratio", "target", "met"]
    lines = [head]
    for result in results.values():
        for row in result.get("rows", [result]):
            if "failed" in row:
                lines.append([row["what"], f"failed: {row['failed']}", "", "", "", ""])
                continue
            ratio = f"{row['ratio']:.2f}" if row.get("ratio") is not None else ""
            met = {True: "yes", False: "NO", None: ""}[row.get("met")]
            lines.append([row["what"], row["measured"], row["beside"], ratio, row["target"], met])
    widths = [max(len(line[at]) for line in lines) for at in range(len(head))]
    text = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in lines]
    for name, result in results.items():
        if "senders" in result:
            text += ["", f"{name}: CPU per message, messages/s, CPU beside Heliostat's"]
            own = result["senders"]["heliostat"]["cpuMicroseconds"]
            for who, sender in result["senders"].items():
                cost, rate = sender["cpuMicroseconds"], sender["perSecond"]
                text.append(f"  {who:18}{cost:9.1f} us{rate:12,.0f}/s{cost / own:8.2f}")
    return "\n".join(text)


def main():
    rows = {row.name: row for row in all_rows()}
    chosen = options(list(rows))
    for name in PROXIES:
        os.environ.pop(name, None)
    os.chdir(Path(__file__).resolve().parent.parent)
    bench = Bench(chosen)
    facts = machine.facts(bench.work)
    for name, fact in facts.items():
        print(f"{name:12} {fact}")
    results = {}
    with bench.receiver.running():
        if chosen.profile:
            profile.main(bench)
            return 0
        for name in chosen.only or rows:
            bench.say(f"row {name}")
            try:
                results[name] = rows[name].run(bench)
            except (processes.Failed, OSError, ValueError, subprocess.SubprocessError) as error:
                results[name] = {"what": rows[name].about, "failed": f"{error}"}
            report = {"machine": facts, "quick": bench.quick, "repetitions": bench.repetitions, "rows": results}
            stamp = facts["date"].replace(":", "").split("+")[0]
            (bench.work / f"{stamp}.json").write_text(json.dumps(report, indent=1), encoding="utf-8")
    print("\n" + table(results))
    print(f"\n{bench.work.relative_to(bench.root)}/{stamp}.json")
    return 1 if any("failed" in result for result in results.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
