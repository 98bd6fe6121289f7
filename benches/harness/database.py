"""Databases full of devices.

The program makes the database, the instance and its credentials; devices are then written as rows, since registering a
million would take longer than all measurements. Copies of them are cached until the schema or the sizes change.
"""

import base64
import hashlib
import itertools
import json
import os
import shutil
import sqlite3
import subprocess
import time

INSTANCE = "6f1d2b1c-7c0a-4d3e-9d6a-3b1f0a5c9e42"
SECRET_KEY = "B3NC4B3NC4B3NC4B3NC4B3NC4B3NC4B3"
MASTER_KEY = base64.b64encode(b"heliostat-bench-master-key-32byt").decode()
USERS = 10_000
OUTSIDER = "outsider"
OUTSIDER_TOKEN = "0123456789abcdef" * 4
# How many devices of each platform get a small publish first, so that connections and caches are there.
WARM = 2000
# Where browsers are until a copy is made, and the receiver's port is known.
NOWHERE = "https://localhost:1"

DEVICE = """INSERT INTO devices (device, instance, id, platform, identity, keys, bundle_id, metadata, user_number,
    created_at, registered_at) VALUES (?, ?, ?, ?, ?, ?, ?, '{}', ?, ?, ?)"""

# How many devices of each platform the two databases have.
DEVICES = {"apns": 200_000, "fcm": 200_000, "web": 50_000}
LARGE = {"apns": 1_000_000}


def devices(bench):
    """The database of most rows."""
    return Template(bench, "devices", {platform: bench.size(full) for platform, full in DEVICES.items()})


def large(bench):
    """The database of the rows with a million devices."""
    return Template(bench, "large", {platform: bench.size(full) for platform, full in LARGE.items()})


def empty(bench):
    """A database with an instance, users, and no device."""
    return Template(bench, "empty", {})


class Template:
    """A database to be copied: so many devices of each platform, each platform's in an interest of its name."""

    def __init__(self, bench, name, sizes):
        self.bench, self.name, self.sizes = bench, name, sizes
        digest = hashlib.sha256(json.dumps(sizes, sort_keys=True).encode())
        for migration in sorted((bench.root / "crates/store/migrations/sqlite").iterdir()):
            digest.update(migration.read_bytes())
        digest.update((bench.root / "benches/harness/database.py").read_bytes())
        self.path = bench.work / "seed" / f"{name}-{digest.hexdigest()[:16]}.db"

    def copy(self):
        """A fresh copy to be worked on."""
        if not self.path.exists():
            self._make()
        copy = self.bench.work / "run" / f"{self.name}.db"
        copy.parent.mkdir(parents=True, exist_ok=True)
        for suffix in ("", "-wal", "-shm"):
            copy.with_name(copy.name + suffix).unlink(missing_ok=True)
        shutil.copyfile(self.path, copy)
        database = sqlite3.connect(copy, isolation_level=None)
        moved = "UPDATE devices SET identity = replace(identity, ?, ?) WHERE platform = 'web'"
        database.execute(moved, (NOWHERE, self.bench.receiver.url))
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        database.close()
        set_fcm_credential(self.bench, copy)
        os.sync()
        return copy

    def _make(self):
        self.bench.say(f"filling a database: {self.sizes}")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        for old in self.path.parent.glob(f"{self.name}-*"):
            old.unlink()
        building = self.path.with_suffix(".building")
        for suffix in ("", "-wal", "-shm"):
            building.with_name(building.name + suffix).unlink(missing_ok=True)
        create_instance(self.bench, building)
        fill(self.bench, building, self.sizes)
        building.rename(self.path)


def url(database):
    """How a database is named to the program: one of PostgreSQL by its URL, one of SQLite by its path."""
    return database if str(database).startswith("postgres:") else f"sqlite:{database}"


def heliostat(bench, path, *arguments):
    """Runs one of the program's commands on a database that no server has open."""
    command = [bench.binary, *map(str, arguments), "--database", url(path)]
    subprocess.run(command, check=True, env=bench.environment(), stdout=subprocess.DEVNULL)


def create_instance(bench, path):
    """Makes an instance with a credential for APNs."""
    heliostat(bench, path, "instance", "create", "--name", "bench", "--id", INSTANCE, "--secret-key", SECRET_KEY)
    ids = ["--key-id", "BENCHKEY01", "--team-id", "BENCHTEAM1"]
    key = bench.certificates.apns_key
    heliostat(bench, path, "credential", "set", "apns", "--instance", INSTANCE, "--key-file", key, *ids)


def set_fcm_credential(bench, path):
    """Sets a service account whose tokens come from this run's receiver."""
    account = {
        "type": "service_account",
        "project_id": "bench",
        "private_key_id": "bench",
        "private_key": bench.certificates.fcm_key.read_text(encoding="ascii"),
        "client_email": "bench@bench.iam.gserviceaccount.com",
        "token_uri": f"{bench.receiver.url}/token",
    }
    file = bench.work / "service-account.json"
    file.write_text(json.dumps(account), encoding="utf-8")
    heliostat(bench, path, "credential", "set", "fcm", "--instance", INSTANCE, "--service-account", file)


def _apns(_number, _keys):
    return os.urandom(32).hex(), None, "com.example.app"


def _fcm(_number, _keys):
    noise = base64.urlsafe_b64encode(os.urandom(117)).decode().rstrip("=")
    return f"{noise[:22]}:APA91b{noise[22:]}"[:163], None, None


def _web(number, keys):
    noise = base64.urlsafe_b64encode(os.urandom(96)).decode()
    return f"{NOWHERE}/wpush/v2/{number}{noise}", next(keys), None


TOKENS = {"apns": _apns, "fcm": _fcm, "web": _web}


def browser_keys(bench, count):
    """Public keys and secrets of so many browsers, as the database has them."""
    command = [bench.tools, "keys", str(count)]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split("\n")
    for line in filter(None, lines):
        yield b"".join(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)) for part in line.split())


def fill(bench, path, sizes):
    """Writes devices, users, interests and subscriptions."""
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("PRAGMA synchronous = OFF")
    database.execute("PRAGMA cache_size = -400000")
    (instance,) = database.execute("SELECT instance FROM instances").fetchone()
    now = int(time.time() * 1000)
    database.execute("BEGIN")
    users = ((number + 1, instance, f"user-{number}") for number in range(USERS))
    database.executemany("INSERT INTO users (user_number, instance, id) VALUES (?, ?, ?)", users)
    device = 0
    for platform, size in sizes.items():
        keys = browser_keys(bench, size) if platform == "web" else iter(())
        first = device + 1

        def rows(platform=platform, size=size, keys=keys, first=first):
            for number in range(size):
                token, key, bundle = TOKENS[platform](number, keys)
                user = number + 1 if platform == "apns" and number < USERS else None
                yield first + number, instance, os.urandom(16), platform, token, key, bundle, user, now, now

        database.executemany(DEVICE, rows())
        device += size
        for name, length in ((platform, size), (f"{platform}-tenth", size // 10), (f"{platform}-warm", WARM)):
            _subscribe(database, instance, name, range(first, first + min(length, size)))
    _add_outsider(database, instance, device + 1)
    database.execute("COMMIT")
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()


def _add_outsider(database, instance, device):
    """A user whose device is in no interest: nothing but a publish to the user reaches it."""
    user = database.execute("INSERT INTO users (instance, id) VALUES (?, ?)", (instance, OUTSIDER)).lastrowid
    row = (device, instance, os.urandom(16), "apns", OUTSIDER_TOKEN, None, "com.example.app", user, 1, 1)
    database.execute(DEVICE, row)


def _subscribe(database, instance, name, devices):
    database.execute("INSERT INTO interests (instance, name) VALUES (?, ?)", (instance, name))
    (interest,) = database.execute("SELECT interest FROM interests WHERE name = ?", (name,)).fetchone()
    pairs = zip(itertools.repeat(interest), devices)
    database.executemany("INSERT INTO subscriptions (interest, device) VALUES (?, ?)", pairs)


def add_one(path, platform, interest, endpoint):
    """An interest with one device: one of the platform, or a browser of its own with this endpoint."""
    database = sqlite3.connect(path, isolation_level=None)
    (instance,) = database.execute("SELECT instance FROM instances").fetchone()
    (device,) = database.execute("SELECT max(device) FROM devices WHERE platform = ?", (platform,)).fetchone()
    if platform == "web":
        (keys,) = database.execute("SELECT keys FROM devices WHERE device = ?", (device,)).fetchone()
        (last,) = database.execute("SELECT max(device) FROM devices").fetchone()
        device = last + 1
        database.execute(DEVICE, (device, instance, os.urandom(16), "web", endpoint, keys, None, None, 1, 1))
    _subscribe(database, instance, interest, [device])
    database.close()
