"""The official Python server SDK, unchanged, against the heliostat program over TLS."""

import os
import time
import unittest
import uuid
import warnings

import requests
from pusher_push_notifications import (
    PusherAuthError,
    PusherMissingInstanceError,
    PusherValidationError,
    PushNotifications,
)

from heliostat import Heliostat

HELLO = {"web": {"notification": {"title": "Hello", "body": "from the test"}}}
PUBLISH_ID = r"^pubid-[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$"


class ServerSdk(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.heliostat = Heliostat()
        cls.addClassCleanup(cls.heliostat.stop)

    def sdk(self, **changes):
        """The SDK, pointed at the server and told to trust its CA."""
        made_with = {
            "instance_id": self.heliostat.instance_id,
            "secret_key": self.heliostat.secret_key,
            "endpoint": self.heliostat.endpoint,
            **changes,
        }
        client = PushNotifications(**made_with)
        client.session.verify = str(self.heliostat.ca_file)
        self.addCleanup(client.session.close)
        return client

    def bind(self, device, user):
        token = self.sdk().generate_token(user)["token"]
        return self.heliostat.device("PUT", f"/devices/web/{device}/user", token=token)[0]

    def user_of(self, device):
        status, body = self.heliostat.device("GET", f"/devices/web/{device}")
        return body["userId"] if status == 200 else status

    def test_publishes_to_a_user(self):
        device, at = self.heliostat.browser()
        self.assertEqual(self.bind(device, "alice"), 200)
        answer = self.sdk().publish_to_users(["alice"], HELLO)
        self.assertRegex(answer["publishId"], PUBLISH_ID)
        payload = self.heliostat.notification(at, answer["publishId"])
        self.assertEqual(payload["notification"], HELLO["web"]["notification"])

    def test_publishes_to_interests(self):
        device, at = self.heliostat.browser()
        self.heliostat.device("POST", f"/devices/web/{device}/interests/news")
        answer = self.sdk().publish_to_interests(["news", "sports"], HELLO)
        self.assertRegex(answer["publishId"], PUBLISH_ID)
        self.heliostat.notification(at, answer["publishId"])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            answer = self.sdk().publish(["news"], HELLO)
        self.heliostat.notification(at, answer["publishId"])

    def test_tokens_are_good_in_every_time_zone(self):
        # The SDK gets the expiry wrong by the machine's distance from UTC: a day becomes 10 to 36 hours.
        self.addCleanup(time.tzset)
        self.addCleanup(os.environ.pop, "TZ", None)
        for zone in ("UTC", "America/Los_Angeles", "Asia/Tokyo", "<+14>-14", "<-12>12"):
            with self.subTest(zone=zone):
                os.environ["TZ"] = zone
                time.tzset()
                device, _ = self.heliostat.browser()
                self.assertEqual(self.bind(device, "a traveller"), 200)

    def test_deletes_a_user_with_all_devices(self):
        # The SDK leaves slashes as they are: the path has more segments than it should.
        for user in ("bob", "team/bob", "Zoë 🐝 + co", "/"):
            with self.subTest(user=user):
                devices = [self.heliostat.browser()[0] for _ in range(2)]
                for device in devices:
                    self.assertEqual(self.bind(device, user), 200)
                self.assertIsNone(self.sdk().delete_user(user))
                self.assertEqual([self.user_of(device) for device in devices], [404, 404])
                self.assertIsNone(self.sdk().delete_user(user), "a user who is not there")

    def test_deletes_nobody_else(self):
        device, _ = self.heliostat.browser()
        self.bind(device, "team")
        self.sdk().delete_user("team/bob")
        self.assertEqual(self.user_of(device), "team")

    def test_a_wrong_secret_key(self):
        forger = self.sdk(secret_key="wrong")
        for call in (
            lambda: forger.publish_to_users(["alice"], HELLO),
            lambda: forger.publish_to_interests(["news"], HELLO),
            lambda: forger.delete_user("alice"),
        ):
            with self.assertRaisesRegex(PusherAuthError, "^Unauthorized: Incorrect Secret Key$"):
                call()

    def test_an_instance_that_is_not_there(self):
        for instance_id in (str(uuid.uuid4()), "abe1212381f60"):
            lost = self.sdk(instance_id=instance_id)
            for call in (
                lambda: lost.publish_to_users(["alice"], HELLO),
                lambda: lost.publish_to_interests(["news"], HELLO),
                lambda: lost.delete_user("alice"),
            ):
                with self.assertRaisesRegex(PusherMissingInstanceError, "Instance not found"):
                    call()

    def test_a_publish_that_is_wrong(self):
        for interests, body in (
            ([""], HELLO),
            (["news"], {}),
            (["news"], {"web": "text"}),
            (["news"], {"users": ["alice"], **HELLO}),
            (["news"], {"web": {"notification": {"body": "x" * 10 * 1024}}}),
        ):
            with self.subTest(body=str(body)[:60]):
                with self.assertRaisesRegex(PusherValidationError, "^Bad [Rr]equest: .+"):
                    self.sdk().publish_to_interests(interests, body)
        with self.assertRaisesRegex(PusherValidationError, "^Bad [Rr]equest: .+"):
            self.sdk().publish_to_users([""], HELLO)

    def test_a_server_that_is_not_trusted(self):
        client = self.sdk()
        client.session.verify = True
        with self.assertRaises(requests.exceptions.SSLError):
            client.publish_to_users(["alice"], HELLO)


if __name__ == "__main__":
    unittest.main()
