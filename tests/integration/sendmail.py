"""Programs send through mailfs-sendmail, whether the account is mounted or not: git, mutt, cron."""

import glob
import os
import re
import signal
import subprocess
import threading
import unittest

from integration.outbox import OutboxCase, parse
from lab import process
from lab.mount import MAILFS

SENDMAIL = os.path.join(os.path.dirname(os.path.abspath(MAILFS)), "mailfs-sendmail")


class Sendmail(OutboxCase):
    users = ("alice", "bob", "carol")

    def letter(self, word, to="bob@example.org", headers=""):
        return f"From: alice@example.org\nTo: {to}\n{headers}Subject: {word}\n\nhello\n"

    def test_while_mounted(self):
        # A message is taken at once, and sent to the recipients of the command line only.
        mount = self.mount()
        mount.sendmail(self.letter("up-test"), "-i", "carol@example.org")
        self.arrived("carol", "up-test")
        self.assertEqual(self.letters("bob", "up-test"), [])
        self.assertEqual(mount.ls("outbox"), ["failed"])

    def test_while_not_mounted(self):
        # It waits until the account is mounted, is listed meanwhile, and is sent once.
        mount = self.new_mount()
        mount.sendmail(self.letter("down-test", headers="Bcc: carol@example.org\n"), "-t")
        self.assertRegex(mount.ctl("outbox").stdout,
                         r"^sendmail-\S+\.eml: queued\n    to bob@example.org, carol@example.org\n$")
        mount.start()
        for user in "bob", "carol":
            [letter] = self.arrived(user, "down-test")
            self.assertNotIn(b"bcc", letter.lower())
        self.assertEqual(mount.ls("outbox"), ["failed"])
        mount.unmount()
        mount.start()
        self.assertEqual(mount.ctl("outbox").stdout, "")
        self.arrived("bob", "down-test")

    def test_seen_in_the_outbox(self):
        # While it waits it is a file like any other letter, with its sender as an attribute.
        mount = self.mount(smtp=f"smtp://alice@localhost:{process.free_port()}")
        mount.sendmail(self.letter("seen-test"), "-f", "list@example.org", "bob@example.org")
        process.wait_until(lambda: len(mount.ls("outbox")) == 2, 10, "a letter in the outbox")
        [name] = [name for name in mount.ls("outbox") if name != "failed"]
        self.assertRegex(name, r"^sendmail-[\d-]+-[0-9a-f]+\.eml$")
        self.assertEqual(mount.read(f"outbox/{name}").decode(), self.letter("seen-test"))
        sender = mount.python("import os, sys; print(os.getxattr(sys.argv[1], sys.argv[2]))",
                              f"outbox/{name}", "user.mailfs.envelope-from").stdout
        self.assertEqual(sender, "b'list@example.org'\n")
        process.wait_until(lambda: "next try" in mount.ctl("outbox").stdout, 10, "a try")
        mount.run("rm", f"outbox/{name}")
        self.assertEqual(mount.ctl("outbox").stdout, "")

    def test_envelope_sender(self):
        # -f is whom the servers know; the header is left as it is.
        mount = self.mount()
        mount.sendmail(self.letter("sender-test"), "-f", "<>", "bob@example.org")
        [letter] = self.arrived("bob", "sender-test")
        self.assertIn(b"Return-Path: <>", letter)
        self.assertEqual(parse(letter)["From"], "alice@example.org")

    def test_a_delivery_report(self):
        # What -N, -R and -V ask for, the server does: it reports a success, and with that id.
        mount = self.mount()
        mount.sendmail(self.letter("report-test"), "-N", "success,failure", "-R", "hdrs",
                       "-V", "lab=4+1", "bob@example.org")
        self.arrived("bob", "report-test")
        [report] = self.arrived("alice", "report-test")
        self.assertIn(b"\r\nOriginal-Envelope-Id: lab=4+1\r\n", report)
        self.assertIn(b"\r\nContent-Type: text/rfc822-headers", report)

    def test_cron(self):
        # What cron gives to sendmail, with addresses that are none outside of this machine.
        mount = self.mount()
        text = ("From: root (Cron Daemon)\nTo: root\n"
                "Subject: Cron <root@host> test -x /bin/true (cron-test)\n"
                "MIME-Version: 1.0\nContent-Type: text/plain; charset=UTF-8\n"
                "Content-Transfer-Encoding: 8bit\nX-Cron-Env: <SHELL=/bin/sh>\n\nout\n.\nput\n")
        mount.sendmail(text, "-i", "-FCronDaemon", "-B8BITMIME", "-oem", "root")
        [letter] = self.arrived("alice", "cron-test")
        self.assertTrue(letter.endswith(b"\r\n\r\nout\r\n.\r\nput\r\n"), letter)
        self.assertEqual(parse(letter)["Return-Path"], "<alice@example.org>")

    def test_git(self):
        # git send-email sends a series, in order.
        mount = self.mount()
        repository = os.path.join(mount.directory, "repository")
        environment = {**mount.environment, "GIT_CONFIG_NOSYSTEM": "1"}

        def git(*arguments):
            return process.run(["git", "-C", repository, "-c", "user.name=Alice",
                                "-c", "user.email=alice@example.org", *arguments], env=environment)

        process.run(["git", "init", "-q", repository], env=environment)
        for number in range(1, 4):
            with open(os.path.join(repository, "file"), "w", encoding="utf-8") as file:
                file.write(f"line {number}\n.\nFrom here\n")
            git("add", "file")
            git("commit", "-q", "-m", f"git-test {number}")
        git("send-email", "--quiet", f"--sendmail-cmd={SENDMAIL}", "--to=bob@example.org",
            "--bcc=carol@example.org", "--suppress-cc=all", "--confirm=never", "--root", "-3", "HEAD")
        letters = self.arrived("bob", "git-test", 3)
        subjects = sorted(parse(letter)["Subject"] for letter in letters)
        self.assertEqual(subjects, [f"[PATCH {number}/3] git-test {number}" for number in (1, 2, 3)])
        for letter in self.arrived("carol", "git-test", 3):
            self.assertRegex(letter, rb"\r\n[+ ]\.\r\n")
            self.assertIsNone(parse(letter)["Bcc"])

    def test_mutt(self):
        # mutt sends with `set sendmail`, and believes what it is told.
        mount = self.mount()
        command = f"set sendmail='{SENDMAIL} -oem -oi'; set use_envelope_from; unset record; " \
                  "set from=alice@example.org; unset copy"

        def mutt(*recipients):
            return process.run(["mutt", "-n", "-F", "/dev/null", "-e", command, "-s", "mutt-test",
                                *recipients], input="Grüße\n.\nEnde\n", check=False,
                               env={**mount.environment, "TERM": "dumb"})

        done = mutt("bob@example.org", "-b", "carol@example.org")
        self.assertEqual(done.returncode, 0, done.stderr)
        [letter] = self.arrived("bob", "mutt-test")
        body = parse(letter).get_content()
        self.assertEqual(body.replace("\r\n", "\n"), "Grüße\n.\nEnde\n")
        self.arrived("carol", "mutt-test")
        self.assertNotEqual(mutt("nowhere@").returncode, 0)

    def test_two_accounts(self):
        # The sender chooses the account; its letters wait for that account alone.
        mount = self.new_mount()
        with open(mount.config_file, encoding="utf-8") as file:
            lab = file.read()
        other = lab.replace("[lab]", "[other]").replace("from=alice@", "from=bob@")
        mount.write_config(lab + other)
        mount.sendmail("To: carol@example.org\nFrom: Bob <BOB@example.org>\nSubject: by-from\n\nx\n",
                       "-t")
        mount.sendmail(self.letter("by-option"), "-a", "other", "carol@example.org")
        mount.sendmail(self.letter("by-sender"), "-f", "bob@example.org", "carol@example.org")
        mount.sendmail(self.letter("by-default").replace("alice@", "eve@"), "carol@example.org")
        self.assertEqual(mount.ctl("-a", "other", "outbox").stdout.count("carol@example.org"), 3)
        self.assertIn("one of: lab, other", mount.ctl("outbox", check=False).stderr)
        self.assertEqual(mount.sendmail("", "-bp").stdout.count(": queued"), 4)
        self.assertIn("3 letters of other accounts wait", mount.start().stderr)
        self.arrived("carol", "by-default")
        for word in "by-from", "by-option", "by-sender":
            self.assertEqual(self.letters("carol", word), [])
        mount.unmount()
        mount.account = "other"
        mount.start()
        for word in "by-from", "by-option", "by-sender":
            self.arrived("carol", word)

    def test_what_is_refused(self):
        # Nothing is queued of a message that cannot be sent; the exit code and a line say why.
        mount = self.mount()
        for code, text, arguments in (
                (65, "From: alice@example.org\n\nhello\n", ["-t"]),
                (65, "To: bob\n\nhello\n", ["-t"]),
                (65, self.letter("refused-test"), ["a b@example.org"]),
                (65, self.letter("refused-test"), ["-f", "two words", "bob@example.org"]),
                (65, "Subject: nul\n\n\0\n", ["bob@example.org"]),
                (65, "", ["bob@example.org"]),
                (67, self.letter("refused-test"), ["someone"]),
                (64, self.letter("refused-test"), []),
                (78, self.letter("refused-test"), ["-a", "nobody", "bob@example.org"])):
            with self.subTest(text=text, arguments=arguments):
                done = mount.sendmail(text, *arguments, check=False)
                self.assertEqual(done.returncode, code, done.stderr)
                self.assertRegex(done.stderr, r"^mailfs-sendmail: [^\n]+\n$")
        self.assertEqual(glob.glob(os.path.join(mount.state, "*", "incoming", "*")), [])
        self.assertEqual(mount.ls("outbox"), ["failed"])

    def test_no_room(self):
        # A full disk: 75, and nothing is left of the letter.
        disk = os.path.join(self.directory, "small")
        os.mkdir(disk)
        process.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk])
        self.addCleanup(process.run, ["umount", "-l", disk])
        mount = self.new_mount(state_dir=disk)
        big = self.letter("room-test") + "line after line\n" * 200_000
        done = mount.sendmail(big, "bob@example.org", check=False)
        self.assertEqual(done.returncode, 75, done.stderr)
        self.assertIn("No space left", done.stderr)
        self.assertEqual(glob.glob(os.path.join(disk, "*", "incoming", "*")), [])
        mount.sendmail(self.letter("room-test"), "bob@example.org")

    def test_killed_while_letters_come(self):
        # The daemon is killed again and again while programs send: each letter arrives, and only
        # those whose last bytes were under way may arrive twice.
        mount = self.mount()
        told_well, errors = set(), []

        def send():
            for number in range(60):
                done = mount.sendmail(self.letter(f"storm-test {number}."), "bob@example.org",
                                      check=False)
                if done.returncode == 0:
                    told_well.add(number)
                else:
                    errors.append(done.stderr)

        sender = threading.Thread(target=send)
        sender.start()
        kills = 0
        while sender.is_alive() and kills < 8:
            sender.join(0.25)
            mount.crash()
            kills += 1
            mount.start()
        sender.join()
        self.assertEqual(errors, [])
        process.wait_until(lambda: mount.ls("outbox") == ["failed"], 60, "an empty outbox")
        self.assertEqual(mount.ls("outbox/failed"), [])
        process.wait_until(lambda: self.numbers() == told_well, 30, "all letters")
        self.assertLessEqual(len(self.letters("bob", "storm-test")), 60 + 2 * kills)
        self.assertEqual(glob.glob(os.path.join(mount.state, "*", "incoming", "*.drop")), [])

    def numbers(self):
        return {int(re.search(rb"storm-test (\d+)\.", letter)[1])
                for letter in self.letters("bob", "storm-test")}

    def test_writer_killed(self):
        # What a killed mailfs-sendmail had read is not sent.
        mount = self.mount()
        writer = subprocess.Popen([SENDMAIL, "bob@example.org"], stdin=subprocess.PIPE,
                                  env=mount.environment)
        writer.stdin.write(self.letter("half-sendmail-test").encode())
        writer.stdin.flush()
        process.wait_until(lambda: glob.glob(os.path.join(mount.state, "*", "incoming", "*.eml")), 10,
                           "a letter being written")
        writer.send_signal(signal.SIGKILL)
        writer.communicate()
        mount.sendmail(self.letter("whole-sendmail-test"), "bob@example.org")
        self.arrived("bob", "whole-sendmail-test")
        mount.unmount()
        mount.start()
        self.assertEqual(mount.ls("outbox"), ["failed"])
        self.assertEqual(self.letters("bob", "half-sendmail-test"), [])


if __name__ == "__main__":
    unittest.main()
