"""The server goes away: what is cached stays readable, the rest is a quick clear error, never a hang,
never an empty directory; and when the server is back nobody has to mount again."""

import os
import time
import unittest

from lab import process, samples
from lab.case import LabCase
from lab.dovecot import PASSWORD

UNREACHABLE = "No route to host"  # EHOSTUNREACH
TIMED_OUT = "Connection timed out"  # ETIMEDOUT
DENIED = "Permission denied"  # EACCES
SILENCE = 3  # the time-out of mounts whose server falls silent, seconds


class Outages:
    """What holds for a mailbox of any protocol; its INBOX has 30 messages."""

    def setUp(self):
        if not process.is_listening(self.dovecot.ports["imaps"]):
            self.dovecot.start()
        super().setUp()

    def fails_unreachable(self, mount, *command):
        started = time.monotonic()
        done = mount.run(*command, check=False, timeout=60)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn(UNREACHABLE, done.stderr)
        return time.monotonic() - started

    def test_the_server_dies_and_comes_back(self):
        # Cached: readable. Not cached: EHOSTUNREACH, at once while known offline. Back: readable.
        mount = self.mount()
        names = sorted(mount.ls("INBOX"))
        content = mount.read(f"INBOX/{names[0]}")
        self.dovecot.kill()
        self.assertEqual(mount.read(f"INBOX/{names[0]}"), content)
        self.assertLess(self.fails_unreachable(mount, "cat", f"INBOX/{names[1]}"), 15)
        self.assertLess(self.fails_unreachable(mount, "cat", f"INBOX/{names[2]}"), 2)
        self.assertEqual(sorted(mount.ls("INBOX")), names)
        self.dovecot.start()
        process.wait_until(lambda: mount.run("cat", f"INBOX/{names[1]}", check=False).returncode == 0,
                           60, "the message after the server's return")
        self.assertEqual(self.read_all(mount), self.held())

    def test_mounting_without_a_server(self):
        # With a cache: mounts from it, says so, and shows all that is cached. Then it recovers.
        mount = self.mount()
        names = mount.ls("INBOX")
        content = mount.read(f"INBOX/{names[3]}")
        mount.unmount()
        self.dovecot.stop()
        done = mount.start()
        self.assertIn("cache", done.stderr)
        self.assertEqual(mount.ls("INBOX"), names)
        self.assertEqual(mount.read(f"INBOX/{names[3]}"), content)
        self.fails_unreachable(mount, "cat", f"INBOX/{names[4]}")
        self.dovecot.start()
        process.wait_until(lambda: mount.run("cat", f"INBOX/{names[4]}", check=False).returncode == 0,
                           60, "the message after the server's return")

    def test_without_a_server_and_without_a_cache(self):
        # The first mount needs the server: 69.
        mount = self.new_mount()
        self.dovecot.stop()
        self.assertEqual(mount.try_start().returncode, 69)

    def test_the_server_restarts_between_two_reads(self):
        # A connection lost while idle is rebuilt for the next reader without an error.
        mount = self.mount()
        names = mount.ls("INBOX")
        mount.read(f"INBOX/{names[0]}")
        self.dovecot.kill()
        self.dovecot.start()
        process.wait_until(lambda: mount.run("cat", f"INBOX/{names[1]}", check=False).returncode == 0,
                           60, "a message over a new connection")

    def test_a_restarted_server_keeps_names_and_inodes(self):
        # After an outage the tree is the very same.
        mount = self.mount(refresh=1)
        before = {entry.path: entry.inode for entry in mount.tree()}
        self.dovecot.kill()
        mount.run("ls", "INBOX")
        self.dovecot.start()
        process.wait_until(lambda: mount.run("cat", mount.first(), check=False).returncode == 0, 60,
                           "a message after the server's return")
        self.assertEqual({entry.path: entry.inode for entry in mount.tree()}, before)


class Offline(Outages, LabCase):
    @classmethod
    def fill(cls, maildir):
        author = samples.Author(seed=6)
        maildir.put_all("INBOX", (author.write() for _ in range(30)))
        maildir.put_all("Never/listed", (author.write() for _ in range(5)))

    def test_a_folder_never_listed(self):
        # Its listing is an error, not an empty directory; stat works.
        mount = self.mount()
        mount.run("stat", "Never/listed")
        self.dovecot.kill()
        self.fails_unreachable(mount, "ls", "Never/listed")
        mount.run("stat", "Never/listed")
        self.dovecot.start()
        process.wait_until(lambda: mount.run("ls", "Never/listed", check=False).returncode == 0, 60,
                           "the listing after the server's return")
        self.assertEqual(len(mount.ls("Never/listed")), 5)


class Silent(LabCase):
    """The server stands still (SIGSTOP): its connections stay, new ones are made, and nobody answers."""

    @classmethod
    def fill(cls, maildir):
        author = samples.Author(seed=13)
        maildir.put_all("INBOX", (author.write() for _ in range(30)))

    def cat(self, mount, name):
        """(what cat said, the seconds it took)."""
        started = time.monotonic()
        done = mount.run("cat", f"INBOX/{name}", check=False)
        self.assertNotEqual(done.returncode, 0)
        return done.stderr, time.monotonic() - started

    def becomes_known(self, mount, names):
        """Reads until the server is known to be away: the connection there was falls silent, and
        perhaps a new one; each costs one time-out."""
        for number, name in enumerate(names[:3]):
            message, seconds = self.cat(mount, name)
            if UNREACHABLE in message and number > 0:
                self.assertLess(seconds, 1)
                return
            self.assertIn(TIMED_OUT, message)
            self.assertGreater(seconds, SILENCE - 0.5)
            self.assertLess(seconds, SILENCE + 3)
        self.fail("three readers timed out, one after the other")

    def test_one_reader(self):
        # ETIMEDOUT after `timeout`; then EHOSTUNREACH at once; and soon after the server goes on,
        # messages can be read without mounting again.
        mount = self.mount(timeout=SILENCE, refresh=3600)
        names = mount.ls("INBOX")
        content = mount.read(f"INBOX/{names[0]}")
        self.freeze()
        self.becomes_known(mount, names[1:])
        self.assertEqual(mount.read(f"INBOX/{names[0]}"), content)
        self.assertEqual(mount.ls("INBOX"), names)
        self.dovecot.thaw()
        process.wait_until(lambda: mount.run("cat", f"INBOX/{names[1]}", check=False).returncode == 0,
                           15, "a message after the server went on")
        self.assertEqual(self.read_all(mount), self.held())

    def test_a_long_silence(self):
        # Whether the server is back is tried on the side: no reader waits for that, as long as it
        # is known to be away.
        mount = self.mount(timeout=SILENCE, refresh=3600)
        names = mount.ls("INBOX")
        self.freeze()
        self.becomes_known(mount, names)
        until = time.monotonic() + 4 * SILENCE
        while time.monotonic() < until:
            message, seconds = self.cat(mount, names[4])
            self.assertIn(UNREACHABLE, message)
            self.assertLess(seconds, 1)

    def test_eight_readers(self):
        # They wait side by side: all end within two time-outs.
        self.all_end_soon(self.mount(timeout=SILENCE))

    def test_eight_readers_in_line(self):
        # The same where they wait one behind the other, for the only connection.
        self.all_end_soon(self.mount(timeout=SILENCE, connections=1))

    def all_end_soon(self, mount):
        names = mount.ls("INBOX")
        self.freeze()
        started = time.monotonic()
        readers = [self.background(mount, "cat", f"INBOX/{name}") for name in names[:8]]
        messages = [reader.communicate(timeout=60)[1] for reader in readers]
        self.assertLess(time.monotonic() - started, 2 * SILENCE + 2)
        for message in messages:
            self.assertRegex(message, f"{TIMED_OUT}|{UNREACHABLE}")

    def test_an_old_listing(self):
        # A listing older than `refresh` waits 5 s at most, and is the last good one.
        mount = self.mount(refresh=0)
        names = mount.ls("INBOX")
        self.freeze()
        started = time.monotonic()
        self.assertEqual(mount.ls("INBOX"), names)
        self.assertLess(time.monotonic() - started, 5 + 2)

    def test_the_server_goes_on_while_a_reader_waits(self):
        # A silence shorter than `timeout` is no error.
        mount = self.mount()
        names = mount.ls("INBOX")
        self.freeze()
        reader = self.blocked_reader(mount, f"INBOX/{names[3]}")
        self.dovecot.thaw()
        _, message = reader.communicate(timeout=20)
        self.assertEqual(reader.returncode, 0, message)


class LoginRefused(LabCase):
    """The password is changed at the server while the mailbox is mounted."""

    @classmethod
    def fill(cls, maildir):
        author = samples.Author(seed=14)
        maildir.put_all("INBOX", (author.write() for _ in range(10)))

    def test_after_the_mount(self):
        # What is cached stays readable, the rest is EACCES; the new password in password_file is
        # enough to go on.
        mount = self.mount()
        names = mount.ls("INBOX")
        content = mount.read(f"INBOX/{names[0]}")
        self.addCleanup(self.dovecot.change_password, "alice", PASSWORD)
        self.dovecot.change_password("alice", "another password")
        self.dovecot.doveadm("kick", "alice")
        for name in names[1:3]:
            started = time.monotonic()
            done = mount.run("cat", f"INBOX/{name}", check=False)
            self.assertIn(DENIED, done.stderr)
            self.assertLess(time.monotonic() - started, 5)
        self.assertEqual(mount.read(f"INBOX/{names[0]}"), content)
        self.assertEqual(mount.ls("INBOX"), names)
        with open(os.path.join(mount.directory, "password"), "w", encoding="utf-8") as file:
            file.write("another password\n")
        process.wait_until(lambda: mount.run("cat", f"INBOX/{names[1]}", check=False).returncode == 0,
                           90, "a message with the new password")
        self.assertEqual(self.read_all(mount), self.held())


if __name__ == "__main__":
    unittest.main()
