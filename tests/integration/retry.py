"""The submission server is away: letters wait, are tried again, and go out once when it is back."""

import unittest

from integration.outbox import OutboxCase
from integration.recovery import letter
from lab import process

RETRY = 90  # a letter that met a dead server is tried again after a minute


class Retry(OutboxCase):
    def setUp(self):
        if not process.is_listening(self.postfix.ports["smtp"]):
            self.postfix.start()
        super().setUp()

    def test_server_down_and_daemon_killed(self):
        # Written while the server is down, the daemon killed: a restart finishes it, once.
        mount = self.mount()
        self.postfix.kill()
        self.write(mount, "queued", letter("queued-test"))
        self.wait_committed(mount, "queued")
        mount.crash()
        mount.start()
        self.assertIn("queued", mount.ls("outbox"))
        self.assertEqual(mount.ls("outbox/failed"), [])
        self.postfix.start()
        self.arrived("bob", "queued-test", timeout=RETRY)
        self.wait_taken(mount, "queued")
        self.assertEqual(len(self.letters("bob", "queued-test")), 1)

    def test_the_server_comes_back(self):
        # A dead server is a temporary failure: the letter waits in outbox/ and goes by itself.
        mount = self.mount()
        self.postfix.stop()
        self.write(mount, "waiting", letter("waiting-test"))
        self.write(mount, "waiting-too", letter("waiting2-test"))
        self.assertEqual(mount.ls("outbox/failed"), [])
        self.postfix.start()
        self.arrived("bob", "waiting-test", timeout=RETRY)
        self.arrived("bob", "waiting2-test", timeout=RETRY)


if __name__ == "__main__":
    unittest.main()
