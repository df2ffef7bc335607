"""Beginning and end of a mount: one at a time for an account, an orderly end by signal or unmount,
and nothing lost by a crash."""

import os
import signal
import subprocess
import time
import unittest

from lab import process, samples
from lab.case import LabCase
from lab.mount import MAILFS


class Lifecycle(LabCase):
    @classmethod
    def fill(cls, maildir):
        author = samples.Author(seed=5)
        maildir.put_all("INBOX", (author.write() for _ in range(40)))
        maildir.put_all("Archive/2025", (author.write() for _ in range(10)))

    def identities(self, mount):
        return {entry.path: (entry.inode, entry.ctime, entry.size) for entry in mount.tree()
                if entry.kind == "f"}

    def second(self, mount):
        """The same account and directories at another mount point, as a running process."""
        other = os.path.join(mount.directory, "other")
        os.mkdir(other)
        self.addCleanup(process.run, ["fusermount3", "-uz", other], check=False)
        return subprocess.Popen([MAILFS, mount.account, other], env=mount.environment, text=True,
                                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                stderr=subprocess.PIPE), other

    def test_a_second_mount_is_refused(self):
        # After ten seconds of waiting: exit code 75, one clear line; the first is undisturbed.
        mount = self.mount()
        before = self.identities(mount)
        started = time.monotonic()
        process_two, other = self.second(mount)
        _, message = process_two.communicate(timeout=60)
        waited = time.monotonic() - started
        self.assertEqual(process_two.returncode, 75, message)
        self.assertGreater(waited, 8)
        self.assertLess(waited, 20)
        self.assertEqual(len(message.strip().splitlines()), 1, message)
        self.assertEqual(process.mounts_below(other), [])
        self.assertEqual(self.identities(mount), before)
        self.assertEqual(self.read_all(mount), self.held())

    def test_a_second_mount_waits_for_one_that_is_ending(self):
        # Unmount and mount right behind each other: the new one waits and succeeds.
        mount = self.mount()
        process_two, other = self.second(mount)
        with self.assertRaises(subprocess.TimeoutExpired):
            process_two.wait(1)
        process.run(["fusermount3", "-u", mount.path])
        _, message = process_two.communicate(timeout=30)
        self.assertEqual(process_two.returncode, 0, message)
        self.assertEqual(process.mounts_below(other), [other])

    def test_unmount_and_mount_in_a_row(self):
        # As a script does it, without a pause, several times.
        mount = self.new_mount()
        for _ in range(4):
            mount.start()
            self.assertEqual(len(mount.ls("INBOX")), 40)
            process.run(["fusermount3", "-u", mount.path])

    def test_every_way_to_end(self):
        # SIGTERM, SIGINT, SIGHUP and fusermount3 -u: unmounted, ended, cache and state usable.
        mount = self.mount()
        before = self.identities(mount)
        for end in (mount.unmount, lambda: mount.terminate(signal.SIGTERM),
                    lambda: mount.terminate(signal.SIGINT), lambda: mount.terminate(signal.SIGHUP)):
            end()
            self.assertFalse(mount.is_mounted())
            mount.start()
            self.assertEqual(self.identities(mount), before)

    def test_kill_9_loses_nothing(self):
        # After kill -9 half-way through reading, the next mount is complete, inodes included.
        mount = self.mount()
        before = self.identities(mount)
        reading = subprocess.Popen(["sh", "-c", "cat INBOX/* >/dev/null 2>&1"], cwd=mount.path)
        process.send_signal(mount.pids(), signal.SIGKILL)
        reading.wait(30)
        mount.crash()
        mount.start()
        self.assertEqual(self.identities(mount), before)
        self.assertEqual(self.read_all(mount), self.held())

    def test_a_dead_mount_point_is_taken_over(self):
        # A mount point left by a crash (ENOTCONN) needs no fusermount by hand.
        mount = self.mount()
        process.send_signal(mount.pids(), signal.SIGKILL)
        process.wait_until(lambda: not mount.pids(), 10, "the daemon's end")
        self.assertTrue(mount.is_mounted())
        mount.start()
        self.assertEqual(len(mount.ls("INBOX")), 40)

    def test_the_foreground(self):
        # -f stays, and ends with 0 on SIGTERM.
        mount = self.new_mount()
        daemon = subprocess.Popen([MAILFS, "-f", mount.account, mount.path], env=mount.environment,
                                  stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                  stderr=subprocess.PIPE, text=True)
        process.wait_until(mount.is_mounted, 20, "the mount")
        self.assertEqual(len(mount.ls("INBOX")), 40)
        daemon.send_signal(signal.SIGTERM)
        _, message = daemon.communicate(timeout=20)
        self.assertEqual(daemon.returncode, 0, message)
        self.assertFalse(mount.is_mounted())

    def test_a_wiped_cache_while_mounted_away(self):
        # The cache may be deleted at any time between mounts: all is fetched again.
        mount = self.mount()
        mount.hashes()
        mount.unmount()
        process.remove(mount.cache)
        mount.start()
        self.assertEqual(self.read_all(mount), self.held())

    def test_an_unmount_while_reading(self):
        # fusermount3 -uz under a running reader ends the daemon once the reader is done.
        mount = self.mount()
        process.run(["fusermount3", "-uz", mount.path])
        process.wait_until(lambda: not mount.pids(), 15, "the daemon's end")

    def test_files_are_private(self):
        # Nobody else may enter a directory of the cache or of the state.
        mount = self.mount(smtp="smtps://alice@localhost:1")
        mount.hashes("INBOX")
        for directory in mount.cache, mount.state:
            found = process.run(["find", directory, "-type", "d", "-perm", "/077"]).stdout
            self.assertEqual(found, "")
            self.assertTrue(os.listdir(directory))


if __name__ == "__main__":
    unittest.main()
