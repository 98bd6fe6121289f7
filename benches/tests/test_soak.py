"""What a soak judges of its own course: that all happened that was to happen, how requests ended, and what is in doubt."""

import sys
import tempfile
import types
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from harness import soak  # noqa: E402
from harness.processes import Failed  # noqa: E402

MINUTES = 60


class Emulators:
    """Refused so many, and did all that it was told."""

    def __init__(self, refused=None, effects=soak.EFFECTS):
        self.refused, self.effects = refused or {}, effects

    def totals(self):
        return {}, self.refused

    def misbehaved(self):
        return self.effects


class Course(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.said = []
        bench = types.SimpleNamespace(work=Path(directory.name), quick=False, say=self.said.append)
        self.soak = soak.Soak(bench, MINUTES, kills=2)
        self.soak.killed, self.soak.unconnected_max = 2, 100
        self.soak.faults = {name: 10 for name, _ in soak.FAULTS}

    def is_well(self, line):
        return line[2]

    def metrics(self, status=200, **retried):
        lines = "".join(f'heliostat_attempts_total{{gateway="{name}",outcome="retry"}} {count}\n' for name, count in retried.items())
        text = f'heliostat_attempts_total{{gateway="apns",outcome="accepted"}} 999\n{lines}'
        self.soak.server = types.SimpleNamespace(request=lambda *_: (status, text))

    # ------------------------------------------------------------------ trials

    def test_all_trials_pass(self):
        self.assertTrue(self.is_well(self.soak.trials(Emulators())))

    def test_a_kill_that_did_not_happen_is_found(self):
        self.soak.killed = 1
        self.assertFalse(self.is_well(self.soak.trials(Emulators())))

    def test_a_fault_that_never_was_is_found(self):
        for name, _ in soak.FAULTS:
            with self.subTest(name):
                times = self.soak.faults.pop(name)
                _, told, met = self.soak.trials(Emulators())
                self.assertFalse(met)
                self.assertIn(name, told)
                self.soak.faults[name] = times

    def test_a_fault_that_nobody_met_is_found(self):
        self.assertFalse(self.is_well(self.soak.trials(Emulators(effects=soak.EFFECTS - {("fcm", "throttled")}))))

    def test_what_breaks_beside_the_load_is_kept(self):
        def trouble():
            raise Failed("no emulator")

        self.soak.beside(trouble).join()
        self.assertEqual([str(error) for error in self.soak.broken], ["no emulator"])
        self.assertIn("trouble", self.said[0])

    # ------------------------------------------------------------------ answers

    def test_what_kills_account_for_passes(self):
        self.soak.ends = {"publish 200": 9, "report 204": 9, "publish broken": 2 * soak.CONNECTIONS, "report unconnected": 100}
        self.assertTrue(self.is_well(self.soak.answers()))

    def test_other_ends_are_found(self):
        wrong = {
            "publish 503": 1, "report 429": 1, "register 400": 1, "publish 200 without an id": 1,
            "publish broken": 2 * soak.CONNECTIONS + 1, "report unconnected": 101,
        }
        for how, count in wrong.items():
            with self.subTest(how):
                self.soak.ends = {"publish 200": 9, how: count}
                self.assertFalse(self.is_well(self.soak.answers()))

    # ------------------------------------------------------------------ rate

    def test_the_rate_is_judged_by_what_was_asked_for(self):
        self.soak.took = {1: 98, 7: 1, 900: 1}
        self.assertTrue(self.is_well(self.soak.rate(900, 1000)))
        _, told, met = self.soak.rate(899, 1000)
        self.assertFalse(met)
        self.assertIn("1 ms (half), 7 ms (99 %), 900 ms (all)", told)

    def test_a_load_that_published_nothing_breaks_the_run(self):
        with self.assertRaises(Failed):
            self.soak.rate(900, 1000)

    # ------------------------------------------------------------------ doubts

    def test_in_doubt_is_what_failed_and_was_not_refused(self):
        self.metrics(apns=10, fcm=7, web=4)
        self.soak.count_doubts(Emulators({"apns": 8, "fcm": 7}))
        self.assertEqual(self.soak.doubtful, {"apns": 2, "fcm": 0, "web": 4})

    def test_each_process_has_doubts_of_its_own(self):
        self.metrics(apns=10)
        self.soak.count_doubts(Emulators({"apns": 8}))
        # A server begins with counts of zero; of the refusals those before its start are not its own.
        self.soak.refused = {"apns": 9}
        self.metrics(apns=5)
        self.soak.count_doubts(Emulators({"apns": 13}))
        self.assertEqual(self.soak.doubtful, {"apns": 3})

    def test_a_server_that_does_not_tell_breaks_the_run(self):
        self.metrics(status=503)
        with self.assertRaises(Failed):
            self.soak.count_doubts(Emulators())


if __name__ == "__main__":
    unittest.main()
