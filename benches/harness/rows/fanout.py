"""Fan-outs of one publish through APNs, FCM and Web Push, beside their limits and what people use today."""

import base64
import json
import os
import sys
from statistics import median

from .. import database, heliostat, processes

# How many messages each of the slower senders gets, for a few seconds of work.
PEERS = {
    "apns": {"apns-h2": 1.0, "@parse/node-apn": 0.2, "aioapns": 0.05},
    "fcm": {"firebase-admin": 0.15},
    "web": {"web-push": 0.08, "pywebpush": 0.1},
}
TARGETS = {"apns": 1.5, "fcm": 1.75, "web": 0.8}


class Fanout:
    """One platform's fan-out."""

    def __init__(self, platform):
        self.platform, self.name = platform, f"{platform}-fanout"
        self.about = f"{platform} fan-out of one publish"

    def run(self, bench):
        path = database.devices(bench).copy()
        size = bench.size(database.DEVICES[self.platform])
        head = capture(bench, path, self.platform)
        rounds = []
        with heliostat.serving(bench, path) as server:
            heliostat.fan_out(bench, server, self.platform, f"{self.platform}-warm", min(database.WARM, size))
            for _ in range(bench.repetitions):
                one = {"heliostat": heliostat.fan_out(bench, server, self.platform, self.platform, size)}
                one["limit"] = encryption(bench, size, head) if self.platform == "web" else h2load(bench, size, head)
                for peer, share in PEERS[self.platform].items():
                    one[peer] = measure_peer(bench, peer, max(int(size * share), 500))
                rounds.append(one)
                bench.say(f"{self.name}: " + ", ".join(f"{who} {per(what):.1f} us" for who, what in one.items() if what))
        return self.result(rounds, size, head)

    def result(self, rounds, size, head):
        own, limit = (median(per(one[who]) for one in rounds) for who in ("heliostat", "limit"))
        rates = {who: median(one[who]["count"] / one[who]["seconds"] for one in rounds) for who in ("heliostat", "limit")}
        senders = {}
        for who in rounds[0]:
            if rounds[0][who]:
                senders[who] = {
                    "cpuMicroseconds": median(per(one[who]) for one in rounds),
                    "perSecond": median(one[who]["count"] / one[who]["seconds"] for one in rounds),
                }
        web = self.platform == "web"
        ratio = limit / own if web else own / limit
        target = TARGETS[self.platform]
        peers = [sender["cpuMicroseconds"] for who, sender in senders.items() if who not in ("heliostat", "limit")]
        return {
            "what": f"{self.about} to {size} devices",
            "measured": f"{own:.2f} us CPU, {rates['heliostat']:,.0f}/s",
            "beside": f"{limit:.2f} us CPU, {rates['limit']:,.0f}/s (" + ("RFC 8291 alone" if web else "h2load") + ")",
            "ratio": ratio,
            "target": f"{'>=' if web else '<='} {target}",
            "met": ratio >= target if web else ratio <= target,
            "aheadOfPeers": all(own < peer for peer in peers),
            "senders": senders,
            "request": head,
            "rounds": rounds,
        }


def per(measured):
    """CPU of one message in microseconds."""
    return measured["cpu"] / measured["count"] * 1e6


def capture(bench, path, platform):
    """A request as the server sends it, to one device of the platform."""
    port = processes.free_port()
    url, interest = f"https://localhost:{port}", f"{platform}-one"
    certificates = bench.certificates
    listen = ["--listen", f"127.0.0.1:{port}", "--certificate", certificates.certificate, "--key", certificates.key]
    database.add_one(path, platform, interest, f"{url}/wpush/v2/captured")
    out = bench.work / "captured.json"
    log = bench.work / "capture.log"
    with open(out, "wb") as file, processes.running(
        [bench.tools, "capture", *listen], processes.RECEIVER_CORE, log=log, stdout=file
    ) as process, heliostat.serving(bench, path, gateway_url=url) as server:
        server.publish("interests", [interest], {platform: heliostat.PAYLOADS[platform]})
        process.wait(30)
    captured = json.loads(out.read_text(encoding="utf-8").splitlines()[0])
    # Without the header of RFC 8188, the end mark and the tag of AES-GCM.
    captured["plaintextLength"] = len(base64.b64decode(captured["body"])) - (16 + 4 + 1 + 65) - 1 - 16
    return captured


def h2load(bench, count, head):
    """The limit: the same request again and again, ready-made, without its start."""
    body = bench.work / "body"
    body.write_bytes(base64.b64decode(head["body"]))
    headers = [part for name, value in head["headers"] for part in ("-H", f"{name}: {value}")]
    common = ["h2load", "-c4", "-m250", "-t1", "-d", body, *headers]
    url = bench.receiver.url + head["path"]
    log = bench.work / "h2load.log"
    _, start = processes.run([*common, "-n4", url], log=log)
    out, all_of_it = processes.run([*common, f"-n{count + 4}", url], log=log)
    if f"{count + 4} 2xx" not in out:
        raise processes.Failed(f"h2load: {out}")
    return net(all_of_it, start, count)


def net(all_of_it, start, count):
    """What a run cost beyond its start."""
    keys = ("cpu", "seconds")
    return all_of_it | {key: all_of_it[key] - start[key] for key in keys} | {"count": count}


def encryption(bench, count, head):
    """The limit of Web Push: encryption alone, without its start."""
    costs = []
    for messages in (1, count + 1):
        command = [bench.tools, "encrypt", "--count", messages, "--length", head["plaintextLength"]]
        out, cost = processes.run(command)
        # By its own clock, since its start makes keys for a while.
        costs.append(cost | {"seconds": json.loads(out)["seconds"]})
    return net(costs[1], costs[0], count)


def measure_peer(bench, name, count):
    """What a message costs with what people use today, without its start."""
    command, environment = bench.peers.command(name)
    if not command:
        return None
    log = bench.work / "peers.log"
    costs = []
    for messages in (1, count + 1):
        out, cost = processes.run([*command, messages], env=environment, log=log)
        told = json.loads(out.strip().splitlines()[-1])
        if told["accepted"] != messages:
            print(f"{name} says that {told['accepted']} of {messages} were accepted", file=sys.stderr)
        costs.append(cost | {"seconds": told["seconds"]})
    return net(costs[1], costs[0], count)
