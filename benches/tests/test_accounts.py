"""The judgement of a soak finds what is wrong: books that agree pass, and each thing that could be lost or doubled does not.

The database has the schema of the program's own migrations, so a table that changes breaks these tests and not the next soak.
"""

import contextlib
import os
import sqlite3
import sys
import tempfile
import unittest
import uuid
from pathlib import Path

BENCHES = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(BENCHES))

from harness import accounts  # noqa: E402
from harness.processes import Failed  # noqa: E402

INTERESTS = {"apns-warm": "apns", "fcm-warm": "fcm", "web-warm": "web"}
DEVICES, TO_USERS = 3, 300


class Judgement(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.path = Path(directory.name) / "soak.db"
        self.book = sqlite3.connect(self.path, isolation_level=None)
        self.addCleanup(self.book.close)
        self.book.execute("PRAGMA synchronous = OFF")
        self.book.execute("PRAGMA journal_mode = MEMORY")
        for migration in sorted((BENCHES.parent / "crates/store/migrations/sqlite").glob("*.sql")):
            self.book.executescript(migration.read_text(encoding="utf-8"))
        self.book.execute("PRAGMA foreign_keys = OFF")
        self.ids = []
        self.seen = accounts.Seen(
            acknowledged=Path(directory.name) / "acknowledged", interests=list(INTERESTS),
            accepted={"apns": TO_USERS + DEVICES, "fcm": DEVICES, "web": DEVICES})
        self.fill()

    def fill(self):
        for number, (interest, platform) in enumerate(INTERESTS.items(), 1):
            self.book.execute("INSERT INTO interests (interest, instance, name) VALUES (?, 1, ?)", (number, interest))
            for device in range(DEVICES):
                self.book.execute("INSERT INTO subscriptions (interest, device) VALUES (?, ?)", (number, 10 * number + device))
            publish = self.publish("interests", platform, DEVICES)
            self.event(publish)
        for _ in range(TO_USERS):
            self.publish("users", "apns", 1)

    def publish(self, named, platform, count):
        """Stores one that was answered."""
        self.ids.append(os.urandom(16))
        sql = "INSERT INTO publishes (instance, id, accepted_at, finished_at, state, named) VALUES (1, ?, 1, 2, 'finished', ?)"
        publish = self.book.execute(sql, (self.ids[-1], named)).lastrowid
        self.book.execute("INSERT INTO tallies VALUES (?, ?, 'accepted', '', ?)", (publish, platform, count))
        return publish

    def event(self, publish, state="delivered"):
        """Queues what the webhook is told of a fan-out, and has it come."""
        number = uuid.uuid4()
        self.book.execute(
            "INSERT INTO webhook_requests (webhook, id, event_id, event, publish, state, attempts) VALUES (1, ?, ?, 'e', ?, ?, 1)",
            (number.bytes, os.urandom(16), publish, state))
        self.seen.told.append(str(number))

    def failing(self):
        """Which lines of the judgement do not pass."""
        self.seen.acknowledged.write_bytes(b"".join(self.ids))
        return [what for what, _, met in accounts.judge(self.path, self.seen) if not met]

    def doctor(self, sql):
        """Changes one row, behind the program's back."""
        self.assertEqual(self.book.execute(sql).rowcount, 1)

    # ------------------------------------------------------------------ what is well

    def test_books_that_agree_pass(self):
        self.assertEqual(self.failing(), [])

    def test_a_publish_that_broke_off_may_be_stored(self):
        self.ids.pop()
        self.seen.broken = 1
        self.assertEqual(self.failing(), [])

    def test_what_ended_in_doubt_may_be_sent_twice(self):
        self.seen.accepted["fcm"] += 5
        self.seen.doubtful["fcm"] = 5
        self.assertEqual(self.failing(), [])

    def test_what_a_kill_left_unsettled_may_be_sent_twice(self):
        self.seen.accepted["apns"] += accounts.UNSETTLED_MAX
        self.seen.told += self.seen.told
        self.seen.kills = 1
        self.assertEqual(self.failing(), [])

    # ------------------------------------------------------------------ publishes

    def test_a_lost_publish_is_found(self):
        self.doctor("DELETE FROM publishes WHERE publish = 100")
        self.assertEqual(self.failing(), ["publishes"])

    def test_a_lost_publish_is_found_beside_one_that_was_not_answered(self):
        # By their numbers the two make up for each other.
        self.ids.pop()
        self.seen.broken = 1
        self.doctor("DELETE FROM publishes WHERE publish = 100")
        self.assertEqual(self.failing(), ["publishes"])

    def test_a_publish_that_nobody_asked_for_is_found(self):
        self.ids.pop()
        self.assertEqual(self.failing(), ["publishes"])

    def test_an_id_that_was_given_twice_is_found(self):
        self.ids.append(self.ids[-1])
        self.assertEqual(self.failing(), ["publishes"])

    def test_a_publish_that_is_not_finished_is_found(self):
        self.doctor("UPDATE publishes SET state = 'running' WHERE publish = 100")
        self.assertEqual(self.failing(), ["publishes"])

    def test_nothing_acknowledged_is_no_success(self):
        self.ids.clear()
        self.seen.broken = 1000
        self.assertEqual(self.failing(), ["publishes"])

    def test_a_file_that_was_cut_off_is_told(self):
        self.ids.append(b"half")
        with self.assertRaises(Failed):
            self.failing()

    # ------------------------------------------------------------------ deliveries

    def test_one_more_in_a_tally_is_found(self):
        self.doctor("UPDATE tallies SET count = count + 1 WHERE publish = 100")
        self.assertEqual(self.failing(), ["deliveries", "gateways"])

    def test_one_more_and_one_less_are_found(self):
        # The sums agree, and so do the gateways'.
        self.doctor("UPDATE tallies SET count = count + 1 WHERE publish = 100")
        self.doctor("UPDATE tallies SET count = count - 1 WHERE publish = 101")
        self.assertEqual(self.failing(), ["deliveries"])

    def test_an_end_that_is_no_acceptance_is_found(self):
        self.doctor("UPDATE tallies SET outcome = 'expired' WHERE publish = 100")
        self.seen.accepted["apns"] -= 1
        self.assertEqual(self.failing(), ["deliveries"])

    def test_a_delivery_that_was_tallied_and_never_sent_is_found(self):
        self.seen.accepted["web"] -= 1
        self.assertEqual(self.failing(), ["gateways"])

    def test_a_delivery_that_was_sent_twice_without_need_is_found(self):
        self.seen.accepted["web"] += 1
        self.assertEqual(self.failing(), ["gateways"])

    def test_doubts_at_one_gateway_excuse_nothing_at_another(self):
        self.seen.accepted["web"] += 1
        self.seen.doubtful["fcm"] = 100
        self.assertEqual(self.failing(), ["gateways"])

    def test_what_only_a_gateway_knows_of_is_found(self):
        self.doctor("DELETE FROM tallies WHERE platform = 'web'")
        self.assertEqual(self.failing(), ["deliveries", "gateways"])

    def test_devices_that_are_gone_are_told(self):
        self.doctor("DELETE FROM subscriptions WHERE device = 10")
        with self.assertRaises(Failed):
            self.failing()

    # ------------------------------------------------------------------ webhook and queues

    def test_an_event_that_was_never_raised_is_found(self):
        self.doctor("DELETE FROM webhook_requests WHERE publish = 1")
        self.seen.told.pop(0)
        self.assertEqual(self.failing(), ["webhook"])

    def test_an_event_that_was_raised_twice_is_found(self):
        self.event(1)
        self.assertEqual(self.failing(), ["webhook"])

    def test_an_event_that_never_came_is_found(self):
        self.seen.told.pop()
        self.assertEqual(self.failing(), ["webhook"])

    def test_an_event_that_came_too_often_is_found(self):
        self.seen.told.append(self.seen.told[-1])
        self.assertEqual(self.failing(), ["webhook"])

    def test_an_event_that_was_given_up_is_found(self):
        self.doctor("UPDATE webhook_requests SET state = 'failed' WHERE publish = 1")
        self.assertEqual(self.failing(), ["webhook"])

    def test_work_that_is_left_is_found(self):
        left = {
            "jobs": "INSERT INTO jobs (publish, cursor, range_end) VALUES (1, 0, 1)",
            "retries": "INSERT INTO retries (publish, device, attempts, due_at, reason) VALUES (1, 10, 1, 1, 'r')",
            "scheduled": "INSERT INTO scheduled (publish, send_at, audience) VALUES (1, 1, '')",
            "lists": "INSERT INTO lists (instance, created_at) VALUES (1, 1)",
            "webhook requests": "UPDATE webhook_requests SET state = 'waiting' WHERE publish = 1",
        }
        self.assertEqual(left.keys(), accounts.QUEUES.keys())
        for queue, sql in left.items():
            with self.subTest(queue), contextlib.ExitStack() as undo:
                self.book.execute("BEGIN")
                undo.callback(self.book.execute, "ROLLBACK")
                self.doctor(sql)
                _, told, met = accounts._queues(self.book)
                self.assertFalse(met)
                self.assertIn(f"1 {queue}", told)


if __name__ == "__main__":
    unittest.main()
