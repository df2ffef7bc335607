"""What was sent lies in the Sent folder too."""

import time
import unittest

from integration.outbox import OutboxCase
from lab import process
from lab.imap_truth import ImapTruth
from lab.smtp_stub import SmtpStub

LETTER = b"""From: alice@example.org
To: bob@example.org
Bcc: carol@example.org
Subject: %s

Hello
"""


class SentCase(OutboxCase):
    users = ["alice", "bob", "carol"]

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        with ImapTruth(cls.dovecot, "alice") as truth:
            for folder in "Sent", "Archive/Out":
                truth.imap.create(folder)

    def kept(self, folder, word):
        with self.session("alice") as truth:
            contents = {uid: truth.content(folder, uid) for uid in truth.messages(folder)}
            return [(message, contents[uid]) for uid, message in truth.messages(folder).items()
                    if word in contents.get(uid, b"")]

    def wait_kept(self, folder, word):
        process.wait_until(lambda: self.kept(folder, word), 30, f"a copy in {folder}")
        [(message, content)] = self.kept(folder, word)
        return message, content


class Sent(SentCase):
    def test_once_with_its_bcc_and_read(self):
        mount = self.mount()
        mount.ls("Sent")
        self.write(mount, "mail", LETTER % b"kept-one")
        [arrived] = self.arrived("bob", "kept-one")
        self.arrived("carol", "kept-one")
        message, content = self.wait_kept("Sent", b"kept-one")
        self.assertNotIn(b"Bcc:", arrived)
        self.assertIn(b"\r\nBcc: carol@example.org\r\n", content)
        self.assertIn(b"\r\nMessage-ID: ", content)
        self.assertIn("\\Seen", message.flags)
        process.wait_until(lambda: any("kept-one" in name for name in mount.ls("Sent")), 20,
                           "the copy in the mount")
        # Nothing is left to do for it.
        mount.unmount()
        mount.start()
        self.write(mount, "mail", LETTER % b"kept-two")
        self.wait_kept("Sent", b"kept-two")
        self.assertEqual(len(self.kept("Sent", b"kept-one")), 1)

    def test_in_a_folder_of_ones_own(self):
        mount = self.mount(save_sent="Archive/Out")
        self.write(mount, "mail", LETTER % b"kept-apart")
        self.wait_kept("Archive/Out", b"kept-apart")
        self.assertEqual(self.kept("Sent", b"kept-apart"), [])

    def test_nowhere(self):
        for options in ({"save_sent": "no"}, {"ro": "on"}):
            mount = self.mount(**options)
            word = f"unkept-{len(options)}-{list(options)[0]}"
            self.write(mount, "mail", LETTER % word.encode())
            self.arrived("bob", word)
            self.wait_taken(mount, "mail")
            mount.unmount()
            self.assertEqual(self.kept("Sent", word.encode()), [])

    def test_some_have_got_it(self):
        mount = self.mount()
        letter = (LETTER % b"kept-some").replace(b"bob@example.org",
                                                 b"bob@example.org, nobody@example.org")
        self.write(mount, "mail", letter)
        self.wait_failed(mount, "mail")
        self.arrived("bob", "kept-some")
        self.wait_kept("Sent", b"kept-some")


class SentAfterACrash(SentCase):
    sends = False  # a Postfix would not outlive the Dovecot that it asks for passwords

    def stub_mount(self):
        """A mount whose letters go to a server of ours, so that Dovecot is only asked for the copy."""
        certificates = self.dovecot.certificates
        stub = self.enterContext(SmtpStub(certificate=certificates.certificate, key=certificates.key))
        return stub, self.mount(smtp=f"smtps://alice@localhost:{stub.port}", send_delay=0,
                                **{"from": "alice@example.org"})

    def send_and_crash(self, stub, mount, word, seconds):
        count = len(stub.accepted)
        self.write(mount, "mail", LETTER % word)
        process.wait_until(lambda: len(stub.accepted) > count, 30, "a letter accepted")
        time.sleep(seconds)
        mount.crash()

    def test_killed_before_the_copy(self):
        # Dovecot is away when the letter is sent, and kill -9 comes before it is back: the next start
        # keeps the copy.
        stub, mount = self.stub_mount()
        self.dovecot.stop()
        try:
            self.send_and_crash(stub, mount, b"kept-killed", 1)
        finally:
            self.dovecot.start()
        self.assertEqual(self.kept("Sent", b"kept-killed"), [])
        mount.start()
        self.wait_kept("Sent", b"kept-killed")
        self.assertEqual(len(stub.accepted), 1)

    def test_killed_while_it_is_copied(self):
        # kill -9 at any time between the two: one copy, and the letter goes again only if the answer
        # to it was not noted yet.
        stub, mount = self.stub_mount()
        for number, seconds in enumerate((0, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1)):
            word = b"kept-between-%d." % number
            self.send_and_crash(stub, mount, word, seconds)
            mount.start()
            self.wait_kept("Sent", word)
            self.wait_taken(mount, "mail")
            mount.unmount()
            mount.start()
            self.assertEqual(len(self.kept("Sent", word)), 1, seconds)
        self.assertLessEqual(len(stub.accepted), 14)


if __name__ == "__main__":
    unittest.main()
