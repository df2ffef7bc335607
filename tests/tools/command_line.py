"""The command line of the built program, as far as it goes without a server: what is refused, with
which exit code and in which words, and that no password is ever shown."""

import os
import pty
import select
import shutil
import socket
import subprocess
import tempfile
import termios
import time
import unittest

from lab import process

MAILFS = os.environ["MAILFS"]
SECRET = "hunter2-not-for-anyone"


class CommandLine(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.mkdtemp(prefix="mailfs-test-")
        self.addCleanup(shutil.rmtree, self.directory)
        self.mountpoint = self.path("mnt")
        os.mkdir(self.mountpoint)
        self.environment = {
            "PATH": os.environ["PATH"], "HOME": self.directory, "LANG": "C.UTF-8",
            **{name: value for name, value in os.environ.items() if name.endswith("SAN_OPTIONS")},
        }
        self.config = self.path(".config", "mailfs", "config")
        self.closed_port = process.free_port()
        self.url = f"imaps://alice@127.0.0.1:{self.closed_port}"

    def path(self, *parts):
        return os.path.join(self.directory, *parts)

    def write_config(self, text):
        os.makedirs(os.path.dirname(self.config), exist_ok=True)
        with open(self.config, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(self.config, 0o600)

    def mailfs(self, *arguments, **environment):
        # A session of its own has no terminal to ask on.
        return process.run([MAILFS, *arguments], timeout=60, check=False,
                           env={**self.environment, **environment}, start_new_session=True)

    def refused(self, code, line, *arguments, **environment):
        """One line, to the letter (or to its beginning, where it ends in `...`)."""
        done = self.mailfs(*arguments, **environment)
        self.assertEqual(done.stdout, "")
        if line.endswith("..."):
            self.assertEqual(done.stderr[:len(line) - 3], line[:-3])
            self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
        else:
            self.assertEqual(done.stderr, line + "\n")
        self.assertEqual(done.returncode, code)
        self.assertNotIn(SECRET, done.stderr)

    # --- usage -----------------------------------------------------------------------------------

    def test_words(self):
        # The account and the mount point, no less and no more.
        more = "(mailfs --help tells more)"
        self.refused(64, f"mailfs: an account and a mount point are needed {more}")
        self.refused(64, f"mailfs: the mount point is missing {more}", self.url)
        self.refused(64, f"mailfs: there are more words than ACCOUNT and MOUNTPOINT {more}",
                     "a", "b", "c")
        self.refused(64, f"mailfs: the option --colour is not understood {more}",
                     "a", f"--colour={SECRET}", "b")
        self.refused(64, f"mailfs: the option -x is not understood {more}", "-fx", "a", "b")
        self.refused(64, f"mailfs: -o needs an argument {more}", "a", "b", "-o")
        self.refused(78, "mailfs: -o colour: there is no such option",
                     "-o", "colour", "--", self.url, self.mountpoint)

    def test_account(self):
        # A URL that is none, or that holds a password, which is not repeated.
        self.refused(64, "mailfs: ACCOUNT: imap: gopher://...: the server URL must begin with ...",
                     "gopher://alice@example.org", self.mountpoint)
        self.refused(64, "mailfs: ACCOUNT: imap: smtp://... will not do here: write ...",
                     "smtp://alice@example.org", self.mountpoint)
        self.refused(64, "mailfs: ACCOUNT: imap: imaps://...: the server URL must not hold ...",
                     f"imaps://alice:{SECRET}@example.org", self.mountpoint)
        self.refused(64, "mailfs: the account is a URL: imap= and pop3= have no place beside it",
                     "-o", "imap=imaps://bob@example.org", self.url, self.mountpoint)

    def test_mountpoint(self):
        # It must be there and be a directory.
        nowhere = self.path("nowhere")
        self.refused(64, f"mailfs: cannot mount at {nowhere}: No such file or directory",
                     self.url, nowhere)
        self.refused(64, "mailfs: cannot mount at /dev/null: Not a directory",
                     self.url, "/dev/null")

    def test_help_and_version(self):
        # Both answer on standard output, wherever they stand.
        for arguments in (["-h"], ["--help"], [self.url, "-h"]):
            done = self.mailfs(*arguments)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            for words in ("ACCOUNT MOUNTPOINT", "  send_delay=TIME", "--foreground"):
                self.assertIn(words, done.stdout)
        for option in ("-V", "--version"):
            done = self.mailfs(option)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertRegex(done.stdout, r"^mailfs \d+\.\d+\.\d+\n$")

    # --- configuration ---------------------------------------------------------------------------

    def test_options(self):
        # A bad -o is a bad configuration; -o can be repeated and stand anywhere.
        for arguments in (["-o", "ro,colour=blue", self.url, self.mountpoint],
                          [self.url, self.mountpoint, "-o", "ro", "-ocolour=blue"],
                          [self.url, "--options=colour", self.mountpoint]):
            self.refused(78, "mailfs: -o colour: there is no such option", *arguments)
        self.refused(78, "mailfs: -o password: there is no such option (a password comes from "
                     "password_command or password_file)",
                     "-o", f"password={SECRET}", self.url, self.mountpoint)

    def test_sections(self):
        # The account is looked for where -o says, else in the user's file; one alone need not be
        # named.
        self.refused(78, f"mailfs: no account 'work': {self.config}: No such file or directory",
                     "work", self.mountpoint)
        self.refused(78, f"mailfs: {self.config}: No such file or directory", self.mountpoint)
        self.write_config("")
        self.refused(64, "mailfs: the configuration has no account",
                     self.mountpoint)
        self.write_config("[home]\nro=on\n[work]\nro=on\n")
        self.refused(78, f"mailfs: {self.config}: there is no section [nowhere]",
                     "nowhere", self.mountpoint)
        self.refused(64, "mailfs: name the account to mount, one of: home, work",
                     self.mountpoint)
        self.refused(78, "mailfs: the account has no mail server: set imap or pop3",
                     "work", self.mountpoint)
        self.refused(78, "mailfs: /nowhere/config: No such file or directory",
                     "-o", "config=/nowhere/config", self.mountpoint)

    def test_lines(self):
        # What is wrong in the file is told with its line; what -o sets wins.
        self.write_config("# mine\n[work]\nimap=" + self.url + "\ncolour=blue\n")
        self.refused(78, f"mailfs: {self.config}:4: colour: there is no such option",
                     "work", self.mountpoint)
        self.write_config("[work]\nimap=imaps://alice@nowhere.invalid\ncache_dir=cache\n"
                          f"password_command=echo {SECRET}\n")
        self.refused(69, "mailfs: ...", "-o", f"imap={self.url},state_dir={self.path('state')}",
                     self.mountpoint)
        self.assertEqual(os.listdir(os.path.join(os.path.dirname(self.config), "cache")), ["work"])

    def test_permissions(self):
        # A file that others may write could make them us; one that others may read tells them all.
        self.write_config("[work]\nro=on\n")
        os.chmod(self.config, 0o620)
        self.refused(78, f"mailfs: {self.config}: others may write to this file, which runs "
                     "commands (try chmod go-w)", "work", self.mountpoint)
        secret = self.path("secret")
        with open(secret, "w", encoding="utf-8") as file:
            file.write(SECRET)
        os.chmod(secret, 0o644)
        self.write_config(f"[work]\npassword_file={secret}\n")
        self.refused(78, f"mailfs: {self.config}:2: password_file: the password file {secret} ...",
                     "work", self.mountpoint)

    def test_another_users_file(self):
        # Only root can make one, and the tests are run as root.
        self.assertEqual(os.geteuid(), 0)
        self.write_config("[work]\nro=on\n")
        os.chown(self.config, 65534, 65534)
        self.refused(78, f"mailfs: {self.config}: this file belongs to another user; it could run "
                     "any command as you", "work", self.mountpoint)

    def test_cache_below_the_mountpoint(self):
        # Once mounted, it could be reached only through the mount itself.
        cache = os.path.join(self.mountpoint, "cache")
        self.refused(78, f"mailfs: {cache}/imaps_alice@127.0.0.1_{self.closed_port} lies below the "
                     f"mount point {self.mountpoint}",
                     "-o", f"cache_dir={cache}", self.url, self.mountpoint, MAILFS_PASSWORD=SECRET)

    # --- servers and passwords -------------------------------------------------------------------

    def test_nothing_listens(self):
        # In the background and in the foreground: one line, 69, nothing left in the directory.
        for option in ([], ["-f"]):
            self.refused(69, "mailfs: ...", *option, self.url, self.mountpoint,
                         MAILFS_PASSWORD=SECRET)

    def test_pop3(self):
        # A POP3 server is a mail server like any other; what it has no folders for is told.
        url = f"pop3s://alice@127.0.0.1:{self.closed_port}"
        self.refused(69, "mailfs: ...", url, self.mountpoint, MAILFS_PASSWORD=SECRET)
        self.refused(78, "mailfs: delete=trash: a POP3 server has no trash; set expunge or refuse",
                     "-o", "delete=trash", url, self.mountpoint)
        self.refused(78, "mailfs: folders: a POP3 account has no folder but INBOX",
                     "-o", "folders=INBOX", url, self.mountpoint)

    def test_two_secrets(self):
        # Which of them would it be?
        self.refused(78, "mailfs: only one of password_command, password_file and token_command "
                     "can be set", "-o", "password_command=a,token_command=b", self.url,
                     self.mountpoint)
        self.refused(78, "mailfs: only one of smtp_password_command, smtp_password_file and "
                     "smtp_token_command can be set", "-o",
                     "smtp_password_command=a,smtp_token_command=b,password_command=c",
                     self.url, self.mountpoint)

    def test_no_terminal(self):
        # Nothing says what the password is, and there is nobody to ask.
        self.refused(77, "mailfs: there is no password: set password_command, password_file or "
                     "MAILFS_PASSWORD (and no terminal to ask on)", self.url, self.mountpoint)

    def test_environment_is_wiped(self):
        # While a login is under way, neither the arguments nor what /proc shows of the environment
        # nor what the log tells has the password.
        with socket.create_server(("127.0.0.1", 0)) as server:
            server.settimeout(30)
            port = server.getsockname()[1]
            mailfs = subprocess.Popen(
                [MAILFS, "-d", f"imap://alice@127.0.0.1:{port}", self.mountpoint],
                env={**self.environment, "MAILFS_PASSWORD": SECRET}, stderr=subprocess.PIPE)
            client, _ = server.accept()
            self.addCleanup(client.close)
            for name in ("environ", "cmdline"):
                with open(f"/proc/{mailfs.pid}/{name}", "rb") as file:
                    seen = file.read()
                self.assertNotIn(SECRET.encode(), seen)
                self.assertNotEqual(seen, b"")
            mailfs.terminate()
            _, stderr = mailfs.communicate(timeout=30)
        self.assertNotIn(SECRET.encode(), stderr)
        self.assertEqual(mailfs.returncode, 75)

    def test_terminal(self):
        # The password is asked for without echo, and the terminal is as it was afterwards.
        pid, terminal = pty.fork()
        if pid == 0:
            os.execve(MAILFS, [MAILFS, self.url, self.mountpoint], self.environment)
        before = termios.tcgetattr(terminal)
        said = self.read_until(terminal, b": ")
        self.assertIn(b"Password of alice at imaps://127.0.0.1", said)
        process.wait_until(lambda: not termios.tcgetattr(terminal)[3] & termios.ECHO, 5, "silence")
        os.write(terminal, SECRET.encode() + b"\n")
        said += self.read_until(terminal, b"\n", after=b"\n")
        _, status = os.waitpid(pid, 0)
        self.assertEqual(os.waitstatus_to_exitcode(status), 69, said)
        self.assertNotIn(SECRET.encode(), said)
        self.assertEqual(termios.tcgetattr(terminal), before)
        os.close(terminal)

    def test_interrupted_question(self):
        # Ctrl-C at the question ends the program, and the echo is back.
        pid, terminal = pty.fork()
        if pid == 0:
            os.execve(MAILFS, [MAILFS, self.url, self.mountpoint], self.environment)
        before = termios.tcgetattr(terminal)
        self.read_until(terminal, b": ")
        os.write(terminal, b"\x03")
        _, status = os.waitpid(pid, 0)
        self.assertEqual(os.waitstatus_to_exitcode(status), -2)
        self.assertEqual(termios.tcgetattr(terminal), before)
        os.close(terminal)

    def read_until(self, terminal, end, after=b""):
        """What the terminal shows up to `end` (after `after`), or to the end of the program."""
        said = b""
        deadline = time.monotonic() + 30
        while end not in said.partition(after)[2] if after else end not in said:
            ready, _, _ = select.select([terminal], [], [], max(0, deadline - time.monotonic()))
            self.assertTrue(ready, said)
            try:
                said += os.read(terminal, 4096)
            except OSError:
                break
        return said


if __name__ == "__main__":
    unittest.main()
