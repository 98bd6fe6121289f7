"""The server under test: the release binary with its default settings, pinned to the sender's core."""

import contextlib
import http.client
import json
import re

from . import processes
from .database import INSTANCE, SECRET_KEY, url

DELIVERIES = re.compile(r'^heliostat_deliveries_total\{(?=.*gateway="(\w+)")(?=.*outcome="(\w+)").*\} (\d+)', re.M)

# One instance asks for more here than is granted by default.
UNLIMITED = {"HELIOSTAT_LIMITS_PUBLISHES_PER_SECOND_MAX": "0"}

TITLE = "Line 7 is closed"
BODY = "From Monday the 7 ends at Central Station; take the 12 from there. We are sorry for the detour."
ARTICLE = "2026-11-23-line-7-is-closed-from-monday-until-christmas"
PAYLOADS = {
    "apns": {"aps": {"alert": {"title": TITLE, "body": BODY}, "sound": "default"}, "article": ARTICLE},
    "fcm": {"notification": {"title": TITLE, "body": BODY}, "data": {"article": ARTICLE}},
    "web": {"notification": {"title": TITLE, "body": BODY}, "data": {"article": ARTICLE}},
}


class Server:
    """A running server."""

    def __init__(self, process, port):
        self.process, self.port = process, port

    @property
    def pid(self):
        return self.process.pid

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def request(self, method, path, body=None, headers=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def publish(self, audience, names, payloads):
        body = json.dumps({audience: names, **payloads})
        path = f"/publish_api/v1/instances/{INSTANCE}/publishes/{audience}"
        headers = {"authorization": f"Bearer {SECRET_KEY}", "content-type": "application/json"}
        status, answer = self.request("POST", path, body, headers)
        if status != 200:
            raise processes.Failed(f"publishing: {status} {answer}")

    def deliveries(self):
        """How many deliveries had their end, by gateway and outcome."""
        _, text = self.request("GET", "/metrics")
        return {(gateway, outcome): int(count) for gateway, outcome, count in DELIVERIES.findall(text)}

    def is_up(self):
        if self.process.poll() is not None:
            raise processes.Failed("the server ended; see its log")
        try:
            return self.request("GET", "/healthz")[0] == 200
        except OSError:
            return False


@contextlib.contextmanager
def serving(bench, database, core=processes.SENDER_CORE, gateway_url=None, under=(), **settings):
    """A server on a database for as long as the block runs; `under` a tool that watches it."""
    port = processes.free_port()
    environment = bench.environment(gateway_url) | UNLIMITED | settings
    command = [*under, bench.binary, "serve", "--listen", f"127.0.0.1:{port}", "--database", url(database)]
    with processes.running(command, core, environment, bench.work / "heliostat.log") as process:
        server = Server(process, port)
        processes.wait_until("the server listening", server.is_up, every=0.002)
        yield server


def fan_out(bench, server, platform, interest, count):
    """Publishes to an interest and waits until all of it is settled; what that cost."""
    before = server.deliveries()
    seen_before = bench.receiver.requests()
    span = processes.Span(server.pid)
    server.publish("interests", [interest], {platform: PAYLOADS[platform]})
    # The receiver is asked first, since being asked for metrics costs the server time.
    processes.wait_until("the fan-out", lambda: bench.receiver.requests() - seen_before >= count, 900, 0.02)

    def ended():
        now = server.deliveries()
        ends = {key: count - before.get(key, 0) for key, count in now.items()}
        return ends if sum(ends.values()) >= count else None

    ends = processes.wait_until("the settling", ended, 120, 0.01)
    measured = span.end()
    accepted = ends.get((platform, "accepted"), 0)
    if accepted != count:
        raise processes.Failed(f"not all of {count} deliveries were accepted: {ends}")
    return measured | {"count": count}
