"""Heliostat's emulators as the gateways of a soak: told how to misbehave, and asked what they took."""

import contextlib
import json
import os
import re
import urllib.request

from . import processes

# Whose notifications come where. Both of Apple's services count, since a device may be tried on the other one.
GATEWAYS = {"apns": ("apns", "apns-sandbox"), "fcm": ("fcm",)}
# The verdicts that were answered, so that the server knows that nothing was taken.
REFUSALS = ("throttled", "server-error")


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

    def totals(self):
        """By platform, how many notifications the gateways took, and how many they refused."""
        told = json.loads(self.control("GET", "totals"))
        taken, refused = {}, {}
        for platform, gateways in GATEWAYS.items():
            verdicts = [told[gateway]["verdicts"] for gateway in gateways]
            taken[platform] = sum(counts.get("accepted", 0) for counts in verdicts)
            refused[platform] = sum(counts.get(verdict, 0) for counts in verdicts for verdict in REFUSALS)
        return taken, refused

    def misbehaved(self):
        """How often each gateway did what it was told to do wrong: by gateway and verdict."""
        told = json.loads(self.control("GET", "totals"))
        return {(gateway, verdict) for gateway, counts in told.items() for verdict in counts["verdicts"] if verdict != "accepted"}
