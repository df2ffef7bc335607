"""Beginning and end of a mount: one at a time for an account, an orderly end by signal or unmount,
and nothing lost by a crash."""

import os
import re
import resource
import shutil
import signal
import subprocess
import time
import unittest

from integration.changes import HOLD
from lab import process, samples
from lab.case import LabCase
from lab.dovecot import QUOTA, QUOTA_MIB


class Lifecycle(LabCase):
    @classmethod
    def fill(cls, maildir):
        author = samples.Author(seed=5)
        maildir.put_all("INBOX", (author.write() for _ in range(40)))
        maildir.put_all("Archive/2025", (author.write() for _ in range(10)))

    def identities(self, mount):
        return {entry.path: (entry.inode, entry.ctime, entry.size) for entry in mount.tree()
                if entry.kind == "f"}

    def test_a_second_mount_is_refused(self):
        # After ten seconds of waiting: exit code 75, one clear line; the first is undisturbed.
        mount = self.mount()
        before = self.identities(mount)
        started = time.monotonic()
        second = mount.launch_second()
        _, message = second.communicate(timeout=60)
        waited = time.monotonic() - started
        self.assertEqual(second.returncode, 75, message)
        self.assertGreater(waited, 8)
        self.assertLess(waited, 20)
        self.assertEqual(len(message.strip().splitlines()), 1, message)
        self.assertEqual(process.mounts_below(mount.other), [])
        self.assertEqual(self.identities(mount), before)
        self.assertEqual(self.read_all(mount), self.held())

    def test_a_second_mount_waits_for_one_that_is_ending(self):
        # Unmount and mount right behind each other: the new one waits and succeeds.
        mount = self.mount()
        second = mount.launch_second()
        with self.assertRaises(subprocess.TimeoutExpired):
            second.wait(1)
        process.run(["fusermount3", "-u", mount.path])
        _, message = second.communicate(timeout=30)
        self.assertEqual(second.returncode, 0, message)
        self.assertEqual(process.mounts_below(mount.other), [mount.other])

    def test_unmount_and_mount_in_a_row(self):
        # As a script does it, without a pause, several times.
        mount = self.new_mount()
        for _ in range(4):
            mount.start()
            self.assertEqual(len(mount.ls("INBOX")), 40)
            process.run(["fusermount3", "-u", mount.path])

    def test_every_way_to_end(self):
        # SIGTERM, SIGINT, SIGHUP and fusermount3 -u: unmounted, ended, cache and state usable.
        before = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # mailfs ignores what nohup has it ignore
        self.addCleanup(signal.signal, signal.SIGHUP, before)
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
        reading = self.background(mount, "sh", "-c", "echo start; exec cat INBOX/* >/dev/null 2>&1")
        self.assertEqual(reading.stdout.readline(), "start\n")
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
        daemon = mount.launch("-f", mount.account, mount.path)
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

    def test_files_are_private(self):
        # Nobody else may enter a directory of the cache or of the state.
        mount = self.mount(smtp="smtps://alice@localhost:1")
        mount.hashes("INBOX")
        for directory in mount.cache, mount.state:
            found = process.run(["find", directory, "-type", "d", "-perm", "/077"]).stdout
            self.assertEqual(found, "")
            self.assertTrue(os.listdir(directory))


class Unmounting(LabCase):
    """The end of a mount that is in use."""

    @classmethod
    def fill(cls, maildir):
        author = samples.Author(seed=11)
        maildir.put_all("INBOX", (author.write() for _ in range(10)))
        maildir.put_all("Big", [samples.big(3_000_000)])

    def holder(self, mount):
        """A process that has the big message open and has read ten bytes of it."""
        holder = self.background(mount, "/usr/bin/python3", "-c", HOLD, mount.first("Big"))
        self.assertEqual(holder.stdout.readline(), "open\n")
        return holder

    def test_under_an_open_message(self):
        # fusermount3 -u refuses; -uz lets the reader finish, with every byte, and then mailfs ends.
        mount = self.mount()
        holder = self.holder(mount)
        busy = process.run(["fusermount3", "-u", mount.path], check=False)
        self.assertIn("busy", busy.stderr)
        self.assertTrue(mount.is_mounted())
        process.run(["fusermount3", "-uz", mount.path])
        self.assertFalse(mount.is_mounted())
        self.assertTrue(mount.pids())
        digest, _ = holder.communicate("go on\n", timeout=30)
        self.assertEqual(digest.strip(), self.truth().messages("Big")[1].sha256)
        mount.wait_gone()

    def test_sigterm_under_readers(self):
        # One holds a message open, one waits in open() for a server that stands still: mailfs is
        # gone soon, the waiting one has an error.
        mount = self.mount()
        names = mount.ls("INBOX")
        holder = self.holder(mount)
        self.freeze()
        waiting = self.blocked_reader(mount, f"INBOX/{names[0]}")
        started = time.monotonic()
        mount.terminate()
        self.assertLess(time.monotonic() - started, 10)
        waiting.communicate(timeout=5)
        self.assertEqual(waiting.returncode, 1)
        holder.communicate("go on\n", timeout=5)  # with an error or what the kernel still had

    def test_a_lazy_unmount_under_a_waiting_reader(self):
        # Its open() still ends with the time-out, and mailfs with it.
        mount = self.mount(timeout=3)
        names = mount.ls("INBOX")
        self.freeze()
        waiting = self.blocked_reader(mount, f"INBOX/{names[0]}")
        process.run(["fusermount3", "-uz", mount.path])
        waiting.communicate(timeout=10)
        self.assertEqual(waiting.returncode, 1)
        mount.wait_gone()

    def test_a_reader_that_never_stops(self):
        # SIGTERM while cat reads one message after the other: an error ends cat, and mailfs ends.
        mount = self.mount()
        reader = self.background(mount, "sh", "-c",
                                 "while cat INBOX/* Big/* > /dev/null; do echo round; done")
        self.assertEqual(reader.stdout.readline(), "round\n")
        mount.terminate()
        _, message = reader.communicate(timeout=20)
        self.assertNotEqual(message, "")

    def sessions_since(self, offset):
        """{process of Dovecot: True when it said "Logged out"} for logins after that place in the log."""
        with open(self.dovecot.log, encoding="utf-8", errors="replace") as log:
            log.seek(offset)
            text = log.read()
        return {pid: re.search(rf"imap\(alice\)<{pid}>.*: Logged out", text) is not None
                for pid in re.findall(r"imap-login: Info: Login: user=<alice>.* mpid=(\d+)", text)}

    def test_a_goodbye_to_the_server(self):
        # However it ends in order, every connection is ended by LOGOUT.
        mount = self.new_mount()
        for end in mount.unmount, mount.terminate:
            offset = os.path.getsize(self.dovecot.log)
            mount.start()
            mount.hashes()
            mount.run("df", ".")
            end()
            process.wait_until(lambda: all((self.sessions_since(offset) or {0: False}).values()), 5,
                               lambda: f"Logged out in all of {self.sessions_since(offset)}")
            process.remove(mount.cache)


class Hardship(LabCase):
    """Reading goes on, or fails in a way that a program understands."""

    extra = QUOTA

    @classmethod
    def fill(cls, maildir):
        author = samples.Author(seed=12)
        maildir.put_all("INBOX", (author.write() for _ in range(30)))

    def expected(self):
        return {uid: truth.sha256 for uid, truth in self.truth().messages("INBOX").items()}

    def test_a_cache_deleted_while_mounted(self):
        # rm -rf of the cache under a mount: the listing stands, no message is ENOENT or EINTR, and
        # what the server has can be read.
        mount = self.mount()
        names = mount.ls("INBOX")
        mount.read(f"INBOX/{names[0]}")
        shutil.rmtree(mount.cache)
        for name in names[:10]:
            done = mount.run("cat", f"INBOX/{name}", check=False)
            if done.returncode != 0:
                self.assertNotRegex(done.stderr, "No such file|Interrupted")
        self.assertEqual(mount.ls("INBOX"), names)
        process.wait_until(lambda: mount.run("cat", f"INBOX/{names[11]}", check=False).returncode == 0,
                           20, "a message that can be fetched")
        self.assertEqual({uid: digest for (_, uid), digest in self.read_all(mount).items()},
                         self.expected())
        mount.unmount()
        mount.start()
        self.assertEqual(mount.ls("INBOX"), names)

    def test_a_full_cache_disk(self):
        # Filled while mounted: reading goes on. Mounted again on the full disk: the same.
        disk = os.path.join(self.directory, "disk")
        os.mkdir(disk)
        process.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", disk])
        self.addCleanup(process.run, ["umount", "-l", disk])
        mount = self.mount(cache_dir=disk)
        names = mount.ls("INBOX")
        fill(os.path.join(disk, "filler"))
        expected = self.expected()
        seen = {uid: digest for (_, uid), digest in self.read_all(mount).items()}
        self.assertEqual(seen, expected)
        mount.unmount()
        fill(os.path.join(disk, "more"))
        mount.start()
        self.assertEqual(mount.ls("INBOX"), names)
        seen = {uid: digest for (_, uid), digest in self.read_all(mount).items()}
        self.assertEqual(seen, expected)

    def test_a_cache_disk_that_fills_up_between_mounts(self):
        # Not a byte is left for the next mount, nor for the one behind it: mail is listed and read.
        disk = os.path.join(self.directory, "filling")
        os.mkdir(disk)
        process.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", disk])
        self.addCleanup(process.run, ["umount", "-l", disk])
        mount = self.mount(cache_dir=disk, cache_size="100k")
        names = mount.ls("INBOX")
        for number in range(3):
            mount.unmount()
            fill(os.path.join(disk, f"filler{number}"))
            self.assertIn("is full", mount.start().stderr)
            self.assertEqual(mount.ls("INBOX"), names)
            seen = {uid: digest for (_, uid), digest in self.read_all(mount).items()}
            self.assertEqual(seen, self.expected())

    def test_a_first_mount_on_a_full_disk(self):
        # Where no index can be made, or no journal for an outbox, nothing is mounted, and one line says
        # which directory has no room.
        disk = os.path.join(self.directory, "brim")
        os.mkdir(disk)
        process.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk])
        self.addCleanup(process.run, ["umount", "-l", disk])
        fill(os.path.join(disk, "filler"))
        for options, code in ((dict(cache_dir=disk), 74),
                              (dict(state_dir=disk, smtp="smtp://alice@localhost:9"), 73)):
            with self.subTest(options):
                mount = self.new_mount(**options)
                done = mount.try_start()
                self.assertEqual(done.returncode, code)
                self.assertRegex(done.stderr, f"{disk}.*(full|No space left)")
                self.assertEqual(len(done.stderr.strip().splitlines()), 1)

    def test_a_limit_on_file_sizes(self):
        # Of `ulimit -f`: what does not fit any more is an error of that one file, and the mount lives.
        mount = self.mount(smtp="smtp://alice@localhost:9")
        names = mount.ls("INBOX")
        [pid] = mount.pids()
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY))
        done = mount.run("sha256sum", *(os.path.join("INBOX", name) for name in names), check=False)
        self.assertIn("Input/output error", done.stderr)
        done = mount.run("dd", "of=outbox/large", check=False,
                         input="To: bob@example.org\n\n" + "long " * 40)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("File too large", done.stderr)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
        self.assertEqual(sorted(mount.hashes("INBOX").values()), sorted(self.expected().values()))
        self.assertEqual(mount.pids(), [pid])

    def test_ctrl_c_while_the_server_says_nothing(self):
        # A cat that waits for the server ends at once; until then ls, stat, df and what is cached
        # answer as ever.
        mount = self.mount(refresh=3600)
        names = mount.ls("INBOX")
        mount.read(f"INBOX/{names[0]}")
        self.freeze()
        waiting = self.blocked_reader(mount, f"INBOX/{names[1]}")
        for command in (("ls", "-l", "INBOX"), ("stat", f"INBOX/{names[2]}"), ("df", "."),
                        ("stat", f"INBOX/{names[1]}"), ("cat", f"INBOX/{names[0]}"), ("ls", ".")):
            with self.subTest(command):
                mount.run(*command, timeout=2)
        self.assertIsNone(waiting.poll())
        started = time.monotonic()
        waiting.send_signal(signal.SIGINT)
        waiting.communicate(timeout=5)
        self.assertLess(time.monotonic() - started, 1)
        self.assertEqual(waiting.returncode, -signal.SIGINT)
        mount.ls("INBOX", timeout=2)

    def test_df_shows_the_quota(self):
        # The file system is as large as the quota, and as full as the server says.
        mount = self.mount()
        [line] = self.truth().imap.getquotaroot("INBOX")[1][1]
        used, limit = map(int, re.search(rb"STORAGE (\d+) (\d+)", line).groups())
        self.assertEqual(limit, QUOTA_MIB * 1024)
        self.assertGreater(used, 0)
        shown = mount.run("df", "-k", "--output=size,used,avail", ".").stdout.splitlines()[1].split()
        size, taken, free = map(int, shown)
        self.assertEqual(size, limit)
        self.assertLess(abs(taken - used), 8)  # blocks are rounded
        self.assertLess(abs(free - (limit - used)), 8)

    def test_other_users(self):
        # Nobody else may look, unless allow_other and umask let them; then they only read.
        mount = self.mount()
        path = mount.first()
        done = mount.as_nobody("cat", path, check=False)
        self.assertIn("Permission denied", done.stderr)
        mount.unmount()
        mount.start("-o", "allow_other")
        done = mount.as_nobody("cat", path, check=False)
        self.assertIn("Permission denied", done.stderr)
        mount.unmount()
        mount.start("-o", "allow_other,umask=022")
        self.assertEqual(mount.as_nobody("cat", path, text=False).stdout, mount.read(path))
        self.assertEqual(mount.as_nobody("ls", "INBOX").stdout.splitlines(), mount.ls("INBOX"))
        done = mount.as_nobody("sh", "-c", 'echo x >> "$1"', "sh", path, check=False)
        self.assertNotEqual(done.returncode, 0)


def fill(path):
    """A file as large as its disk lets it be."""
    with open(path, "wb", buffering=0) as file:
        for size in 65536, 4096, 1:
            try:
                while file.write(bytes(size)):
                    pass
            except OSError:
                continue


if __name__ == "__main__":
    unittest.main()
