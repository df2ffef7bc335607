"""The base of the integration tests: servers for a class, mounts for a test, nothing left behind."""

import contextlib
import os
import subprocess
import tempfile
import unittest

from lab import process
from lab.dovecot import PASSWORD, Dovecot
from lab.imap_truth import ImapTruth
from lab.mailbox import Maildir
from lab.mount import MAILFS, Mount, message_of
from lab.pop3_truth import Pop3Truth
from lab.postfix import Postfix


class LabCase(unittest.TestCase):
    """Starts one Dovecot (and a Postfix where `sends`) for all tests of the class. `fill` puts mail
    into alice's Maildir before the server starts."""

    sends = False
    extra = ""  # for dovecot.conf
    size_limit = 50_000_000  # of a letter, Postfix's
    users = ("alice", "bob")
    # How mounts reach the mail: with TLS from the first byte, and with STARTTLS or STLS.
    protocols = ("imaps", "imap")

    @classmethod
    def fill(cls, maildir):
        maildir.folder("INBOX")

    @classmethod
    def setUpClass(cls):
        if not os.access(MAILFS, os.X_OK):
            raise process.LabError(f"no program to test at {MAILFS} (MAILFS=... names it)")
        cls.directory = tempfile.mkdtemp(prefix="mailfs-test-")
        os.chmod(cls.directory, 0o711)
        cls.addClassCleanup(cls._clean_up)
        cls.dovecot = Dovecot(cls.directory, users=dict.fromkeys(cls.users, PASSWORD), extra=cls.extra)
        cls.maildir = Maildir(cls.dovecot.maildir("alice"))
        cls.fill(cls.maildir)
        # A look at an INBOX that the first delivery is just making can fail.
        Maildir(cls.dovecot.maildir("bob")).folder("INBOX")
        cls.dovecot.start()
        if cls.sends:
            cls.postfix = Postfix(cls.directory, cls.dovecot, cls.size_limit).start()

    @classmethod
    def _clean_up(cls):
        process.kill_inside(cls.directory)
        process.remove(cls.directory)

    def setUp(self):
        # The servers outlive a test; one that stopped them must have started them again.
        self.assertTrue(process.is_listening(self.dovecot.ports["imaps"]))

    def new_mount(self, of_class=False, **options):
        """A mount of alice's mail, not started; it ends with the test, or with the last of its class."""
        directory = tempfile.mkdtemp(prefix="mount-", dir=self.directory)
        defaults = {**self.mail_server(self.protocols[0]), "password": PASSWORD,
                    "ca_file": self.dovecot.certificates.ca}
        if self.sends:
            defaults["smtp"] = self.postfix.url("smtp", "alice")
            defaults["from"] = "alice@example.org"
            defaults["send_delay"] = 0
        mount = Mount(directory, **{**defaults, **options})
        (self.addClassCleanup if of_class else self.addCleanup)(mount.clean_up)
        return mount

    def mail_server(self, protocol, user="alice"):
        """The option that names the server."""
        return {protocol.removesuffix("s"): self.dovecot.url(protocol, user)}

    def mount(self, **options):
        mount = self.new_mount(**options)
        mount.start()
        return mount

    def background(self, mount, *command):
        """Mount.popen, ended with the test."""
        def end():
            running.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):  # the mount's own end comes next
                running.communicate(timeout=10)

        running = mount.popen(*command)
        self.addCleanup(end)
        return running

    def blocked_reader(self, mount, path):
        """A cat that waits in open() for a server that does not answer."""
        reader = self.background(mount, "cat", path)
        process.wait_until(lambda: process.waits_in_open(reader.pid) or reader.poll() is not None, 10,
                           "a cat that waits")
        self.assertIsNone(reader.poll(), f"cat {path} did not wait")
        return reader

    def freeze(self):
        """Dovecot stands still, until the end of the test at the latest."""
        self.addCleanup(self.dovecot.thaw)
        self.dovecot.freeze()

    def truth(self, user="alice"):
        """An IMAP session of another client; ended with the test."""
        return self.enterContext(ImapTruth(self.dovecot, user))

    def everything(self):
        """{folder: {uid: Truth}} as another client sees it that speaks the protocol of the mounts;
        over POP3 an ID takes a UID's place."""
        session = Pop3Truth if self.protocols[0].startswith("pop3") else ImapTruth
        with session(self.dovecot, "alice") as truth:
            return truth.everything()

    def held(self):
        """{(folder, uid): SHA-256} of that."""
        return {(folder, uid): truth.sha256
                for folder, messages in self.everything().items()
                for uid, truth in messages.items()}

    def read_all(self, mount, timeout=120):
        """The same as the mount has it: every message is read."""
        seen = {}
        for path, digest in mount.hashes(timeout=timeout).items():
            folder, _, name = path.rpartition("/")
            seen[folder.replace("%25", "%"), message_of(name)] = digest
        return seen
