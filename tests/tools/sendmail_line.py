"""mailfs-sendmail and mailfsctl as far as they go without a server: what is taken of what programs
pass, how a message is read, which words they use for what they refuse, and that the manual pages
know all of it."""

import glob
import os
import re
import shutil
import tempfile
import unittest

from lab import process

PROGRAMS = os.path.dirname(os.path.abspath(os.environ["MAILFS"]))
MANUALS = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))),
                       "tools")

CONFIG = """[reader]
imap=imaps://carol@mail.example.org

[work]
imap=imaps://alice@mail.example.org
smtp=smtps://alice@mail.example.org
from=alice@example.org

[home]
imap=imaps://bob@mail.example.net
smtp=smtps://bob@mail.example.net
password_file=/nowhere/at/all
"""

BROKEN = """
[broken]
imap=imaps://carol@mail.example.org
smtp=smtps://carol@mail.example.org
from=carol@example.org
refresh=often
"""


class Base(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.mkdtemp(prefix="mailfs-test-")
        self.addCleanup(shutil.rmtree, self.directory)
        self.environment = {
            "PATH": os.environ["PATH"], "HOME": self.directory, "LANG": "C.UTF-8",
            **{name: value for name, value in os.environ.items() if name.endswith("SAN_OPTIONS")},
        }
        self.config = os.path.join(self.directory, ".config", "mailfs", "config")
        os.makedirs(os.path.dirname(self.config))
        self.write_config(CONFIG)

    def write_config(self, text):
        with open(self.config, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(self.config, 0o600)

    def run_program(self, name, *arguments, **options):
        return process.run([os.path.join(PROGRAMS, name), *arguments], timeout=60, check=False,
                           env=self.environment, **options)

    def sendmail(self, text, *arguments):
        """What is queued of a message: [(account, envelope's lines, bytes)]."""
        done = self.run_program("mailfs-sendmail", *arguments, input=text)
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, type(text)(), type(text)()))
        queued = []
        for path in glob.glob(os.path.join(self.directory, ".local/state/mailfs/*/incoming/*.drop")):
            with open(path, encoding="utf-8") as file:
                envelope = [line for line in file.read().splitlines()
                            if line and not re.match(r"\[|version=1$|name=", line)]
            with open(path.removesuffix(".drop") + ".eml", "rb") as file:
                letter = file.read()
            queued.append((path.split("/")[-3], envelope, letter))
            os.unlink(path)
        return queued

    def queued(self, text, *arguments):
        [letter] = self.sendmail(text, *arguments)
        return letter

    def refused(self, code, words, text, *arguments):
        done = self.run_program("mailfs-sendmail", *arguments, input=text)
        self.assertEqual((done.returncode, done.stdout), (code, ""), done.stderr)
        self.assertRegex(done.stderr, f"^mailfs-sendmail: {words}[^\\n]*\n$")
        left = glob.glob(os.path.join(self.directory, ".local/state/mailfs/*/incoming/*"))
        self.assertEqual([path for path in left if not path.endswith(".eml")], [])


class Line(Base):
    def test_what_programs_pass(self):
        # Debian's cron, cronie, git, mutt, PHP, mailx, at: all of it is understood.
        text = "From: a@example.org\nTo: x@example.org\nSubject: s\n\nx\n"
        for arguments in (["-i", "-FCronDaemon", "-B8BITMIME", "-oem", "b@example.org"],
                          ["-FCronDaemon", "-i", "-odi", "-oem", "-oi", "-t"],
                          ["-i", "b@example.org", "c@example.org"],
                          ["-oem", "-oi", "-f", "a@example.org", "--", "b@example.org"],
                          ["-t", "-i", "-fa@example.org"],
                          ["-bm", "-v", "-m", "-n", "-U", "-G", "-x", "-d", "b@example.org"],
                          ["-OTimeout.queuewarn=2d", "-O", "QueueDirectory=/x", "b@example.org"],
                          ["-q30m", "-h", "17", "-p", "smtp:host", "-L", "tag", "-X/x", "-Am",
                           "b@example.org"],
                          ["-e", "m", "-r", "a@example.org", "-odb", "b@example.org"]):
            with self.subTest(arguments):
                self.assertEqual(self.queued(text, *arguments)[2], text.encode())

    def test_envelope(self):
        # Sender, recipients and reports are queued as they will be used.
        text = "From: alice@example.org\nTo: t@example.org\nBcc: u@example.org\n\nx\n"
        for arguments, envelope in (
                (["-t"], []),
                (["b@example.org"], ["recipients=b@example.org;"]),
                (["B <b@example.org>, c@example.org", "d@example.org"],
                 ["recipients=b@example.org;c@example.org;d@example.org;"]),
                (["-t", "b@example.org"],
                 ["recipients=b@example.org;t@example.org;u@example.org;"]),
                (["-f", "<>", "-t"], ["from="]),
                (["-f", "", "-t"], ["from="]),
                (["-r", "l@example.org", "-t"], ["from=l@example.org"]),
                (["-f", "root", "-t"], ["from=alice@example.org"]),
                (["-N", "failure,delay", "-R", "hdrs", "-V", "x1", "-t"],
                 ["notify=FAILURE,DELAY", "ret=HDRS", "envid=x1"])):
            with self.subTest(arguments):
                self.assertEqual(self.queued(text, *arguments)[1], envelope)

    def test_account(self):
        # By -a, by the sender, else the first that can send. Secrets need not be there.
        for account, text, arguments in (
                ("work", "To: x@example.org\n\nx\n", ["-t"]),
                ("home", "To: x@example.org\n\nx\n", ["-t", "-a", "home"]),
                ("home", "From: B <bob@MAIL.example.net>\nTo: x@example.org\n\nx\n", ["-t"]),
                ("home", "From: alice@example.org\nTo: x@example.org\n\nx\n",
                 ["-t", "-f", "bob@mail.example.net"]),
                ("work", "From: a@example.org, b@example.org\nSender: a@example.org\n"
                         "To: x@example.org\n\nx\n", ["-t"])):
            with self.subTest(text=text, arguments=arguments):
                self.assertEqual(self.queued(text, *arguments)[0], account)
        self.refused(78, "the account reader cannot send", "x\n", "-a", "reader", "x@example.org")
        self.refused(78, "there is no account 'nobody'", "x\n", "-a", "nobody", "x@example.org")
        os.unlink(self.config)
        self.refused(78, "there is no account that can send", "x\n", "x@example.org")

    def test_a_broken_section(self):
        # A letter does not go out by another account because its own is wrong; one whose account is
        # known goes, and lists are shown without it, but say so.
        self.write_config(CONFIG + BROKEN)
        words = re.escape(self.config) + ":18: refresh: "
        for sender in "carol@example.org", "eve@example.org":
            self.refused(78, words, f"From: {sender}\nTo: x@example.org\n\nx\n", "-t")
        self.refused(78, words, "x\n", "x@example.org")
        self.refused(78, words, "x\n", "-a", "broken", "x@example.org")
        text = "From: alice@example.org\nTo: x@example.org\n\nx\n"
        self.assertEqual(self.queued(text, "-t")[0], "work")
        self.assertEqual(self.queued(text, "-t", "-f", "bob@mail.example.net")[0], "home")
        self.assertEqual(self.queued("x\n", "-a", "home", "x@example.org")[0], "home")
        self.assertEqual(self.run_program("mailfs-sendmail", "-a", "home", "x@example.org",
                                          input="x\n").returncode, 0)
        done = self.run_program("mailfs-sendmail", "-bp")
        self.assertEqual((done.returncode, done.stdout.count(": queued")), (78, 1))
        self.assertRegex(done.stderr, words)

    def test_the_only_account(self):
        # Whether there is but one is not known where a section is wrong.
        self.write_config(CONFIG.partition("[home]")[0] + BROKEN)
        done = self.run_program("mailfsctl", "outbox")
        self.assertEqual((done.returncode, done.stdout), (78, ""))
        self.assertRegex(done.stderr, ":14: refresh: ")
        self.assertEqual(self.run_program("mailfsctl", "-a", "work", "outbox").returncode, 0)

    def test_a_broken_journal(self):
        # What cannot be read is an error of the disk.
        directory = os.path.join(self.directory, ".local/state/mailfs/work")
        os.makedirs(directory)
        with open(os.path.join(directory, "outbox.db"), "w", encoding="ascii") as file:
            file.write("no database at all\n" * 1000)
        for program, arguments in (("mailfsctl", ["-a", "work", "outbox"]),
                                   ("mailfs-sendmail", ["-a", "work", "-bp"])):
            done = self.run_program(program, *arguments)
            self.assertEqual((done.returncode, done.stdout), (74, ""), done.stderr)

    def test_another_configuration(self):
        # -C names it.
        other = os.path.join(self.directory, "other")
        shutil.move(self.config, other)
        self.assertEqual(self.queued("x\n", "-C", other, "x@example.org")[0], "work")

    def test_usage(self):
        # What would be another program, and what is none of sendmail's.
        for mode in "s", "d", "i", "t", "v", "h":
            self.refused(64, f"-b{mode} is not for mailfs-sendmail", "", f"-b{mode}")
        self.refused(64, "nobody is named to send to", "x\n")
        self.refused(64, "the option -z is not understood", "x\n", "-z", "x@example.org")
        self.refused(64, "-f needs an argument", "x\n", "-f")
        self.refused(64, "-N: ", "x\n", "-N", "sometimes", "x@example.org")
        self.refused(64, "-R: ", "x\n", "-R", "some", "x@example.org")
        self.refused(64, "-V: ", "x\n", "-V", "two words", "x@example.org")
        for arguments in (["-q"], ["-q30m"]):
            done = self.run_program("mailfs-sendmail", *arguments)
            self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""))
        done = self.run_program("mailfs-sendmail", "-bp")
        self.assertEqual((done.returncode, done.stdout), (0, "Mail queue is empty\n"))

    def test_refusals(self):
        # With its reason and a code that tells whose fault it is.
        self.refused(65, "the message is empty", "", "x@example.org")
        self.refused(65, "not sent: it has no recipient", "From: alice@example.org\n\nx\n", "-t")
        self.refused(65, "not sent: its To field is broken", "To: a@example.org, broken <\n\nx\n",
                     "-t", "b@example.org")
        self.refused(65, "not sent: its Cc field is broken: \"eve\"",
                     "To: a@example.org\nCc: eve\n\nx\n", "-t")
        self.refused(65, "\"a b@x\" is no address", "x\n", "a b@x")
        self.refused(65, "the sender: ", "x\n", "-f", "no body", "x@example.org")
        self.refused(67, "nobody here is called eve", "x\n", "eve")


class Input(Base):
    HEAD = b"From: alice@example.org\nSubject: s\n\n"

    def body(self, text, *arguments):
        """What is queued behind HEAD."""
        letter = self.queued(self.HEAD + text, *arguments, "b@example.org")[2]
        self.assertEqual(letter[:len(self.HEAD)], self.HEAD)
        return letter[len(self.HEAD):]

    def test_dots(self):
        # A lone dot ends the message, but for -i; dots elsewhere are text.
        for option, text, body in (([], b"a\n.\nb\n", b"a\n"), ([], b"a\r\n.\r\nb\r\n", b"a\r\n"),
                                   ([], b"a\n.", b"a\n"), ([], b"a\n..\n.b\n. \n", b"a\n..\n.b\n. \n"),
                                   ([], b".\na\n", b""), (["-i"], b"a\n.\nb\n", b"a\n.\nb\n"),
                                   (["-oi"], b".\n", b".\n"), (["-i"], b"a\n.", b"a\n.")):
            with self.subTest(text=text, option=option):
                self.assertEqual(self.body(text, *option), body)

    def test_dot_in_the_header(self):
        # It ends the message there, too.
        letter = self.queued(b"Subject: s\n.\nTo: x@example.org\n", "b@example.org")[2]
        self.assertEqual(letter, b"From: alice@example.org\nSubject: s\n")

    def test_bytes(self):
        # All that a message may hold comes through, also in pieces larger than any buffer.
        for text in (b"a\r\nb\nc", "Grüße\n".encode(), b"x" * 900 + b"\n", b"", b"\n\n\n",
                     b"".join(b"line %d .\n" % number for number in range(200_000)),
                     (b"." * 70 + b"\n") * 5000):
            self.assertEqual(self.body(text), text)

    def test_mere_text(self):
        # echo hello | mailfs-sendmail bob: a header is put in front.
        for text in b"hello\n", b"hello", b"\nhello\n", b"two words: or so\n", b"12:30 works\n":
            with self.subTest(text):
                letter = self.queued(text, "-i", "b@example.org")[2]
                head, _, body = letter.partition(b"\n\n")
                self.assertIn(b"From: alice@example.org", head)
                self.assertIn(text.strip(b"\n").split(b":")[-1], letter)

    def test_mere_text_of_nobody(self):
        # The same where the account's address is not known: whoever sends it adds that.
        os.unlink(self.config)
        directory = os.path.join(self.directory, ".local/state/mailfs/work")
        os.makedirs(directory)
        with open(os.path.join(directory, "outbox.db"), "w", encoding="ascii"):
            pass
        letter = self.queued(b"hello\n", "b@example.org")[2]
        self.assertRegex(letter, rb"^Date: [^\n]+\n\nhello\n$")

    def test_from(self):
        # The name of -F, where there is no From; a From is left alone.
        for name, field in (("Alice Miller", b"From: Alice Miller <alice@example.org>\n"),
                            ("Miller, Alice", b'From: "Miller, Alice" <alice@example.org>\n'),
                            ("x\nBcc: eve@example.org", b"eve@example.org")):
            letter = self.queued(b"Subject: s\n\nx\n", "-F", name, "b@example.org")[2]
            self.assertIn(field, letter)
            self.assertEqual(letter.partition(b"\n\n")[0].count(b"\n"), 1, letter)
        encoded = self.queued(b"Subject: s\n\nx\n", "-F", "Jörg", "b@example.org")[2]
        self.assertRegex(encoded, rb"(?i)^From: =\?[^?]+\?[bq]\?[^?]+\?= <alice@example.org>\n")
        letter = self.queued(self.HEAD + b"x\n", "-F", "Other", "b@example.org")[2]
        self.assertEqual(letter, self.HEAD + b"x\n")

    def test_mbox_line(self):
        # The line that mail folders divide messages by is dropped.
        letter = self.queued(b"From alice@example.org Mon Nov 30 12:00:00 2026\n" + self.HEAD + b"x\n",
                             "b@example.org")[2]
        self.assertEqual(letter, self.HEAD + b"x\n")

    def test_cron(self):
        # Local users' addresses: the account's own stands in.
        text = b"From: root (Cron Daemon)\nTo: root\nSubject: Cron <root@host> x\n\nout\n"
        account, envelope, letter = self.queued(text, "-i", "-FCronDaemon", "-oem", "root")
        self.assertEqual((account, envelope),
                         ("work", ["from=alice@example.org", "recipients=alice@example.org;"]))
        self.assertEqual(letter, text)

    def test_cronie(self):
        # The same where only the header names the user; other names are no addresses.
        head = b"From: \"(Cron Daemon)\" <root>\n"
        for to in b"root", b"root (me)", b"<root>", b"Me <root>":
            text = head + b"To: " + to + b"\nSubject: Cron <root@host> x\n\nout\n"
            account, envelope, letter = self.queued(text, "-FCronDaemon", "-i", "-odi", "-oem", "-oi",
                                                    "-t", "-f", "root")
            self.assertEqual((account, envelope),
                             ("work", ["from=alice@example.org", "recipients=alice@example.org;"]))
            self.assertEqual(letter, text)
        text = head + b"To: x@example.org, root\nBcc: root\n\nout\n"
        self.assertEqual(self.queued(text, "-t", "b@example.org")[1],
                         ["from=alice@example.org",
                          "recipients=b@example.org;x@example.org;alice@example.org;"])
        self.refused(65, "not sent: its To field is broken: \"Root\"", "To: Root\n\nx\n", "-t")


class Manuals(Base):
    def options(self, text):
        return set(re.findall(r"(?<![\w-])--?[A-Za-z][a-z-]*", text))

    def test_options(self):
        # A manual page and --help name the same options and commands.
        for program in "mailfs-sendmail", "mailfsctl":
            help_text = self.run_program(program, "--help").stdout
            page = process.run(["mandoc", "-T", "ascii", os.path.join(MANUALS, program + ".1")]).stdout
            page = re.sub(".\b", "", page)
            for option in self.options(help_text):
                self.assertIn(option, page, program)
            for line in help_text.splitlines():
                self.assertLessEqual(len(line), 80, line)
        for command in "outbox", "flush", "retry", "cancel":
            self.assertRegex(page, rf"\n +{command}\b")


if __name__ == "__main__":
    unittest.main()
