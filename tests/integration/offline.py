"""The server goes away: what is cached stays readable, the rest is a quick clear error, never a hang,
never an empty directory; and when the server is back nobody has to mount again."""

import time
import unittest

from lab import process, samples
from lab.case import LabCase

UNREACHABLE = "No route to host"  # EHOSTUNREACH


class Offline(LabCase):
    @classmethod
    def fill(cls, maildir):
        author = samples.Author(seed=6)
        maildir.put_all("INBOX", (author.write() for _ in range(30)))
        maildir.put_all("Never/listed", (author.write() for _ in range(5)))

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


if __name__ == "__main__":
    unittest.main()
