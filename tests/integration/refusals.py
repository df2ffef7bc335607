"""What cannot be mounted says so: the exit code, one clear line, and nothing is left behind."""

import base64
import os
import time
import unittest

from integration.outbox import OutboxCase
from lab import process
from lab.case import LabCase
from lab.dovecot import PASSWORD

SECRET = "hunter2-not-for-anyone"


class Refusals(LabCase):
    def refused(self, code, mount, *words, seconds=5, arguments=None):
        """Tries to mount and checks exit code, time, message and that nothing is left."""
        started = time.monotonic()
        done = mount.mailfs(*arguments) if arguments is not None else mount.try_start()
        self.assertLess(time.monotonic() - started, seconds)
        self.assertEqual(done.returncode, code, done.stderr)
        self.assertEqual(len(done.stderr.strip().splitlines()), 1, done.stderr)
        self.assertEqual(done.stdout, "")
        self.assertNotIn(SECRET, done.stderr)
        for word in words:
            self.assertIn(word, done.stderr)
        self.assertFalse(mount.is_mounted())
        process.wait_until(lambda: not mount.pids(), 5, "the end of mailfs")

    def test_wrong_password(self):
        # The server refuses the login: 77.
        self.refused(77, self.new_mount(password=SECRET), "localhost")

    def test_wrong_password_with_starttls(self):
        # The same on imap://.
        self.refused(77, self.new_mount(imap=self.dovecot.url("imap", "alice"), password=SECRET))

    def test_unknown_host(self):
        # The name does not resolve: 68, with the name in the message.
        self.refused(68, self.new_mount(imap="imaps://alice@no-such-host.invalid"),
                     "no-such-host.invalid")

    def test_nothing_listening(self):
        # Connection refused: 69.
        port = process.free_port()
        self.refused(69, self.new_mount(imap=f"imaps://alice@localhost:{port}"), str(port))

    def test_untrusted_certificate(self):
        # A certificate of an unknown authority: 77, also with STARTTLS.
        self.refused(77, self.new_mount(ca_file=None), "certificate")
        self.refused(77, self.new_mount(ca_file=None, imap=self.dovecot.url("imap", "alice")),
                     "certificate")

    def test_certificate_of_another_host(self):
        # A trusted certificate that names another host than the one asked for: 77.
        url = self.dovecot.url("imaps", "alice").replace("localhost", "0.0.0.0")
        self.refused(77, self.new_mount(imap=url))

    def test_not_tls_at_all(self):
        # imaps:// to a port that does not speak TLS is never answered with plain text.
        port = self.dovecot.ports["imap"]
        mount = self.new_mount(imap=f"imaps://alice@localhost:{port}")
        done = mount.try_start()
        self.assertIn(done.returncode, (69, 77), done.stderr)
        self.assertFalse(mount.is_mounted())

    def test_usage(self):
        # Wrong use of the command line: 64.
        mount = self.new_mount()
        for arguments in ([], ["--no-such-option"], ["lab", mount.path, "too many"]):
            with self.subTest(arguments):
                done = mount.mailfs(*arguments)
                self.assertEqual(done.returncode, 64, done.stderr)
                self.assertNotEqual(done.stderr, "")

    def test_help_and_version(self):
        # -h and -V answer on standard output with 0.
        mount = self.new_mount()
        for option in "-h", "-V":
            done = mount.mailfs(option)
            self.assertEqual(done.returncode, 0)
            self.assertIn("mailfs", done.stdout)

    def test_configuration(self):
        # A configuration that is not understood: 78, with file and line.
        mount = self.new_mount()
        imap = f"imap={self.dovecot.url('imaps', 'alice')}\n"
        for text, words in (
                (f"[lab]\n{imap}colour=blue\n", ("config:3", "colour")),
                (f"[lab]\n{imap}\nrefresh=often\n", ("config:4", "refresh")),
                (f"[lab]\n{imap}connections=0\n", ("config:3", "connections")),
                (f"[lab]\n{imap}names=ugly\n", ("config:3", "names")),
                ("[lab]\nimap=gopher://alice@localhost\n", ("config:2", "gopher")),
                ("[lab]\nno equals sign\n", ("config",))):
            with self.subTest(text):
                mount.write_config(text)
                self.refused(78, mount, *words)

    def test_unknown_account(self):
        # Neither a section of the configuration nor a URL: 78.
        mount = self.new_mount()
        self.refused(78, mount, "nowhere", arguments=["nowhere", mount.path])

    def test_configuration_that_others_may_write(self):
        # It runs commands, so it must be the user's alone: 78.
        mount = self.new_mount()
        os.chmod(mount.config_file, 0o666)
        self.refused(78, mount, "config")

    def test_password_file_that_others_may_read(self):
        # 78, before anything is sent to a server.
        mount = self.new_mount()
        os.chmod(os.path.join(mount.directory, "password"), 0o644)
        self.refused(78, mount, "password")

    def test_a_section_by_name_and_a_url(self):
        # The account is a section's name or a URL; MAILFS_PASSWORD serves where nothing is set.
        mount = self.new_mount()
        mount.environment["MAILFS_PASSWORD"] = self.dovecot.users["alice"]
        done = mount.mailfs("-o", f"ca_file={self.dovecot.certificates.ca}",
                            self.dovecot.url("imaps", "alice"), mount.path)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(mount.ls("."), ["INBOX"])

    def test_password_command(self):
        # The first line of the command's output is the password; the command's shell is /bin/sh.
        mount = self.new_mount(password_file=None)
        mount.configure(imap=self.dovecot.url("imaps", "alice"),
                        ca_file=self.dovecot.certificates.ca,
                        password_command=f"echo '{self.dovecot.users['alice']}'; echo no more")
        mount.start()
        self.assertEqual(mount.ls("."), ["INBOX"])

    def test_plain_text_says_so(self):
        # tls=off mounts, with one line about it; with TLS there is nothing to say.
        mount = self.new_mount(imap=self.dovecot.url("imap", "alice"), tls="off")
        self.assertRegex(mount.start().stderr, "(?i)^mailfs: .*(TLS|encrypt|plain text).*\n$")
        self.assertEqual(mount.ls("."), ["INBOX"])
        self.assertEqual(self.new_mount().start().stderr, "")


class Secrets(OutboxCase):
    """A password is seen by the server alone."""

    def traces(self, secret):
        """The bytes by which a password can be known: itself, and what any base64 with it contains."""
        found = [secret]
        for before in range(3):
            encoded = base64.b64encode(bytes(before) + secret)
            # The first and the last group of four mix with what stands beside the password.
            found.append(encoded[4 if before else 0:(before + len(secret)) // 3 * 4])
        return found

    def assert_no_secret(self, content):
        for trace in self.traces(PASSWORD.encode()):
            self.assertNotIn(trace, content)

    def test_the_judge(self):
        # The traces above are found in each form in which a password goes over a wire.
        secret = PASSWORD.encode()
        for said in (secret, base64.b64encode(secret), base64.b64encode(b"\0alice\0" + secret),
                     base64.b64encode(b"alice\0alice\0" + secret + b"!"),
                     base64.b64encode(b"\0alice.x\0" + secret)):
            with self.assertRaises(AssertionError):
                self.assert_no_secret(b"before " + said + b" after")

    def test_what_debug_logs(self):
        # -d logs both conversations, login included, and neither password nor SASL answer is in it.
        for auth in "", "PLAIN", "LOGIN", "CRAM-MD5":
            with self.subTest(auth):
                log = self.logged(auth)
                self.assert_no_secret(log)
                for words in b"imap", b"EXAMINE", b"smtp", b"RCPT TO":
                    self.assertIn(words, log)

    def logged(self, auth):
        """What `mailfs -f -d` writes while a message is read and a letter is sent."""
        mount = self.new_mount(**({"auth": auth} if auth else {}))
        path = os.path.join(mount.directory, "debug")
        with open(path, "wb") as log:
            daemon = mount.launch("-f", "-d", mount.account, mount.path, stderr=log)
        process.wait_until(lambda: mount.is_mounted() or daemon.poll() is not None, 20, "the mount")
        subject = f"debug-test{auth}"
        self.write(mount, "letter", f"To: alice@example.org\nSubject: {subject}\n\nx\n".encode())
        self.arrived("alice", subject)
        mount.hashes("INBOX")
        mount.unmount()
        self.assertEqual(daemon.wait(10), 0)
        with open(path, "rb") as log:
            return log.read()

    def test_what_other_users_see(self):
        # Not in the arguments of the daemon nor in those of anything it started.
        mount = self.mount()
        [pid] = mount.pids()
        with open(f"/proc/{pid}/cmdline", "rb") as command:
            self.assert_no_secret(command.read())


if __name__ == "__main__":
    unittest.main()
