"""What people use today to send, as plain senders."""

import os
import sys

from . import receiver

NAMESPACE = 'mount --bind "$0" /etc/hosts && exec "$@"'


class Peers:
    """How to run each of them."""

    def __init__(self, bench):
        self.bench = bench
        self.keys = bench.work / "keys"

    def browsers(self):
        """A file with the keys of some browsers."""
        if not self.keys.exists():
            import subprocess

            with open(self.keys, "wb") as file:
                subprocess.run([self.bench.tools, "keys", "1000"], check=True, stdout=file)
        return self.keys

    def command(self, name):
        """Command and environment; the count of messages is to be added. None for the command if it cannot run here."""
        bench = self.bench
        port, ca, key = bench.receiver.port, bench.certificates.ca, bench.certificates.apns_key
        folder = bench.root / "benches/peers"
        node, python = folder / "node", [bench.python, folder / "python"]
        environment = os.environ | {"NODE_EXTRA_CA_CERTS": str(ca), "SSL_CERT_FILE": str(ca)}
        match name:
            case "apns-h2":
                return self._apns_h2(key), environment
            case "@parse/node-apn":
                return ["node", node / "node-apn.mjs", port, key, ca], environment
            case "firebase-admin":
                return ["node", node / "firebase-admin.mjs", port], environment
            case "web-push":
                return ["node", node / "web-push.mjs", port, self.browsers()], environment
            case "aioapns":
                return [python[0], python[1] / "aioapns_sender.py", port, key, ca], environment
            case "pywebpush":
                return [python[0], python[1] / "pywebpush_sender.py", port, self.browsers(), ca], environment
        raise ValueError(name)

    def _apns_h2(self, key):
        """It knows Apple's host only, so it gets a hosts file of its own; that, and Apple's port, only root can give it."""
        if not self.bench.receiver.root:
            print("apns-h2 is left out: it needs root for a hosts file of its own", file=sys.stderr)
            return None
        hosts = self.bench.work / "hosts"
        hosts.write_text(f"127.0.0.1 localhost\n{receiver.APPLE} api.push.apple.com\n", encoding="ascii")
        return ["unshare", "-m", "sh", "-c", NAMESPACE, hosts, self.bench.apns_h2, key]
