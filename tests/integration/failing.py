"""A submission server that fails: what the user sees of it, over TLS and with the program killed."""

import signal
import time
import unittest

from integration.outbox import OutboxCase
from lab import process
from lab.smtp_stub import SmtpStub

THREE = (b"To: one@example.org\nCc: two@example.org\nBcc: three@example.org\n"
         b"Subject: failing\n\nhello\n")


class Failing(OutboxCase):
    sends = False

    def stub(self, *failures, starttls=False, stall=30):
        certificates = self.dovecot.certificates
        stub = self.enterContext(SmtpStub(certificate=certificates.certificate, key=certificates.key,
                                          starttls=starttls, stall=stall))
        stub.failures = list(failures)
        return stub

    def mount_for(self, stub, **options):
        protocol = "smtp" if stub.starttls else "smtps"
        return self.mount(smtp=f"{protocol}://alice@localhost:{stub.port}", send_delay=0,
                          **{"from": "alice@example.org", **options})

    def wait_accepted(self, stub, count):
        process.wait_until(lambda: len(stub.accepted) >= count, 30, f"{count} letters accepted")

    def state(self, mount, name):
        return mount.run("getfattr", "--only-values", "-n", "user.mailfs.state", f"outbox/{name}",
                         check=False).stdout

    def wait_tried(self, mount, name):
        """What the last try came to."""
        return process.wait_until(
            lambda: mount.run("getfattr", "--only-values", "-n", "user.mailfs.error",
                              f"outbox/{name}", check=False).stdout, 30, f"a try of {name}")

    def test_over_both_kinds_of_tls(self):
        # A healthy server of this kind takes a letter once, for all its recipients, without its Bcc.
        for starttls in (False, True):
            with self.subTest(starttls=starttls):
                stub = self.stub(starttls=starttls)
                mount = self.mount_for(stub)
                self.write(mount, "letter", THREE)
                self.wait_taken(mount, "letter")
                [letter] = stub.accepted
                self.assertEqual(len(letter.recipients), 3)
                self.assertNotIn(b"three@example.org", letter.content)
                self.assertEqual(mount.ls("outbox/failed"), [])

    def test_one_of_three_is_refused(self):
        # Two have it; failed/ tells of the third, in the server's words; mv sends to that one only.
        stub = self.stub("RCPT2:550")
        mount = self.mount_for(stub)
        self.write(mount, "letter", THREE)
        note = self.wait_failed(mount, "letter")
        self.assertIn("two@example.org: refused: 550 5.1.1 no such mailbox", note)
        self.assertIn("one@example.org: accepted", note)
        self.assertEqual([letter.recipients for letter in stub.accepted],
                         [["one@example.org", "three@example.org"]])
        stub.failures = []
        mount.run("mv", "outbox/failed/letter", "outbox/")
        self.wait_taken(mount, "letter")
        self.assertEqual(stub.accepted[1].recipients, ["two@example.org"])
        self.assertEqual(stub.accepted[1].header["Message-ID"], stub.accepted[0].header["Message-ID"])

    def test_an_answer_that_is_lost(self):
        # The server took it and fell silent: the letter waits and goes again, as the same letter.
        stub = self.stub("dot:lose")
        mount = self.mount_for(stub)
        self.write(mount, "letter", THREE)
        self.wait_tried(mount, "letter")
        stub.failures = []
        mount.unmount()
        mount.start()
        self.wait_taken(mount, "letter")
        self.assertFalse(stub.accepted[0].is_told)
        self.assertEqual([letter.is_told for letter in stub.accepted[1:]], [True])
        self.assertEqual(len({letter.content for letter in stub.accepted}), 1)

    def test_killed_while_the_answer_is_late(self):
        # kill -9 in the only window that sends twice: once more after the restart, not ever again.
        stub = self.stub("dot:lose-late", stall=5)
        mount = self.mount_for(stub)
        self.write(mount, "letter", THREE)
        self.wait_accepted(stub, 1)
        process.send_signal(mount.pids(), signal.SIGKILL)
        mount.crash()
        stub.failures = []
        mount.start()
        self.wait_taken(mount, "letter")
        self.assertEqual(len(stub.accepted), 2)
        self.assertEqual(len({letter.content for letter in stub.accepted}), 1)
        mount.unmount()
        mount.start()
        self.assertEqual(mount.ls("outbox"), ["failed"])
        self.assertEqual(len(stub.accepted), 2)

    def test_what_is_cancelled_while_it_waits(self):
        # rm of a letter that the server put off: it is not sent when the server is well again.
        stub = self.stub("MAIL:451")
        mount = self.mount_for(stub)
        self.write(mount, "letter", THREE)
        self.assertIn("451", self.wait_tried(mount, "letter"))
        mount.run("rm", "outbox/letter")
        stub.failures = []
        self.write(mount, "sentinel", b"To: one@example.org\nSubject: sentinel\n\nhello\n")
        self.wait_taken(mount, "sentinel")
        self.assertEqual([letter.header["Subject"] for letter in stub.accepted], ["sentinel"])

    def test_a_server_that_stalls_at_starttls(self):
        # The letter waits, an unmount does not, and the letter goes when the server is well again.
        stub = self.stub("STARTTLS:stall", starttls=True, stall=60)
        mount = self.mount_for(stub)
        self.write(mount, "letter", THREE)
        process.wait_until(lambda: "STARTTLS" in stub.commands, 20, "STARTTLS")
        began = time.monotonic()
        mount.unmount()
        self.assertLess(time.monotonic() - began, 20)
        stub.failures = []
        mount.start()
        self.wait_taken(mount, "letter")
        self.assertEqual(len(stub.accepted), 1)

    def test_a_server_that_stalls_at_quit(self):
        # What it took is sent; its goodbye is waited for one second, at the end of the program too.
        stub = self.stub("QUIT:stall", stall=60)
        mount = self.mount_for(stub)
        for number in 1, 2:
            self.write(mount, "letter", THREE)
            self.wait_taken(mount, "letter")
            began = time.monotonic()
            mount.unmount()
            self.assertLess(time.monotonic() - began, 20)
            self.assertEqual(len(stub.accepted), number)
            mount.start()
        self.assertEqual(mount.ls("outbox"), ["failed"])

    def test_a_size_that_is_too_small(self):
        # The first letter tells how much the server takes; the writer of the next is told at once.
        stub = self.stub("size:2000")
        mount = self.mount_for(stub)
        large = THREE + b"one line of many\n" * 200
        self.write(mount, "first", large)
        self.assertIn("the server takes 2000", self.wait_failed(mount, "first"))
        second = self.write(mount, "second", large, check=False)
        self.assertNotEqual(second.returncode, 0)
        self.assertIn("Message too long", second.stderr)
        self.assertEqual(stub.accepted, [])


if __name__ == "__main__":
    unittest.main()
