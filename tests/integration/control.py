"""mailfsctl: what waits, sending it now, trying again, taking back."""

import contextlib
import json
import os
import pty
import shutil
import signal
import sqlite3
import stat
import unittest

from integration.outbox import OutboxCase
from lab import process
from lab.process import LabError

LETTER = b"To: %s\nSubject: %s\n\nhello\n"


def fill_journal(path):
    """The room that its log has left on a full disk, by bytes of no letter."""
    with contextlib.closing(sqlite3.connect(path)) as journal, \
            contextlib.suppress(sqlite3.OperationalError):
        for number in range(10_000):
            journal.execute("INSERT INTO content VALUES (?, 'x')", (-number,))
            journal.commit()
        raise LabError(f"{path} takes all that comes")


class Control(OutboxCase):
    def write_letter(self, mount, name, to=b"bob@example.org"):
        self.write(mount, name, LETTER % (to, name.encode()))

    def listed(self, mount):
        """{name: letter} as --json has it."""
        letters = [json.loads(line) for line in mount.ctl("--json", "outbox").stdout.splitlines()]
        return {letter["name"]: letter for letter in letters}

    def test_flush_sends_what_is_held(self):
        # Letters that would wait for an hour go now, and have gone when it returns.
        mount = self.mount(send_delay=3600)
        self.assertEqual(mount.ctl("flush").stdout, "")
        for name in "flush-one", "flush-two":
            self.write_letter(mount, name)
        self.assertEqual(mount.ctl("flush").stdout, "2 letters sent\n")
        self.assertEqual(mount.ls("outbox"), ["failed"])
        for name in "flush-one", "flush-two":
            self.arrived("bob", name)

    def test_flush_takes_what_was_just_handed_over(self):
        # A script that sends and flushes need not know how the letter gets there.
        mount = self.mount()
        mount.sendmail("To: bob@example.org\nSubject: handed-test\n\nx\n", "-t")
        mount.ctl("flush")
        self.assertEqual(mount.ls("outbox"), ["failed"])
        self.arrived("bob", "handed-test")

    def test_flush_tells_of_what_it_cannot_take(self):
        # A disk that filled up after a letter was handed over: it is listed, and flush does not say
        # that all is well; when there is room again, it goes.
        disk = os.path.join(self.directory, "filled")
        os.mkdir(disk)
        process.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", disk])
        self.addCleanup(process.run, ["umount", "-l", disk])
        mount = self.mount(state_dir=disk)
        process.send_signal(mount.pids(), signal.SIGSTOP)
        mount.sendmail("To: bob@example.org\nSubject: filled-test\n\nx\n", "-t")
        process.run(["dd", "if=/dev/zero", f"of={disk}/filler", "bs=4096"], check=False)
        fill_journal(f"{disk}/lab/outbox.db")
        process.send_signal(mount.pids(), signal.SIGCONT)
        done = mount.ctl("flush", check=False)
        self.assertEqual(done.returncode, 75, done)
        self.assertRegex(done.stderr, "wait beside the outbox: .*(No space left|full)")
        self.assertRegex(mount.ctl("outbox").stdout,
                         r"^sendmail-\S+\.eml: queued\n    to bob@example.org\n$")
        os.unlink(f"{disk}/filler")
        self.assertEqual(mount.ctl("flush").stdout, "1 letter sent\n")
        self.assertEqual(mount.ctl("outbox").stdout, "")
        self.arrived("bob", "filled-test")

    def test_flush_tells_of_failures(self):
        # Not 0 if a letter failed, 75 if one has to wait, with the reason.
        mount = self.mount(send_delay=3600)
        self.write_letter(mount, "no", b"refused@example.org")
        done = mount.ctl("flush", check=False)
        self.assertEqual(done.returncode, 69)
        self.assertIn("1 letter failed", done.stderr)
        self.write_letter(mount, "busy", b"later@example.org")
        done = mount.ctl("flush", check=False)
        self.assertEqual(done.returncode, 75)
        self.assertIn("1 letter waits: ", done.stderr)
        self.assertIn("this recipient is busy", done.stderr)
        done = mount.ctl("--json", "flush", check=False)
        answer = json.loads(done.stdout)
        self.assertEqual((answer["total"], answer["delayed"]), (1, 1))

    def test_flush_without_a_server(self):
        # It does not wait for ever, and says why; when the server is back, the next one sends.
        mount = self.mount(send_delay=3600)
        self.write_letter(mount, "away-flush-test")
        self.postfix.stop()
        try:
            done = mount.ctl("flush", check=False)
        finally:
            self.postfix.start()
        self.assertEqual(done.returncode, 75)
        self.assertIn("1 letter waits: ", done.stderr)
        self.assertEqual(mount.ctl("flush").stdout, "1 letter sent\n")
        self.arrived("bob", "away-flush-test")

    def test_progress_on_a_terminal(self):
        # A line that counts, and is gone at the end.
        mount = self.mount(send_delay=3600)
        for number in range(5):
            self.write_letter(mount, f"progress{number}")
        ours, theirs = pty.openpty()
        mount.ctl("flush", stderr=theirs)
        os.close(theirs)
        shown = ""
        with contextlib.suppress(OSError):  # the terminal's end
            while part := os.read(ours, 65536):
                shown += part.decode()
        os.close(ours)
        self.assertRegex(shown, r"\r\x1b\[K\d of 5 sent")
        self.assertTrue(shown.endswith("\r\x1b[K"), shown)

    def test_outbox(self):
        # Name, state, recipients, reason, next try; for programs the same in JSON.
        mount = self.mount(send_delay=3600)
        self.write_letter(mount, "no", b"refused@example.org")
        self.write_letter(mount, "some", b"bob@example.org, refused@example.org")
        mount.ctl("flush", check=False)
        self.write_letter(mount, "held letter", b"Bob <bob@example.org>, carol@example.org")
        mount.sh(": > outbox/empty")
        text = mount.ctl("outbox").stdout
        self.assertRegex(text, r"(?m)^held letter: held, next try 20\d\d-\d\d-\d\dT[\d:]+Z\n"
                               r"    to bob@example.org, carol@example.org$")
        self.assertRegex(text, r"(?m)^failed/no: failed\n    to refused@example.org\n    .*no such luck")
        self.assertRegex(text, r"(?m)^failed/some: failed\n    to bob@example.org, refused@example.org\n"
                               r"    accepted for bob@example.org\n    .*no such luck")
        letters = self.listed(mount)
        self.assertEqual(set(letters), {"no", "some", "held letter", "empty"})
        self.assertEqual(letters["no"]["directory"], "failed")
        self.assertEqual(letters["no"]["answered"][0]["verdict"], "refused")
        self.assertEqual(letters["held letter"]["recipients"], ["bob@example.org", "carol@example.org"])
        self.assertEqual(letters["empty"]["state"], "draft")
        done = mount.ctl("retry", "held letter", check=False)
        self.assertEqual((done.returncode, done.stderr),
                         (66, "mailfsctl: outbox: held letter: it has not failed: "
                              "flush sends what waits\n"))

    def test_outbox_while_not_mounted(self):
        # The same from the disk, which is left as it is; everything else needs mailfs and says so.
        mount = self.mount(send_delay=3600)
        self.write_letter(mount, "waits")
        mount.unmount()
        done = mount.ctl("outbox")
        self.assertEqual(done.stdout, "waits: held\n    to bob@example.org\n")
        self.assertIn("mailfs is not running for lab", done.stderr)
        for command in ["flush"], ["retry", "waits"], ["cancel", "waits"]:
            done = mount.ctl(*command, check=False)
            self.assertEqual((done.returncode, done.stderr),
                             (69, "mailfsctl: mailfs is not running for lab\n"))
        mount.start()
        self.arrived("bob", "Subject: waits")

    def test_retry_and_cancel(self):
        # A failed letter is sent again or given up with its note, and the mount shows it at once.
        mount = self.mount()
        for name in "one", "two":
            self.write_letter(mount, name, b"refused@example.org")
            self.wait_failed(mount, name)
        mount.ctl("retry", "one")
        process.wait_until(lambda: "one" in mount.ls("outbox/failed"), 20, "another failure")
        self.assertEqual(mount.ls("outbox"), ["failed"])
        mount.ctl("cancel", "one", "failed/two")
        self.assertEqual(mount.ls("outbox/failed"), [])
        done = mount.ctl("retry", "one", check=False)
        self.assertEqual(done.returncode, 66)
        self.assertIn("no such letter", done.stderr)
        self.assertEqual(mount.ctl("cancel", "one", check=False).returncode, 66)

    def test_a_name_that_is_no_text(self):
        # Lists show it as well as they can; its escaped form names it.
        mount = self.mount()
        for name in b"caf\xe9", b"a%20b":
            path = os.fsdecode(b"outbox/" + name)
            mount.python("import sys; open(sys.argv[1], 'w').write(sys.argv[2])", path,
                         "To: refused@example.org\n\nhello\n")
        process.wait_until(lambda: len(mount.ls("outbox/failed", errors="surrogateescape")) == 4, 20,
                           "failures")
        escaped = {letter["escaped"] for letter in self.listed(mount).values()}
        self.assertEqual(escaped, {"caf%E9", "a%2520b"})
        self.assertEqual(mount.ctl("cancel", "a%2520b", check=False).returncode, 66)
        mount.ctl("--escaped", "cancel", *(f"failed/{name}" for name in escaped))
        self.assertEqual(mount.ls("outbox/failed"), [])
        self.assertEqual(mount.ctl("--escaped", "cancel", "100%", check=False).returncode, 64)

    def test_it_hangs(self):
        # A mailfs that does not answer is not waited for without end.
        mount = self.mount()
        process.send_signal(mount.pids(), signal.SIGSTOP)
        self.addCleanup(process.send_signal, mount.pids(), signal.SIGCONT)
        done = mount.ctl("outbox", check=False, timeout=50)
        self.assertEqual(done.returncode, 75)
        self.assertEqual(done.stderr, "mailfsctl: mailfs does not answer: nothing came for 30 s\n")

    def test_cancel_what_is_held(self):
        # As rm: what waits is not sent.
        mount = self.mount(send_delay=3600)
        for name in "keep", "cancelled-test":
            self.write_letter(mount, name)
        mount.ctl("cancel", "cancelled-test")
        self.assertEqual(mount.ls("outbox"), ["failed", "keep"])
        self.assertEqual(mount.ctl("flush").stdout, "1 letter sent\n")
        self.arrived("bob", "Subject: keep")
        self.assertEqual(self.letters("bob", "cancelled-test"), [])

    def test_the_socket(self):
        # In the runtime directory if there is one, for the user alone; found without that variable;
        # replaced after a crash; gone with the mount.
        mount = self.new_mount()
        runtime = os.path.join(mount.directory, "runtime")
        os.mkdir(runtime, 0o700)
        mount.environment["XDG_RUNTIME_DIR"] = runtime
        mount.start()
        path = os.path.join(runtime, "mailfs", "lab")
        process.wait_until(lambda: os.path.exists(path), 5, "the socket")
        self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o600)
        self.assertEqual(stat.S_IMODE(os.stat(os.path.dirname(path)).st_mode), 0o700)
        shutil.rmtree(runtime)  # as at a logout
        os.mkdir(runtime, 0o700)
        self.assertEqual(mount.ctl("flush").returncode, 0)
        self.assertNotIn("not running", mount.ctl("outbox").stderr)
        mount.crash()
        self.assertEqual(mount.ctl("flush", check=False).returncode, 69)
        mount.start()
        process.wait_until(lambda: os.path.exists(path), 5, "the socket")
        del mount.environment["XDG_RUNTIME_DIR"]
        process.wait_until(lambda: mount.ctl("flush", check=False).returncode == 0, 5, "an answer")
        mount.unmount()
        self.assertFalse(os.path.exists(path))

    def test_accounts(self):
        # By section, by URL, by what lies in a state directory; and none of these.
        mount = self.mount(send_delay=3600)
        self.write_letter(mount, "mine")
        for arguments in (["-a", "lab"], ["--state-dir", mount.state],
                          ["-C", mount.config_file, "-a", "lab"]):
            self.assertIn("mine: held", mount.ctl(*arguments, "outbox").stdout)
        url = self.dovecot.url("imaps", "alice")
        self.assertEqual(mount.ctl("-a", url, "outbox").stdout, "")
        done = mount.ctl("-a", "nobody", "outbox", check=False)
        self.assertEqual((done.returncode, done.stderr),
                         (78, "mailfsctl: there is no account 'nobody'\n"))
        mount.write_config("[lab]\n")
        self.assertEqual(mount.ctl("outbox", check=False).returncode, 78)
        os.unlink(mount.config_file)
        self.assertIn("mine: held", mount.ctl("outbox").stdout)

    def test_usage(self):
        # Help names what there is; what is wrong is 64.
        mount = self.new_mount()
        self.assertIn("flush", mount.ctl("--help").stdout)
        self.assertRegex(mount.ctl("-V").stdout, r"^mailfsctl \d+\.\d+\.\d+\n$")
        for arguments in [], ["status"], ["outbox", "more"], ["retry"], ["--colour"], ["-a"]:
            self.assertEqual(mount.ctl(*arguments, check=False).returncode, 64, arguments)

    def test_another_user(self):
        # Nobody else gets an answer, even where the file permissions would let him in.
        mount = self.mount()
        socket = os.path.join(mount.state, "lab", "control")
        process.wait_until(lambda: os.path.exists(socket), 5, "the socket")
        script = ("import socket, sys\n"
                  "s = socket.socket(socket.AF_UNIX)\n"
                  "s.connect(sys.argv[1])\n"
                  's.sendall(b\'{"command": "outbox"}\\n\')\n'
                  "print(s.recv(100))\n")
        self.assertIn("done", mount.python(script, socket).stdout)
        os.chmod(socket, 0o666)
        for directory in (mount.directory, os.path.join(mount.directory, "state"), mount.state,
                          os.path.join(mount.state, "lab")):
            os.chmod(directory, 0o755)
        done = process.run(["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups",
                            "python3", "-c", script, socket], check=False)
        self.assertTrue("b''" in done.stdout or "Error" in done.stderr, done)
        self.assertNotIn("done", done.stdout)


if __name__ == "__main__":
    unittest.main()
