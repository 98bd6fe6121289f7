"""nginx as the gateways: TLS and HTTP/2, an answer to everything, pinned to a core of its own."""

import contextlib
import os
import ssl
import subprocess
import urllib.request

from . import processes

HOSTS = ["localhost", "api.push.apple.com", "fcm.googleapis.com"]
# Where the peer that knows only Apple's host finds it, in a mount namespace with a hosts file of its own. Of this run alone,
# since the port is always 443.
APPLE = f"127.77.{os.getpid() >> 8 & 255}.{os.getpid() & 255}"

CONFIGURATION = """
daemon off;
worker_processes 1;
pid {dir}/nginx.pid;
error_log {dir}/error.log warn;
{user}
events {{ worker_connections 4096; }}
http {{
  access_log off;
  log_format status '$status';
  log_format webhook '$http_webhook_request_id_uuid';
  client_body_temp_path {dir}/body;
  proxy_temp_path {dir}/proxy;
  fastcgi_temp_path {dir}/fastcgi;
  uwsgi_temp_path {dir}/uwsgi;
  scgi_temp_path {dir}/scgi;
  keepalive_requests 1000000000;
  keepalive_timeout 3600s;
  http2_max_concurrent_streams 1000;
  client_max_body_size 64k;
  client_body_buffer_size 64k;
  server {{
    listen 127.0.0.1:{tls} ssl http2;
    {apple}
    ssl_certificate {certificate};
    ssl_certificate_key {key};
    ssl_protocols TLSv1.2 TLSv1.3;
    location /3/device/ {{ add_header apns-id $http_apns_id; return 200; }}
    location /v1/projects/ {{
      default_type application/json;
      return 200 '{{"name":"projects/bench/messages/0:1700000000000000%31bd1c9631bd1c96"}}';
    }}
    location /token {{
      default_type application/json;
      return 200 '{{"access_token":"ya29.bench","expires_in":3599,"token_type":"Bearer"}}';
    }}
    location /wpush/ {{ {counted} add_header TTL 3600; return 201; }}
    location = /webhook {{ access_log {dir}/webhook.log webhook; return 200; }}
  }}
  server {{
    listen 127.0.0.1:{status};
    location / {{ stub_status; }}
  }}
}}
"""


def _openssl(*arguments, **options):
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, **options)


class Certificates:
    """A root of our own, a certificate for the gateways' names, and the two credentials that an instance needs."""

    def __init__(self, directory):
        self.directory = directory
        self.ca, self.certificate, self.key = (directory / name for name in ("ca.pem", "gateway.pem", "gateway.key"))
        self.apns_key, self.fcm_key = directory / "AuthKey.p8", directory / "service-account.key"
        if not self.fcm_key.exists():
            directory.mkdir(parents=True, exist_ok=True)
            self._make()

    def _make(self):
        ca_key, request = self.directory / "ca.key", self.directory / "gateway.csr"
        curve = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"]
        for key in (ca_key, self.key, self.apns_key):
            _openssl("genpkey", *curve, "-out", key)
        days = ["-days", "3650"]
        authority = ["-addext", "keyUsage=critical,keyCertSign"]
        _openssl("req", "-x509", "-key", ca_key, "-subj", "/CN=Bench root", *days, *authority, "-out", self.ca)
        _openssl("req", "-new", "-key", self.key, "-subj", "/CN=Bench gateway", "-out", request)
        names = ",".join(f"DNS:{host}" for host in HOSTS) + ",IP:127.0.0.1"
        extensions = self.directory / "extensions"
        usage = "extendedKeyUsage=serverAuth\nbasicConstraints=CA:FALSE\n"
        extensions.write_text(f"subjectAltName={names}\n{usage}", encoding="ascii")
        sign = ["-CA", self.ca, "-CAkey", ca_key, "-CAcreateserial", "-extfile", extensions]
        _openssl("x509", "-req", "-in", request, *sign, *days, "-out", self.certificate)
        _openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", self.fcm_key)


class Receiver:
    """A running nginx."""

    def __init__(self, directory, certificates, counts=False):
        """`counts`: whether it is to be asked how many pushes it took, each of which then costs it a line."""
        self.directory, self.certificates, self.counts = directory, certificates, counts
        self.webhook_log, self.web_log = directory / "webhook.log", directory / "web.log"
        self.port, self.status_port = processes.free_port(), processes.free_port()
        self.url = f"https://localhost:{self.port}"
        self.root = os.geteuid() == 0
        self.process = None

    @contextlib.contextmanager
    def running(self):
        self.directory.mkdir(parents=True, exist_ok=True)
        for log in (self.webhook_log, self.web_log):
            log.unlink(missing_ok=True)
        configuration = self.directory / "nginx.conf"
        text = CONFIGURATION.format(
            dir=self.directory,
            tls=self.port,
            status=self.status_port,
            user="user root;" if self.root else "",
            apple=f"listen {APPLE}:443 ssl http2;" if self.root else "",
            counted=f"access_log {self.web_log} status;" if self.counts else "",
            certificate=self.certificates.certificate,
            key=self.certificates.key,
        )
        configuration.write_text(text, encoding="utf-8")
        command = ["nginx", "-c", configuration, "-p", self.directory, "-e", self.directory / "error.log"]
        with processes.running(command, processes.RECEIVER_CORE, log=self.directory / "nginx.log") as self.process:
            processes.wait_until("nginx listening", self._answers)
            yield self

    def _answers(self):
        if self.process.poll() is not None:
            raise processes.Failed(f"nginx does not start; see {self.directory}")
        try:
            context = ssl.create_default_context(cafile=self.certificates.ca)
            with urllib.request.urlopen(f"{self.url}/3/device/0", context=context) as answer:
                return answer.status == 200
        except OSError:
            return False

    def requests(self):
        """How many requests it has answered, those for this number included."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.status_port}/") as answer:
            return int(answer.read().split(b"\n")[2].split()[2])

    def web_pushes(self):
        """How many Web Push requests it has taken, if it counts them."""
        with self.web_log.open("rb") as log:
            return sum(line == b"201\n" for line in log)

    def webhook_requests(self):
        """The ids of the requests that came for the webhook, as often as they came."""
        return self.webhook_log.read_text(encoding="ascii").split()
