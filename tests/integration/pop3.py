"""A POP3 account is a mailbox like any other: read, listed, cached, backed up and sent from as over
IMAP, and the server holds afterwards what it held before."""

import hashlib
import os
import re
import subprocess
import time
import unittest

from integration import hostile, names, offline, outbox, reading
from integration.changes import HOLD
from lab import process, samples
from lab.case import LabCase
from lab.mount import message_of
from lab.pop3_truth import Pop3Truth
from lab.samples import EPOCH, MINUTE, Sample

REFUSED = "Read-only file system|Operation not permitted|Operation not supported"
# As many messages may be under way, and their retrieval not yet taken back, when a connection ends.
WINDOW = 32


class Pop3Case(LabCase):
    protocols = ("pop3s", "pop3")

    def session(self):
        """Another POP3 client; ended with the test."""
        return self.enterContext(Pop3Truth(self.dovecot, "alice"))

    def wait_listed(self, mount, condition, what):
        return process.wait_until(lambda: condition(set(mount.ls("INBOX"))), 30, what)


class Reading(reading.Readable, Pop3Case):
    @classmethod
    def fill(cls, maildir):
        author = samples.Author(seed=23)
        cls.samples = [author.write() for _ in range(60)]
        maildir.put_all("INBOX", cls.samples)
        maildir.put_all("Archive", (author.write() for _ in range(3)))

    def test_the_inbox_is_all(self):
        # Folders that only IMAP knows are not there; what is there is a directory named INBOX.
        self.assertEqual(self.mount().ls(), ["INBOX"])

    def test_extended_attributes(self):
        # What the header says is there for getfattr, decoded; the server told none of it.
        mount = self.mount()
        for sample in self.samples[::15]:
            [path] = mount.run("grep", "-rl", sample.needle, ".").stdout.splitlines()
            self.assertIn(mount.attribute(path, "message-id").strip("<>").encode(), sample.content)
            self.assertIn(b"Date: " + mount.attribute(path, "date").encode(), sample.content)
            self.assertRegex(mount.attribute(path, "from"), r"@example\.org")
            self.assertEqual(mount.attribute(path, "folder"), "INBOX")
            self.assertEqual(mount.attribute(path, "flags", check=False), "")

    def test_a_copy_with_times(self):
        # find and wc tell of a copy by cp -p what they told of the mount before: names, sizes, times.
        mount = self.mount()
        copy = os.path.join(mount.directory, "copy")
        looks = ('find "$1" -type f -printf "%f %s %T@\\n" | sort', 'cd "$1" && wc -c -- * | sort')
        before = [mount.sh(look, "INBOX", timeout=120).stdout for look in looks]
        mount.run("cp", "-rp", "INBOX", copy, timeout=120)
        self.assertEqual([mount.sh(look, copy).stdout for look in looks], before)


class LineEnds(Pop3Case):
    """Mail whose lines end otherwise than in CRLF, of which a server announces another size than it
    sends."""

    @classmethod
    def fill(cls, maildir):
        head = b"From: a@example.org\r\nSubject: %d\r\nDate: Mon, 05 Jan 2026 08:00:00 +0000\r\n\r\n"
        bodies = [b"ends\r\n", b"no end", b"dot\r\n.\r\n..\r\n.x\r\n", b"no end\r\n.", b"line\r\n" * 9_000,
                  b"line\r\n" * 90_000 + b"no end", b""]
        written = [head % number + body for number, body in enumerate(bodies)]
        written.append(written[0].replace(b"\r\n", b"\n"))
        cls.delivered = [re.sub(rb"\r?\n", b"\r\n", content) for content in written]
        maildir.put_all("INBOX", (Sample(content, EPOCH) for content in written))

    def expected(self):
        """What is delivered, and a CRLF at the end where it lacks."""
        whole = (content if content.endswith(b"\r\n") else content + b"\r\n" for content in self.delivered)
        return sorted(hashlib.sha256(content).hexdigest() for content in whole)

    def test_the_bytes_that_were_delivered(self):
        # Read one after the other: every byte, and sizes that are exact from the opening on.
        mount = self.mount()
        self.assertEqual(sorted(mount.hashes().values()), self.expected())
        self.assertEqual(self.read_all(mount), self.held())
        sizes = {message: entry.size for message, entry in mount.messages("INBOX").items()}
        self.assertEqual(sizes, {message: truth.size
                                 for message, truth in self.everything()["INBOX"].items()})

    def test_copies_from_cold(self):
        # Programs that believe stat before they read get every byte too.
        for program in ('cp -r INBOX/. "$1"', 'tar cf - INBOX | tar xf - -C "$1"', 'rsync -a INBOX/ "$1"'):
            with self.subTest(program):
                mount = self.mount()
                copy = os.path.join(mount.directory, "copy")
                os.mkdir(copy)
                mount.sh("ls -l INBOX >/dev/null; " + program, copy, check=False)
                self.assertEqual(sorted(mount.hashes(copy).values()), self.expected())


# The header's date, and how the name begins that comes of it.
DATES = [
    ("Date: Mon, 5 Jan 2026 10:00:00 +0200", "2026-01-05_0800_"),
    ("Received: from a by b; Mon, 05 Jan 2026 08:01:00 +0000\r\n"
     "Received: from c by a; Mon, 05 Jan 2026 07:59:00 +0000", "2026-01-05_0801_"),
    ("Date: soon\r\nReceived: from a by b; Mon, 05 Jan 2026 08:02:00 +0000", "2026-01-05_0802_"),
    ("X-Date: Mon, 5 Jan 2026 10:03:00 +0200", "0000-00-00_0000_"),
]


class Names(names.Lasting, Pop3Case):
    @classmethod
    def fill(cls, maildir):
        author = samples.Author(seed=24, size=500)
        maildir.put_all("INBOX", (author.write() for _ in range(200)))
        maildir.put_all("INBOX", samples.hostile().values())

    def test_bare_ids(self):
        # names=uid: the ID is the whole name.
        mount = self.mount(names="uid")
        self.assertEqual(set(mount.ls("INBOX")), {f"{message}.eml" for message in self.everything()["INBOX"]})


class Dates(Pop3Case):
    @classmethod
    def fill(cls, maildir):
        for number, (date, _) in enumerate(DATES):
            content = f"{date}\r\nFrom: Dora <d@example.org>\r\nSubject: dated {number}\r\n\r\nbody\r\n"
            maildir.put_all("INBOX", [Sample(content.encode(), EPOCH + number * MINUTE)])

    def test_names(self):
        # The Date field in UTC, else the first Received, else zeros; behind it whom and what, and
        # 16 digits of the UIDL's hash.
        mount = self.mount()
        known = self.everything()["INBOX"]
        for number, (_, start) in enumerate(DATES):
            [name] = [name for name in mount.ls("INBOX") if f"_dated-{number}," in name]
            match = re.fullmatch(re.escape(start) + rf"Dora_dated-{number},([0-9a-f]{{16}})\.eml", name)
            self.assertTrue(match, name)
            self.assertIn(match[1], known)

    def test_times(self):
        # The modification time is the Date field's; where there is none, when it was first seen.
        mount = self.mount()
        before = time.time()
        for entry in mount.messages("INBOX").values():
            if "_dated-0," in entry.name:
                self.assertEqual(entry.mtime, EPOCH)
            else:
                self.assertEqual(int(entry.mtime), int(entry.ctime))
                self.assertLess(abs(entry.mtime - before), 60)


class Offline(offline.Outages, Pop3Case):
    @classmethod
    def fill(cls, maildir):
        author = samples.Author(seed=25)
        maildir.put_all("INBOX", (author.write() for _ in range(30)))

    def test_everything_without_a_server(self):
        # What was read once is all readable with the server gone, after a remount too.
        mount = self.mount()
        held = self.held()
        self.assertEqual(self.read_all(mount), held)
        self.dovecot.stop()
        self.assertEqual(self.read_all(mount), held)
        mount.unmount()
        mount.start()
        self.assertEqual(self.read_all(mount), held)


class Hostile(hostile.Harmful, Pop3Case):
    @classmethod
    def fill(cls, maildir):
        maildir.put_all("INBOX", samples.hostile().values())


class Changes(Pop3Case):
    @classmethod
    def fill(cls, maildir):
        author = samples.Author(seed=26)
        maildir.put_all("INBOX", (author.write() for _ in range(20)))

    def setUp(self):
        super().setUp()
        self.fs = self.mount(refresh=1)

    def test_new_mail_appears(self):
        # What arrives shows after `refresh`, under its name, and reads right.
        before = set(self.fs.ls("INBOX"))
        content = (b"From: Carol <carol@example.org>\r\nDate: Mon, 05 Jan 2026 09:00:00 +0000\r\n"
                   b"Subject: Fresh\r\n\r\nnews\r\n")
        self.truth().append("INBOX", content)
        self.wait_listed(self.fs, lambda listed: listed - before, "the new message")
        [name] = set(self.fs.ls("INBOX")) - before
        self.assertRegex(name, r"^2026-01-05_0900_Carol_Fresh,[0-9a-f]{16}\.eml$")
        self.assertEqual(self.fs.read(f"INBOX/{name}"), content)
        self.assertEqual(self.read_all(self.fs), self.held())

    def disappears(self, entries, message, remove):
        name = entries.pop(message).name
        remove()
        self.wait_listed(self.fs, lambda listed: name not in listed, "its absence")
        done = self.fs.run("cat", f"INBOX/{name}", check=False)
        self.assertIn("No such file", done.stderr)
        self.assertEqual({message: entry.inode for message, entry in self.fs.messages("INBOX").items()},
                         {message: entry.inode for message, entry in entries.items()})

    def test_deleted_by_a_pop3_client(self):
        # It is not listed any more, and ENOENT; the others keep name and inode.
        entries = self.fs.messages("INBOX")
        message = sorted(entries)[2]
        self.disappears(entries, message, lambda: self.session().expunge(message))

    def test_expunged_by_an_imap_client(self):
        # The same, read before or not.
        entries = self.fs.messages("INBOX")
        self.fs.hashes()
        client = self.truth()
        uid, truth = sorted(client.messages("INBOX").items())[1]
        [message] = [message for message, seen in self.everything()["INBOX"].items()
                     if seen.sha256 == truth.sha256]
        self.disappears(entries, message, lambda: client.expunge("INBOX", uid))

    def test_an_open_file_outlives_its_message(self):
        # Deleted while open: the reader that has it open gets the rest of it.
        entries = self.fs.messages("INBOX")
        message = sorted(entries)[-1]
        expected = self.everything()["INBOX"][message].sha256
        reader = self.background(self.fs, "/usr/bin/python3", "-c", HOLD, f"INBOX/{entries[message].name}")
        self.assertEqual(reader.stdout.readline(), "open\n")
        self.disappears(entries, message, lambda: self.session().expunge(message))
        rest, _ = reader.communicate("go on\n", timeout=20)
        self.assertEqual(rest.strip(), expected)

    def test_nothing_can_be_put_in_or_taken_out(self):
        # Each way fails at once with a reason, and the mailbox is as before.
        file = os.path.join(self.fs.directory, "file")
        with open(file, "w", encoding="ascii") as written:
            written.write("Subject: mine\n\nhello\n")
        path, held = self.fs.first(), self.held()
        for change in ("mkdir INBOX/folder", "mkdir folder", 'cp "$1" INBOX/', 'mv "$1" INBOX/mine.eml',
                       'cp "$1" .', 'ln "$2" INBOX/twin.eml', 'mv "$2" INBOX/renamed.eml', 'mv "$2" .',
                       'rm -f "$2"', "rmdir INBOX", "mv INBOX elsewhere"):
            with self.subTest(change):
                done = self.fs.sh(change, file, path, check=False)
                self.assertNotEqual(done.returncode, 0)
                self.assertRegex(done.stderr, REFUSED)
        self.assertTrue(os.path.exists(file))
        self.assertEqual(self.read_all(self.fs), held)
        self.assertEqual(self.held(), held)


class Seen(Pop3Case):
    """Dovecot marks what was retrieved as seen when a session ends, unless it is taken back."""

    @classmethod
    def fill(cls, maildir):
        author = samples.Author(seed=27, size=20_000)
        written = (author.write() for _ in range(400))
        maildir.put_all("INBOX", (Sample(sample.content, sample.date) for sample in written))

    def seen(self):
        """How many messages are marked."""
        return sum(r"\Seen" in truth.flags for truth in self.truth().messages("INBOX").values())

    def test_1_reading_everything(self):
        # Nothing is marked, neither while mounted nor after a session ended in order.
        mount = self.mount()
        self.assertEqual(self.seen(), 0)
        self.assertEqual(self.read_all(mount), self.held())
        self.assertEqual(self.seen(), 0)
        mount.unmount()
        self.assertEqual(self.seen(), 0)

    def test_2_killed_while_reading(self):
        # Of a daemon that dies at most what was just under way is marked; the next one goes on.
        mount = self.mount()
        mount.ls("INBOX")
        reading_all = self.background(mount, "sh", "-c",
                                      "cat INBOX/* | (head -c 2000000 >/dev/null; echo half; cat >/dev/null)")
        self.assertEqual(reading_all.stdout.readline(), "half\n")
        mount.crash()
        process.wait_until(lambda: not self.dovecot.doveadm("who", "-1").stdout.count("pop3"), 20,
                           "the session's end")
        self.assertLessEqual(self.seen(), WINDOW)
        mount.start()
        self.assertEqual(self.read_all(mount), self.held())


    def test_3_unmounted_while_reading(self):
        # Who is told to end while messages come takes back what was under way.
        mount = self.mount(prefetch="64M")
        held = self.seen()
        mount.ls("INBOX")
        reading_all = self.background(mount, "sh", "-c",
                                      "cat INBOX/* | (head -c 1000000 >/dev/null; echo part; cat >/dev/null)")
        self.assertEqual(reading_all.stdout.readline(), "part\n")
        mount.terminate()
        mount.wait_gone()
        process.wait_until(lambda: not self.dovecot.doveadm("who", "-1").stdout.count("pop3"), 20,
                           "the session's end")
        self.assertEqual(self.seen(), held)


class Locked(Pop3Case):
    """A server that lets one session in at a time."""

    extra = "protocol pop3 {\n  pop3_lock_session = yes\n}\n"

    @classmethod
    def fill(cls, maildir):
        author = samples.Author(seed=28)
        maildir.put_all("INBOX", (author.write() for _ in range(20)))

    def test_others_get_in_between(self):
        # The mailbox is locked while there is work and for some seconds more: another client waits
        # less than the ten seconds that Dovecot lets it.
        mount = self.mount(refresh=1)
        for _ in range(3):
            mount.hashes()
            with Pop3Truth(self.dovecot, "alice") as session:
                self.assertEqual(len(session.numbers()), 20)

    def test_another_session_is_waited_for(self):
        # Its lock is no error: the listing is the last good one, a reader waits and gets its message.
        mount = self.mount(refresh=1)
        listed = mount.ls("INBOX")
        other = self.session()
        numbers = other.numbers()
        path = mount.first()
        reader = self.blocked_reader(mount, path)
        self.assertEqual(mount.ls("INBOX"), listed)
        expected = other.ask(f"RETR {numbers[message_of(path)]}").decode()
        other.say("RSET")
        other.say("QUIT")
        content, message = reader.communicate(timeout=60)
        self.assertEqual(reader.returncode, 0, message)
        self.assertEqual(content, expected.replace("\r\n", "\n"))

    def test_locked_at_the_first_mount(self):
        # Nothing is known yet, so it is waited for, in vain: the server is busy, which is 75 and one
        # line. A mount that sees the other's end succeeds.
        other = self.session()
        done = self.new_mount(timeout=20).try_start(timeout=90)
        self.assertEqual(done.returncode, 75, done.stderr)
        self.assertEqual(len(done.stderr.strip().splitlines()), 1, done.stderr)
        mount = self.new_mount()
        starting = mount.launch(mount.account, mount.path)
        with self.assertRaises(subprocess.TimeoutExpired):
            starting.wait(2)
        other.say("QUIT")
        _, message = starting.communicate(timeout=60)
        self.assertEqual(starting.returncode, 0, message)
        self.assertEqual(len(mount.ls("INBOX")), 20)


class Sessions(Pop3Case):
    """What a server sees of a mount: how often it is logged in to, and what for."""

    @classmethod
    def fill(cls, maildir):
        author = samples.Author(seed=29)
        maildir.put_all("INBOX", (author.write() for _ in range(30)))

    def wait_ended(self, count):
        """Of all sessions, what each retrieved; once there are so many and none is open."""
        def ended():
            with open(self.dovecot.log, encoding="utf-8") as log:
                lines = log.read()
            found = re.findall(r"Logged out top=(\d+)/.*retr=(\d+)/", lines)
            return len(found) == lines.count("Login: user=<alice>") == count and found

        return process.wait_until(ended, 30, f"the end of {count} sessions")

    def test_one_is_enough(self):
        # Mounted, listed in all ways and read, each header and each message once; a mount that finds
        # all that in the cache asks for what is there and no more.
        mount = self.mount(refresh=3600)
        mount.run("ls", "-lR")
        mount.run("find", ".", "-size", "+1k")
        mount.hashes()
        mount.unmount()
        self.assertEqual(self.wait_ended(1), [("30", "30")])
        mount.start()
        mount.run("ls", "-lR")
        mount.hashes()
        mount.unmount()
        self.assertEqual(self.wait_ended(2)[1:], [("0", "0")])


class Logins(Pop3Case):
    def test_refused(self):
        # A wrong password is 77 and one line that tells the server, with TLS from the start or not.
        for protocol in self.protocols:
            done = self.new_mount(**self.mail_server(protocol), password="wrong").try_start()
            self.assertEqual(done.returncode, 77, done.stderr)
            self.assertEqual(len(done.stderr.strip().splitlines()), 1, done.stderr)

    def test_other_mechanisms(self):
        # auth= is for POP3 too: each logs in and shows the INBOX.
        for mechanism in "PLAIN", "LOGIN", "CRAM-MD5":
            with self.subTest(mechanism):
                self.assertEqual(self.mount(auth=mechanism).ls("INBOX"), [])

    def test_plain_text_is_told(self):
        # tls=off mounts without TLS, and says so.
        mount = self.new_mount(**self.mail_server("pop3"), tls="off")
        self.assertIn("plain text", mount.start().stderr)
        self.assertEqual(mount.ls(), ["INBOX"])


class Apop(Pop3Case):
    """A server that is logged in to without a mechanism of SASL, by a digest of the password."""

    extra = "auth_mechanisms = apop\n"

    def test_automatic(self):
        # With TLS from the start or not, nobody has to say so.
        for protocol in self.protocols:
            with self.subTest(protocol):
                self.assertEqual(self.mount(**self.mail_server(protocol)).ls("INBOX"), [])
        with open(self.dovecot.log, encoding="utf-8") as log:
            self.assertEqual(log.read().count("method=APOP"), 2)


class Outbox(outbox.OutboxCase, Pop3Case):
    def test_a_letter_is_sent(self):
        # Beside a POP3 mailbox the outbox works as ever; no copy is kept, and none waits for ever.
        mount = self.mount()
        self.assertEqual(sorted(mount.ls()), ["INBOX", "outbox"])
        nothing = mount.ctl("outbox").stdout
        self.write(mount, "note", b"To: bob@example.org\nSubject: beside-pop3\n\nHello\n")
        [arrived] = self.arrived("bob", "beside-pop3")
        self.assertIn(b"\r\nHello\r\n", arrived)
        self.wait_taken(mount, "note")
        process.wait_until(lambda: mount.ctl("outbox").stdout == nothing, 10, "an outbox without work")
        mount.unmount()


if __name__ == "__main__":
    unittest.main()
