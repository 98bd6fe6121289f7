"""The heliostat program with TLS, as the Python SDK needs it: it speaks nothing but https.

Starts the emulators and a server behind a test CA, and stands in for a client SDK at the device API.
"""

import base64
import json
import os
import re
import secrets
import shlex
import shutil
import ssl
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from pathlib import Path

PROGRAM = os.environ.get(
    "HELIOSTAT_BIN", str(Path(__file__).resolve().parents[5] / "target/debug/heliostat")
)
PATIENCE_SECONDS = 30
STOP_SECONDS = 20


def until(what, ask):
    """Asks until the answer is neither false nor None, and returns it. OSError counts as "not yet"."""
    end = time.monotonic() + PATIENCE_SECONDS
    while True:
        last = None
        try:
            last = ask()
            if last:
                return last
        except OSError as error:
            last = error
        if time.monotonic() > end:
            raise AssertionError(f"waited {PATIENCE_SECONDS} s in vain for {what}; last seen: {last!r}")
        time.sleep(0.05)


def make_certificate(directory):
    """A CA, and a certificate of it for 127.0.0.1; returns the paths of CA, certificate and key."""

    def openssl(*arguments):
        subprocess.run(("openssl", *arguments), cwd=directory, check=True, capture_output=True)

    new_key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    openssl("req", "-x509", *new_key, "-days", "2", "-subj", "/CN=Test CA", "-keyout", "ca.key", "-out", "ca.pem")
    openssl("req", *new_key, "-subj", "/CN=localhost", "-keyout", "server.key", "-out", "server.csr")
    (directory / "names").write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\nextendedKeyUsage=serverAuth\n")
    issue = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "names")
    openssl("x509", "-req", "-in", "server.csr", *issue, "-out", "server.pem")
    return directory / "ca.pem", directory / "server.pem", directory / "server.key"


class Heliostat:
    """Emulators, a server that speaks TLS, and one instance."""

    def __init__(self):
        self.instance_id = str(uuid.uuid4())
        self.secret_key = secrets.token_hex(32).upper()
        self.directory = Path(tempfile.mkdtemp(prefix="heliostat-sdk-"))
        self._processes = []
        try:
            self._start()
        except BaseException:
            self.stop()
            raise

    def _start(self):
        self.ca_file, certificate, key = make_certificate(self.directory)
        self._trust = ssl.create_default_context(cafile=self.ca_file)
        out = self.directory / "emulators"
        self._spawn("emulate", "--out", str(out))
        text = until("the emulators to write env.sh", (out / "env.sh").read_text)
        exports = re.findall(r"^export (\w+=.*)$", text, re.MULTILINE)
        self.emulators = dict("".join(shlex.split(line)).split("=", 1) for line in exports)
        self._environment = {
            **os.environ,
            **self.emulators,
            "HELIOSTAT_DATABASE": f"sqlite:{self.directory / 'heliostat.db'}",
            "HELIOSTAT_TLS_CERTIFICATE_FILE": str(certificate),
            "HELIOSTAT_TLS_KEY_FILE": str(key),
        }
        create = ("instance", "create", "--name", "SDK", "--id", self.instance_id, "--secret-key", self.secret_key)
        subprocess.run((PROGRAM, *create), env=self._environment, check=True, capture_output=True)
        log = self._spawn("serve", "--listen", "127.0.0.1:0")
        where = re.compile(r"listening on https://(127\.0\.0\.1:\d+)")
        self.endpoint = until("the server to say where it listens", lambda: where.search(log.read_text()))[1]
        until("the server to be ready", lambda: self._call("GET", f"https://{self.endpoint}/readyz")[0] == 200)

    def _spawn(self, command, *arguments):
        log = self.directory / f"{command}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                (PROGRAM, command, *arguments),
                stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                env=getattr(self, "_environment", None),
            )
        self._processes.append(process)
        return log

    def _call(self, method, url, body=None, token=None):
        """A request; returns its status and parsed body."""
        request = urllib.request.Request(url, method=method, data=body and json.dumps(body).encode())
        if body:
            request.add_header("Content-Type", "application/json")
        if token:
            request.add_header("Authorization", f"Bearer {token}")
        handlers = (urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=self._trust))
        try:
            with urllib.request.build_opener(*handlers).open(request) as answer:
                return answer.status, json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read() or b"null")

    def device(self, method, path, **rest):
        """A request to the device API of the instance, as a client SDK makes it."""
        return self._call(method, f"https://{self.endpoint}/device_api/v1/instances/{self.instance_id}{path}", **rest)

    def browser(self):
        """Registers a browser whose messages the emulator can read; returns its device id and its name there."""
        _, vapid = self.device("GET", "/web-vapid-public-key")
        wanted = {"applicationServerKey": vapid["vapidPublicKey"]}
        _, subscription = self._call("POST", f"{self.emulators['EMULATOR_CONTROL_URL']}/subscriptions", wanted)
        token = base64.b64encode(json.dumps(subscription).encode()).decode()
        status, device = self.device("POST", "/devices/web", body={"token": token})
        assert status == 200, device
        return device["id"], subscription["endpoint"].rsplit("/", 1)[1]

    def notification(self, at, publish_id):
        """The payload of a publish, as soon as it has reached this browser."""
        url = f"{self.emulators['EMULATOR_CONTROL_URL']}/notifications?gateway=web-push&token={at}"

        def find():
            payloads = [seen.get("payload") for seen in self._call("GET", url)[1]]
            return next((payload for payload in payloads if publish_id in json.dumps(payload)), None)

        return until(f"{publish_id} to arrive", find)

    def stop(self):
        """Ends everything and removes what it wrote."""
        for process in reversed(self._processes):
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)
