"""A PostgreSQL server of the benchmark's own, durable, with a database that has users with a device each, all in one interest."""

import contextlib
import os
import re
import subprocess

from . import database, processes

TPS = re.compile(r"^tps = ([\d.]+)", re.M)
BOTH_CORES = f"{processes.SENDER_CORE},{processes.RECEIVER_CORE}"
FILL = f"""
INSERT INTO users (instance, id) SELECT instance, 'user-' || n FROM instances, generate_series(0, {database.USERS - 1}) AS n;
INSERT INTO devices (instance, id, platform, identity, digest, bundle_id, metadata, user_number, created_at, registered_at)
    SELECT instance, gen_random_uuid(), 'apns', token, sha256(('apns:' || token)::bytea), 'com.example.app', '{{}}', user_number, 1, 1
      FROM (SELECT instance, user_number, encode(sha256(id::bytea), 'hex') AS token FROM users) AS u;
INSERT INTO interests (instance, name) SELECT instance, 'apns' FROM instances;
INSERT INTO subscriptions (instance, interest, device)
    SELECT instance, interest, device FROM devices JOIN interests USING (instance);
VACUUM ANALYZE;
CREATE TABLE rate (instance bigint, publish bigint GENERATED ALWAYS AS IDENTITY, id uuid, payloads text,
    PRIMARY KEY (instance, publish));
"""


@contextlib.contextmanager
def running(bench, cores=BOTH_CORES):
    """The URL of a server for as long as the block runs."""
    # Not where only root may look, as whom the server does not run.
    folder = f"/tmp/heliostat-bench-postgres-{os.getpid()}"
    start = ["taskset", "-c", cores, bench.root / "scripts/postgres", "start", folder]
    environment = os.environ | {"DURABLE": "1"}
    started = subprocess.run(start, check=True, capture_output=True, text=True, env=environment)
    try:
        yield started.stdout.strip()
    finally:
        subprocess.run([bench.root / "scripts/postgres", "stop", folder], check=True)


def fill(bench, url):
    """Makes the instance, its users and their devices."""
    database.create_instance(bench, url)
    command = ["psql", "-q", "-v", "ON_ERROR_STOP=1", url]
    subprocess.run(command, input=FILL, text=True, check=True, stdout=subprocess.DEVNULL)


def inserts_per_second(bench, url, payloads, clients, seconds, cores=BOTH_CORES):
    """What pgbench does of single inserts of what a publish carries, each durable by itself."""
    script = bench.work / "insert.sql"
    quoted = payloads.replace("'", "''").replace(":", "\\:")
    script.write_text(
        f"INSERT INTO rate (instance, id, payloads) VALUES (1, gen_random_uuid(), '{quoted}');\n", encoding="utf-8"
    )
    command = ["pgbench", "-n", "-M", "simple", "-c", clients, "-j", 2, "-T", seconds, "-f", script, url]
    out, _ = processes.run(command, cores, log=bench.work / "pgbench.log")
    return float(TPS.search(out if isinstance(out, str) else out.decode()).group(1))
