"""What is written into outbox/ is sent: through Postfix, by LMTP into Dovecot, and there compared."""

import email
import email.policy
import os
import re
import time
import unittest

from lab import process
from lab.case import LabCase
from lab.imap_truth import ImapTruth

ALICE, BOB = "alice@example.org", "bob@example.org"
COMMITTED = "held", "queued", "sending"


def parse(content):
    return email.message_from_bytes(content, policy=email.policy.SMTP)


class OutboxCase(LabCase):
    sends = True

    def write(self, mount, name, content, check=True):
        """Copies a file of that content into the outbox with cp."""
        source = os.path.join(mount.directory, "letter")
        with open(source, "wb") as file:
            file.write(content)
        return mount.run("cp", source, f"outbox/{name}", check=check)

    def letters(self, user, word):
        """The letters in a user's INBOX that contain a word."""
        with self.session(user) as truth:
            return [content for content in truth.contents("INBOX") if word.encode() in content]

    def session(self, user):
        return ImapTruth(self.dovecot, user)

    def arrived(self, user, word, count=1, timeout=30):
        """Waits for exactly `count` letters with `word` and returns them."""
        process.wait_until(lambda: len(self.letters(user, word)) >= count, timeout,
                           f"{count} letters about {word} at {user}\n" + process.tail(self.postfix.log))
        letters = self.letters(user, word)
        self.assertEqual(len(letters), count)
        return letters

    def wait_committed(self, mount, name, timeout=30):
        """The daemon hears of the last close after its writer has gone on."""
        process.wait_until(
            lambda: mount.attribute(f"outbox/{name}", "state", check=False) in COMMITTED, timeout,
            f"outbox/{name} committed")

    def wait_taken(self, mount, name, timeout=30):
        process.wait_until(lambda: name not in mount.ls("outbox"), timeout, f"outbox/{name} taken")

    def wait_failed(self, mount, name, timeout=30):
        """The text of failed/NAME.error."""
        process.wait_until(lambda: {name, name + ".error"} <= set(mount.ls("outbox/failed")), timeout,
                           f"outbox/failed/{name}")
        return mount.read(f"outbox/failed/{name}.error").decode()


class Outbox(OutboxCase):
    def test_a_letter_arrives_without_its_bcc(self):
        # To, Cc and Bcc all get it; no copy names the Bcc; then the outbox is empty again.
        mount = self.mount()
        self.write(mount, "hello", b"From: Alice <alice@example.org>\nTo: Bob <bob@example.org>\n"
                   b"Bcc: alice@example.org,\n  \"Hidden\" <alice@example.org>\nSubject: bcc-test\n"
                   b"Message-ID: <bcc.1@example.org>\nDate: Mon, 05 Jan 2026 09:00:00 +0000\n\nbody\n")
        for user in "alice", "bob":
            [letter] = self.arrived(user, "bcc-test")
            self.assertNotIn(b"bcc:", letter.lower())
            self.assertNotIn(b"Hidden", letter)
            self.assertIn(b"Message-ID: <bcc.1@example.org>\r\n", letter)
            self.assertIn(b"Date: Mon, 05 Jan 2026 09:00:00 +0000\r\n", letter)
        self.wait_taken(mount, "hello")
        self.assertEqual(mount.ls("outbox"), ["failed"])
        self.assertEqual(mount.ls("outbox/failed"), [])

    def test_missing_header_fields_are_added(self):
        # Date, Message-ID and From where the letter has none, once each.
        mount = self.mount()
        self.write(mount, "bare", b"To: bob@example.org\nSubject: bare-test\n\nhello\n")
        letter = parse(self.arrived("bob", "bare-test")[0])
        self.assertEqual(letter["From"], ALICE)
        self.assertRegex(letter["Message-ID"], r"^<[^<>@\s]+@[^<>@\s]+>$")
        self.assertEqual(len(letter.get_all("Message-ID")), 1)
        self.assertEqual(len(letter.get_all("Date")), 1)
        sent = letter["Date"].datetime.timestamp()
        self.assertLess(abs(sent - time.time()), 120)

    def test_both_line_ends_arrive_as_crlf(self):
        # The body of an LF letter and of a CRLF letter arrive the same, without a doubled CR.
        mount = self.mount()
        text = "To: bob@example.org\nFrom: alice@example.org\nSubject: lines-%s\n\none\n\ntwo\n"
        self.write(mount, "lf", (text % "lf").encode())
        self.write(mount, "crlf", (text % "crlf").replace("\n", "\r\n").encode())
        for kind in "lf", "crlf":
            [letter] = self.arrived("bob", f"lines-{kind}")
            self.assertTrue(letter.endswith(b"\r\n\r\none\r\n\r\ntwo\r\n"), letter)
            self.assertNotIn(b"\r\r", letter)

    def test_lines_of_dots(self):
        # Dots at the start of a line are data, a line with a single dot does not end the letter.
        mount = self.mount()
        body = b".\n..\n...\n.hidden\nafter\n.\n"
        self.write(mount, "dots", b"To: bob@example.org\nSubject: dots-test\n\n" + body)
        [letter] = self.arrived("bob", "dots-test")
        self.assertEqual(letter.partition(b"\r\n\r\n")[2], body.replace(b"\n", b"\r\n"))

    def test_eight_bit_text(self):
        # 8-bit bytes arrive as they were written.
        mount = self.mount()
        body = "Žluťoučký kůň, Grüße, 会議\n".encode()
        self.write(mount, "eight", b"To: bob@example.org\nSubject: eight-test\nMIME-Version: 1.0\n"
                   b"Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n" + body)
        [letter] = self.arrived("bob", "eight-test")
        self.assertTrue(letter.endswith(body.replace(b"\n", b"\r\n")))

    def test_no_final_newline(self):
        # A last line without an end arrives complete.
        mount = self.mount()
        self.write(mount, "open-end", b"To: bob@example.org\nSubject: openend-test\n\nlast words")
        self.assertTrue(self.arrived("bob", "openend-test")[0].endswith(b"\r\nlast words\r\n"))

    def test_a_large_letter(self):
        # Some megabytes go through byte by byte.
        mount = self.mount()
        body = b"seventy bytes of a large letter, line after line, number %07d .\n"
        body = b"".join(body % i for i in range(60_000))
        self.write(mount, "large", b"To: bob@example.org\nSubject: large-test\n\n" + body)
        [letter] = self.arrived("bob", "large-test", timeout=60)
        self.assertEqual(letter.partition(b"\r\n\r\n")[2], body.replace(b"\n", b"\r\n"))

    def test_smtps(self):
        # smtps:// sends as well as smtp:// with STARTTLS.
        mount = self.mount(smtp=self.postfix.url("smtps", "alice"))
        self.write(mount, "tls", b"To: bob@example.org\nSubject: smtps-test\n\nhello\n")
        self.arrived("bob", "smtps-test")

    def test_every_way_to_write_a_file(self):
        # cp, cat, tee, dd, install, mv, a shell's redirection, rsync and Python: each sends once.
        mount = self.mount()
        ways = {
            "cat": 'cat "$1" > outbox/cat',
            "tee": 'tee outbox/tee < "$1" >/dev/null',
            "dd": 'dd if="$1" of=outbox/dd bs=16 status=none',
            "install": 'install -m 600 "$1" outbox/install',
            "mv": 'mv "$1" outbox/mv',
            "subshell": '(sed 5q "$1"; printf "more\\n") > outbox/subshell',
            "rsync": 'rsync "$1" outbox/rsync',
            "python": 'python3 -c "import sys; open(\'outbox/python\', \'wb\')'
                      '.write(open(sys.argv[1], \'rb\').read())" "$1"',
        }
        for name, script in ways.items():
            source = os.path.join(mount.directory, name)
            with open(source, "w", encoding="ascii") as file:
                file.write(f"To: bob@example.org\nSubject: way-{name}-test\n\nhello\n")
            mount.sh(script, source)
        for name in ways:
            with self.subTest(name):
                self.arrived("bob", f"way-{name}-test")
                self.wait_taken(mount, name)
        self.assertEqual(mount.ls("outbox"), ["failed"])

    def test_a_refused_recipient(self):
        # The letter lies in failed/, whole, and NAME.error tells who refused it with which words.
        mount = self.mount()
        content = b"To: refused@example.org\nSubject: refused-test\n\nhello\n"
        self.write(mount, "no", content)
        error = self.wait_failed(mount, "no")
        self.assertIn("550", error)
        self.assertIn("refused@example.org", error)
        self.assertIn("no such luck", error)
        self.assertEqual(mount.read("outbox/failed/no"), content)
        self.assertNotIn("no", mount.ls("outbox"))

    def test_one_recipient_of_two_refused(self):
        # The accepted one has the letter, once; the refused one is reported.
        mount = self.mount()
        self.write(mount, "half", b"To: bob@example.org, refused@example.org\n"
                   b"Subject: half-test\n\nhello\n")
        error = self.wait_failed(mount, "half")
        self.assertIn("refused@example.org", error)
        self.arrived("bob", "half-test")

    def test_unknown_domains_are_reported(self):
        # The server relays nowhere: the letter fails, with its words.
        mount = self.mount()
        self.write(mount, "away", b"To: someone@example.net\nSubject: away-test\n\nhello\n")
        self.assertIn("Relay access denied", self.wait_failed(mount, "away"))

    def test_a_letter_that_is_none(self):
        # No recipient, no header, a broken address: cp sees EINVAL, and the letter lies in failed/.
        mount = self.mount()
        for name, content in (("nobody", b"From: alice@example.org\nSubject: none-test\n\nhello\n"),
                              ("headless", b"just some text, none-test\n"),
                              ("broken", b"To: bob@@example..org>,<\nSubject: none-test\n\nhello\n")):
            with self.subTest(name):
                done = self.write(mount, name, content, check=False)
                self.assertEqual(done.returncode, 1)
                self.assertIn("Invalid argument", done.stderr)
                self.wait_failed(mount, name)
                self.assertEqual(mount.read(f"outbox/failed/{name}"), content)
        self.assertEqual(self.letters("bob", "none-test"), [])

    def test_what_is_never_sent(self):
        # Empty files, dot-files and editors' files stay where they are.
        mount = self.mount()
        content = b"To: bob@example.org\nSubject: never-test\n\nhello\n"
        for name in ".hidden", "backup~", ".letter.swp", "4913", "#auto#":
            self.write(mount, name, content)
        mount.sh(": > outbox/empty; touch outbox/touched")
        self.write(mount, "sentinel", b"To: bob@example.org\nSubject: sentinel-test\n\nhello\n")
        self.arrived("bob", "sentinel-test")
        self.assertEqual(self.letters("bob", "never-test"), [])
        self.assertEqual(mount.ls("outbox/failed"), [])
        self.assertIn(".hidden", mount.ls("outbox"))

    def test_renaming_a_dot_file_sends(self):
        # Written as .name and renamed, as rsync and careful scripts do: sent at once.
        mount = self.mount(send_delay=60)
        self.write(mount, ".draft", b"To: bob@example.org\nSubject: rename-test\n\nhello\n")
        self.assertEqual(self.letters("bob", "rename-test"), [])
        mount.run("mv", "outbox/.draft", "outbox/final")
        self.arrived("bob", "rename-test")

    def test_a_rename_that_cannot_be_sent(self):
        # The caller of rename sees EINVAL, and the draft stays under its old name.
        mount = self.mount()
        self.write(mount, ".draft", b"Subject: no recipient\n\nhello\n")
        done = mount.python("import os; os.rename('outbox/.draft', 'outbox/final')", check=False)
        self.assertIn("Invalid argument", done.stderr)
        self.assertIn(".draft", mount.ls("outbox"))

    def test_two_letters_of_one_name(self):
        # A name is a label: two writers of outbox/mail send two letters.
        mount = self.mount(send_delay=3)
        for number in "first", "second":
            self.write(mount, "mail", f"To: bob@example.org\nSubject: twins-test\n\n{number}\n".encode())
        bodies = {letter.rpartition(b"\r\n\r\n")[2] for letter in self.arrived("bob", "twins-test", 2)}
        self.assertEqual(bodies, {b"first\r\n", b"second\r\n"})

    def test_many_writers_of_one_name(self):
        # Also while all of them write at once, with cp, a redirection and mv: each letter arrives
        # whole whose writer was told of no error, and no other.
        mount = self.mount(send_delay=1)
        scripts = ('cp "$1" outbox/crowd', 'cat "$1" > outbox/crowd',
                   'cp "$1" "outbox/.$2" && mv "outbox/.$2" outbox/crowd')
        writers, body = {}, {}
        for number in range(30):
            body[number] = f"line of {number}\n" * 500
            source = os.path.join(mount.directory, f"crowd{number}")
            with open(source, "w", encoding="ascii") as file:
                file.write(f"To: bob@example.org\nSubject: crowd-test {number}.\n\n{body[number]}")
            writers[number] = mount.popen("sh", "-c", scripts[number % 3], "sh", source, str(number))
        told_well = set()
        for number, writer in writers.items():
            writer.communicate(timeout=30)
            if writer.returncode == 0:
                told_well.add(number)
        self.assertGreater(len(told_well), 15)
        arrived = {}
        for letter in self.arrived("bob", "crowd-test", len(told_well), timeout=60):
            number = int(re.search(rb"crowd-test (\d+)\.", letter)[1])
            arrived[number] = letter.partition(b"\r\n\r\n")[2].replace(b"\r\n", b"\n").decode()
        self.assertEqual(arrived, {number: body[number] for number in told_well})
        # Whose mv was refused has his draft still.
        drafts = {f".{number}" for number in writers if number % 3 == 2} - {f".{n}" for n in told_well}
        process.wait_until(lambda: set(mount.ls("outbox")) - drafts == {"failed"}, 20, "an empty outbox")
        self.assertEqual(mount.ls("outbox/failed"), [])

    def test_appending_while_another_takes_the_name(self):
        # What is appended goes to the letter that was opened, wherever the kernel believes it ends.
        mount = self.mount()
        writer = mount.popen(
            "python3", "-c",
            "import sys\n"
            "file = open('outbox/log', 'ab', 0)\n"
            "file.write(b'To: bob@example.org\\nSubject: append-first\\n\\none\\n')\n"
            "print(flush=True)\n"
            "sys.stdin.readline()\n"
            "file.write(b'two\\n')\n")
        self.addCleanup(writer.communicate)
        writer.stdout.readline()
        for size in 0, 5000:
            self.write(mount, "log", b"To: bob@example.org\nSubject: append-other\n\n" + b"x\n" * size)
        writer.stdin.write("\n")
        writer.stdin.flush()
        [letter] = self.arrived("bob", "append-first")
        self.assertTrue(letter.endswith(b"\r\n\r\none\r\ntwo\r\n"), letter)
        self.arrived("bob", "append-other", 2)

    def test_half_a_letter_is_not_sent(self):
        # The disk is full: cp is told, and what it wrote so far lies in failed/ until it is written
        # anew, also after a restart.
        disk = os.path.join(self.directory, "disk")
        os.mkdir(disk)
        process.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", disk])
        self.addCleanup(process.run, ["umount", "-l", disk])
        filler = os.path.join(disk, "filler")
        with open(filler, "wb") as file:
            file.write(bytes(2 << 20))
        mount = self.mount(state_dir=disk)
        head = b"To: bob@example.org\nSubject: half-disk-test\n\n"
        done = self.write(mount, "big", head + b"line after line\n" * 400_000, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("No space left", done.stderr)
        self.assertIn("could not be written", self.wait_failed(mount, "big"))
        mount.unmount()
        os.unlink(filler)
        mount.start()
        self.assertEqual(mount.ls("outbox/failed"), ["big", "big.error"])
        done = mount.run("mv", "outbox/failed/big", "outbox/", check=False)
        self.assertIn("No space left", done.stderr)
        mount.sh('printf "To: bob@example.org\\nSubject: half-disk-test\\n\\nwhole\\n" > outbox/failed/big')
        mount.run("mv", "outbox/failed/big", "outbox/")
        [letter] = self.arrived("bob", "half-disk-test")
        self.assertTrue(letter.endswith(b"\r\n\r\nwhole\r\n"), letter)

    def test_rm_within_the_delay_cancels(self):
        # send_delay gives time to think again.
        mount = self.mount(send_delay=2)
        self.write(mount, "regret", b"To: bob@example.org\nSubject: regret-test\n\nhello\n")
        mount.run("rm", "outbox/regret")
        self.write(mount, "later", b"To: bob@example.org\nSubject: later-test\n\nhello\n")
        self.arrived("bob", "later-test")
        self.assertEqual(self.letters("bob", "regret-test"), [])
        self.assertEqual(mount.ls("outbox"), ["failed"])

    def test_a_failed_letter_is_tried_again(self):
        # mv outbox/failed/NAME outbox/ sends it again; rm of both files in failed/ gives it up.
        mount = self.mount()
        self.write(mount, "again", b"To: refused@example.org\nSubject: again-test\n\nhello\n")
        self.wait_failed(mount, "again")
        mount.run("mv", "outbox/failed/again", "outbox/")
        self.wait_failed(mount, "again")
        mount.sh("rm outbox/failed/*")
        process.wait_until(lambda: mount.ls("outbox/failed") == [], 10, "an empty failed/")

    def test_an_outbox_by_another_name(self):
        # outbox= names the directory; empty: there is none.
        mount = self.mount(outbox="postausgang")
        self.assertIn("postausgang", mount.ls())
        self.assertNotIn("outbox", self.mount(outbox="").ls())

    def test_smtp_is_not_needed_to_mount(self):
        # Neither for mounting nor for reading is the submission server asked.
        port = process.free_port()
        mount = self.mount(smtp=f"smtp://alice@localhost:{port}")
        self.assertIn("outbox", mount.ls())

    def test_many_letters_at_once(self):
        # Fifty files dropped at once all arrive, each once.
        mount = self.mount()
        source = os.path.join(mount.directory, "many")
        os.mkdir(source)
        for number in range(50):
            with open(os.path.join(source, f"letter{number}"), "w", encoding="ascii") as file:
                file.write(f"To: bob@example.org\nSubject: many-test\n\nnumber {number}.\n")
        mount.sh('cp "$1"/* outbox/', source)
        letters = self.arrived("bob", "many-test", 50, timeout=60)
        numbers = {int(re.search(rb"number (\d+)\.", letter)[1]) for letter in letters}
        self.assertEqual(numbers, set(range(50)))
        process.wait_until(lambda: mount.ls("outbox") == ["failed"], 20, "an empty outbox")

    def test_a_bounce(self):
        # What the server takes and cannot deliver comes back into the mount, to the sender.
        mount = self.mount()
        self.write(mount, "doomed", b"To: bounced@example.org\nSubject: bounce-test\n\nhello\n")
        [bounce] = self.arrived("alice", "bounce-test")
        self.assertIn(b"\r\nSubject: Undelivered Mail Returned to Sender\r\n", bounce)
        self.assertEqual(parse(bounce)["To"], ALICE)
        self.assertEqual(mount.ls("outbox/failed"), [])
        process.wait_until(lambda: mount.sh("grep -ls bounce-test INBOX/*", check=False).stdout, 30,
                           "the bounce in the mount")


class SizeLimit(OutboxCase):
    size_limit = 20_000

    def test_a_letter_that_is_too_large(self):
        # Postfix tells its limit at the first connection: that letter fails with it, the next one's
        # writer is told at once, and what fits goes.
        mount = self.mount()
        large = b"To: bob@example.org\nSubject: limit-test\n\n" + b"one line of many\n" * 2000
        self.write(mount, "first", large)
        self.assertRegex(self.wait_failed(mount, "first"), "bytes, the server takes 20000|exceeds")
        second = self.write(mount, "second", large, check=False)
        self.assertIn("Message too long", second.stderr)
        self.wait_failed(mount, "second")
        self.write(mount, "third", b"To: bob@example.org\nSubject: limit-small\n\nhello\n")
        self.arrived("bob", "limit-small")
        self.assertEqual(self.letters("bob", "limit-test"), [])


if __name__ == "__main__":
    unittest.main()
