"""What this disk and SQLite can do by themselves: the limits of the rows about durability."""

import os
import sqlite3
import time

# As much as SQLite writes for a small change: a page.
PAGE = b"x" * 4096


def commit_milliseconds(directory, count=300):
    """How long each of so many durable writes of a page takes: append, fdatasync."""
    path = directory / "commits"
    took = []
    with open(path, "wb", buffering=0) as file:
        for _ in range(count):
            began = time.perf_counter()
            file.write(PAGE)
            os.fdatasync(file.fileno())
            took.append((time.perf_counter() - began) * 1000)
    path.unlink()
    return sorted(took)


def registrations_per_second(path, group, seconds):
    """Devices per second when their rows are written to a database's tables, `group` of them per durable commit."""
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("PRAGMA synchronous = FULL")
    (instance,) = database.execute("SELECT instance FROM instances").fetchone()
    for name in ("a", "b", "c"):
        database.execute("INSERT OR IGNORE INTO interests (instance, name) VALUES (?, ?)", (instance, f"limit-{name}"))
    interests = [row[0] for row in database.execute("SELECT interest FROM interests WHERE name LIKE 'limit-%'")]
    (run,) = database.execute("SELECT max(device) FROM devices").fetchone()
    done, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        database.execute("BEGIN IMMEDIATE")
        for number in range(done, done + group):
            _register(database, instance, interests, f"limit-{run}-{number}")
        database.execute("COMMIT")
        done += group
    rate = done / (time.perf_counter() - began)
    database.close()
    return rate


def _register(database, instance, interests, name):
    user = database.execute("INSERT INTO users (instance, id) VALUES (?, ?)", (instance, name)).lastrowid
    device = database.execute(
        "INSERT INTO devices (instance, id, platform, identity, bundle_id, metadata, user_number, created_at,"
        " registered_at) VALUES (?, ?, 'apns', ?, 'com.example.app', '{}', ?, 1, 1)",
        (instance, os.urandom(16), os.urandom(32).hex(), user),
    ).lastrowid
    subscriptions = [(interest, device) for interest in interests]
    database.executemany("INSERT INTO subscriptions (interest, device) VALUES (?, ?)", subscriptions)


def events_per_second(path, group, seconds):
    """Events per second when their rows are written, and counted for a publish and an hour, `group` per durable commit."""
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("PRAGMA synchronous = FULL")
    (instance,) = database.execute("SELECT instance FROM instances").fetchone()
    publish = database.execute(
        "INSERT INTO publishes (instance, id, accepted_at, finished_at) VALUES (?, ?, 1, 1)", (instance, os.urandom(16))
    ).lastrowid
    done, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        database.execute("BEGIN IMMEDIATE")
        for device in range(done, done + group):
            database.execute("INSERT INTO events (publish, kind, device, at) VALUES (?, 'open', ?, 1)", (publish, device))
            database.execute("UPDATE publishes SET opened = opened + 1 WHERE publish = ?", (publish,))
            database.execute(
                "INSERT INTO event_hours (instance, hour, platform, kind, count) VALUES (?, 0, 'apns', 'open', 1)"
                " ON CONFLICT DO UPDATE SET count = count + 1",
                (instance,),
            )
        database.execute("COMMIT")
        done += group
    rate = done / (time.perf_counter() - began)
    database.close()
    return rate


def bulk_rows_per_second(path, rows):
    """Devices per second when ready rows are written in one transaction: each a device, a user and a subscription."""
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("PRAGMA synchronous = FULL")
    (instance,) = database.execute("SELECT instance FROM instances").fetchone()
    interest = database.execute("INSERT INTO interests (instance, name) VALUES (?, 'bulk')", (instance,)).lastrowid
    first = database.execute("SELECT coalesce(max(device), 0) FROM devices").fetchone()[0] + 1
    user = database.execute("SELECT coalesce(max(user_number), 0) FROM users").fetchone()[0] + 1
    users = [(user + at, instance, row["userId"]) for at, row in enumerate(rows)]
    devices = [
        (first + at, instance, os.urandom(16), row["token"], row["bundleIdentifier"], user + at)
        for at, row in enumerate(rows)
    ]
    began = time.perf_counter()
    database.execute("BEGIN IMMEDIATE")
    database.executemany("INSERT INTO users (user_number, instance, id) VALUES (?, ?, ?)", users)
    database.executemany(
        "INSERT INTO devices (device, instance, id, platform, identity, bundle_id, metadata, user_number, created_at,"
        " registered_at) VALUES (?, ?, ?, 'apns', ?, ?, '{}', ?, 1, 1)",
        devices,
    )
    subscriptions = ((interest, device[0]) for device in devices)
    database.executemany("INSERT INTO subscriptions (interest, device) VALUES (?, ?)", subscriptions)
    database.execute("COMMIT")
    rate = len(rows) / (time.perf_counter() - began)
    database.close()
    return rate
