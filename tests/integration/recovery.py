"""A letter that was closed is sent, once, whatever happens in between; one that was not, never."""

import datetime
import signal
import subprocess
import unittest

from integration.outbox import OutboxCase
from lab import process


def letter(word):
    return f"To: bob@example.org\nSubject: {word}\n\nhello\n".encode()


class Recovery(OutboxCase):
    def test_a_restart_sends_what_was_queued(self):
        # Closed during send_delay, unmounted, mounted again: sent, once.
        mount = self.mount(send_delay=30)
        self.write(mount, "patient", letter("patient-test"))
        mount.unmount()
        self.assertEqual(self.letters("bob", "patient-test"), [])
        mount.configure(**{**self.options(mount), "send_delay": 0})
        mount.start()
        self.arrived("bob", "patient-test", timeout=60)
        self.wait_taken(mount, "patient")

    def options(self, mount):
        with open(mount.config_file, encoding="utf-8") as file:
            return dict(line.rstrip("\n").split("=", 1) for line in file if "=" in line)

    def test_kill_9_after_the_commit_sends(self):
        # A letter that is held is on disk: it survives the daemon's death, and arrives exactly once.
        mount = self.mount(send_delay=600)
        names = [f"durable{number}" for number in range(5)]
        for name in names:
            self.write(mount, name, letter(f"{name}-test"))
            self.wait_committed(mount, name)
        mount.crash()
        mount.start()
        self.assertEqual(mount.ls("outbox/failed"), [])
        self.arrived_once(mount, names)

    def test_kill_9_after_close_loses_nothing(self):
        # cp has returned, but the kernel tells of the last close behind its back. If the daemon dies
        # before it hears of that, the letter lies in failed/, whole, and can be sent from there.
        mount = self.mount(send_delay=600)
        pids = mount.pids()
        names = [f"close{number}" for number in range(5)]
        for name in names:
            self.write(mount, name, letter(f"{name}-test"))
        process.send_signal(pids, signal.SIGKILL)
        mount.crash()
        mount.start()
        for name in names:
            if name in mount.ls("outbox/failed"):
                self.send_unfinished(mount, name)
        self.arrived_once(mount, names)

    def test_kill_9_between_flush_and_release(self):
        # close() has returned, and the file is still open elsewhere: never sent by itself, never lost.
        mount = self.mount(send_delay=600)
        writer = mount.popen(
            "/usr/bin/python3", "-c",
            "import os, sys\n"
            "file = os.open('outbox/flushed', os.O_WRONLY | os.O_CREAT)\n"
            "os.dup(file)\n"
            "os.write(file, sys.argv[1].encode())\n"
            "os.close(file)\n"
            "print('closed', flush=True)\n"
            "sys.stdin.read()\n", letter("flushed-test").decode())
        self.addCleanup(writer.communicate)
        self.assertEqual(writer.stdout.readline(), "closed\n")
        self.assertEqual(self.attribute(mount, "flushed", "state"), "writing")
        mount.crash()
        mount.start()
        self.assertEqual(mount.ls("outbox"), ["failed"])
        self.assertEqual(self.letters("bob", "flushed-test"), [])
        self.send_unfinished(mount, "flushed")
        self.arrived_once(mount, ["flushed"])

    def test_unmounting_right_after_close_sends(self):
        # The kernel ends a mount without telling of the last closes that it still had to tell of. A
        # file that is in a socket on its way has no close of its own when its sender ends.
        mount = self.mount(send_delay=600)
        writer = mount.popen(
            "/usr/bin/python3", "-c",
            "import os, socket, sys\n"
            "file = os.open('outbox/late', os.O_WRONLY | os.O_CREAT)\n"
            "os.write(file, sys.argv[1].encode())\n"
            "sender, receiver = socket.socketpair()\n"
            "socket.send_fds(sender, [b'file'], [file])\n"
            "os.close(file)\n"
            "print('closed', flush=True)\n"
            "sys.stdin.read()\n"
            "os._exit(0)\n", letter("late-test").decode())
        self.addCleanup(writer.communicate)
        self.assertEqual(writer.stdout.readline(), "closed\n")
        pids = mount.pids()
        self.addCleanup(process.send_signal, pids, signal.SIGCONT)
        process.send_signal(pids, signal.SIGSTOP)
        process.wait_until(lambda: all(map(process.is_stopped, pids)), 10, "a daemon that stands still")
        writer.communicate(timeout=10)
        process.run(["fusermount3", "-u", mount.path])
        process.send_signal(pids, signal.SIGCONT)
        mount.wait_gone()
        mount.start()
        self.assertEqual(mount.ls("outbox/failed"), [])
        self.arrived_once(mount, ["late"])

    def send_unfinished(self, mount, name):
        """What is in failed/ because nobody knows that it was finished is whole, says so, and is sent
        by mv."""
        self.assertIn("still being written", mount.read(f"outbox/failed/{name}.error").decode())
        self.assertEqual(mount.read(f"outbox/failed/{name}"), letter(f"{name}-test"))
        mount.run("mv", f"outbox/failed/{name}", "outbox/")

    def arrived_once(self, mount, names):
        """Each of the letters, and nothing is left of them."""
        for name in names:
            self.arrived("bob", f"{name}-test")
        process.wait_until(lambda: mount.ls("outbox") == ["failed"], 30, "an empty outbox")
        self.assertEqual(mount.ls("outbox/failed"), [])
        for name in names:
            self.assertEqual(len(self.letters("bob", f"{name}-test")), 1)

    def test_a_second_mount_sends_nothing(self):
        # Refused while the first has a letter waiting: the letter goes once, by the first.
        mount = self.mount(send_delay=14)  # longer than the second waits for the first
        self.write(mount, "waiting", letter("second-test"))
        second = mount.launch_second()
        _, message = second.communicate(timeout=30)
        self.assertEqual(second.returncode, 75, message)
        self.assertEqual(self.letters("bob", "second-test"), [])
        self.assertIn("waiting", mount.ls("outbox"))
        self.arrived("bob", "second-test")
        self.wait_taken(mount, "waiting")
        mount.unmount()
        mount.start("-o", "send_delay=0")
        self.write(mount, "sentinel", letter("after-second"))
        self.arrived("bob", "after-second")
        self.assertEqual(len(self.letters("bob", "second-test")), 1)

    def test_a_busy_recipient_is_not_a_failure(self):
        # 4xx: the letter stays in outbox/ for the next try.
        mount = self.mount()
        self.write(mount, "busy", b"To: later@example.org\nSubject: busy-test\n\nhello\n")
        process.wait_until(lambda: "this recipient is busy" in process.tail(self.postfix.log, 50), 30,
                           "the server's 450")
        self.assertIn("busy", mount.ls("outbox"))
        self.assertEqual(mount.ls("outbox/failed"), [])
        mount.run("rm", "outbox/busy")

    def test_what_was_never_closed_is_never_sent(self):
        # A writer still writing when the daemon dies: its letter is not sent as it stands.
        mount = self.mount()
        writer = subprocess.Popen(
            ["/usr/bin/python3", "-c",
             "import os, sys\n"
             "file = open('outbox/half', 'wb', 0)\n"
             "file.write(b'To: bob@example.org\\nSubject: unclosed-test\\n\\nfirst half')\n"
             "os.fsync(file.fileno())\n"
             "print('written', flush=True)\n"
             "sys.stdin.read()\n"],
            cwd=mount.path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.addCleanup(writer.communicate)
        self.assertEqual(writer.stdout.readline(), "written\n")
        mount.crash()
        mount.start()
        self.write(mount, "sentinel", letter("sentinel-test"))
        self.arrived("bob", "sentinel-test")
        self.assertEqual(self.letters("bob", "unclosed-test"), [])
        self.assertIn("half", mount.ls("outbox/failed"))

    def test_a_killed_writer_did_not_finish(self):
        # kill -9 of the program that writes: its letter goes to failed/, unsent.
        mount = self.mount()
        writer = subprocess.Popen(
            ["/usr/bin/python3", "-c",
             "import sys\n"
             "file = open('outbox/killed', 'wb', 0)\n"
             "file.write(b'To: bob@example.org\\nSubject: killed-test\\n\\nfirst half')\n"
             "print('written', flush=True)\n"
             "sys.stdin.read()\n"],
            cwd=mount.path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.assertEqual(writer.stdout.readline(), "written\n")
        writer.kill()
        writer.communicate()
        self.wait_failed(mount, "killed")
        self.assertEqual(self.letters("bob", "killed-test"), [])

    def test_the_wrong_password_for_sending(self):
        # A refused login keeps the letter queued; it is not the letter's fault.
        mount = self.mount(smtp_password_command="echo wrong")
        self.write(mount, "locked-out", letter("lockedout-test"))
        process.wait_until(lambda: self.attribute(mount, "locked-out", "error"), 30,
                           "the refused login")
        self.assertIn("authentication failed", process.tail(self.postfix.log, 50))
        self.assertEqual(self.attribute(mount, "locked-out", "state"), "queued")
        self.assertEqual(mount.ls("outbox/failed"), [])

    def test_a_wrong_password_is_not_offered_again(self):
        # Another letter is no reason to try the login once more: servers lock accounts for that.
        mount = self.mount(smtp_password_command="echo wrong")
        self.write(mount, "first", letter("denied-test"))
        process.wait_until(lambda: self.attribute(mount, "first", "error"), 30, "the refused login")
        refused = self.refused_logins()
        self.write(mount, "second", letter("denied-test"))
        process.wait_until(lambda: self.attribute(mount, "second", "state") == "queued", 10,
                           "the end of send_delay")
        now = datetime.datetime.now(datetime.timezone.utc)
        for name in "first", "second":
            next_try = datetime.datetime.fromisoformat(self.attribute(mount, name, "next-try"))
            self.assertGreater(next_try - now, datetime.timedelta(seconds=20))
        self.assertEqual(self.refused_logins(), refused)

    def refused_logins(self):
        return process.tail(self.postfix.log, 1000).count("authentication failed")

    def attribute(self, mount, name, attribute):
        """user.mailfs.ATTRIBUTE of a letter; empty: it has none."""
        return mount.attribute(f"outbox/{name}", attribute, check=False)

    def test_what_waits_at_the_end_is_told(self):
        # A letter left in the outbox is no surprise to whoever unmounts.
        mount = self.new_mount(send_delay=60)
        daemon = mount.launch("-f", mount.account, mount.path)
        process.wait_until(mount.is_mounted, 10, "the mount")
        self.write(mount, "patient", letter("told-test"))
        mount.unmount()
        _, said = daemon.communicate(timeout=15)
        self.assertIn("1 letter waits in the outbox", said)


if __name__ == "__main__":
    unittest.main()
