"""What other clients do to the mailbox shows in the mount after `refresh`."""

import hashlib
import subprocess
import unittest

from lab import process, samples
from lab.case import LabCase

HOLD = """
import hashlib, sys
with open(sys.argv[1], "rb") as file:
    start = file.read(10)
    print("open", flush=True)
    sys.stdin.readline()
    print(hashlib.sha256(start + file.read()).hexdigest(), flush=True)
"""


class Changes(LabCase):
    @classmethod
    def fill(cls, maildir):
        author = samples.Author(seed=7)
        maildir.put_all("INBOX", (author.write() for _ in range(20)))
        maildir.put_all("Other", (author.write() for _ in range(3)))

    def setUp(self):
        super().setUp()
        self.fs = self.mount(refresh=1)
        self.client = self.truth()

    def wait_for_listing(self, folder, condition, what):
        return process.wait_until(lambda: condition(set(self.fs.ls(folder))), 20, what)

    def test_new_mail_appears(self):
        # A message that another client adds is listed, has its name, and reads right.
        before = set(self.fs.ls("INBOX"))
        content = b"From: Carol <carol@example.org>\r\nSubject: Fresh\r\n\r\nnews\r\n"
        self.client.append("INBOX", content)
        self.wait_for_listing("INBOX", lambda names: len(names) == len(before) + 1, "the new message")
        [name] = set(self.fs.ls("INBOX")) - before
        self.assertRegex(name, r"_Carol_Fresh,\d+\.eml$")
        self.assertEqual(self.fs.read(f"INBOX/{name}"), content)
        self.assertEqual(self.read_all(self.fs), self.held())

    def test_expunged_mail_disappears(self):
        # A message that is gone is not listed and is ENOENT; the others keep name and inode.
        entries = self.fs.messages("INBOX")
        uid = sorted(entries)[2]
        self.client.expunge("INBOX", uid)
        self.wait_for_listing("INBOX", lambda names: entries[uid].name not in names, "its absence")
        done = self.fs.run("cat", f"INBOX/{entries[uid].name}", check=False)
        self.assertIn("No such file", done.stderr)
        left = {uid: entry.inode for uid, entry in self.fs.messages("INBOX").items()}
        del entries[uid]
        self.assertEqual(left, {uid: entry.inode for uid, entry in entries.items()})

    def test_an_open_file_outlives_its_message(self):
        # Expunged while open: the reader that has it open gets the rest of it.
        entries = self.fs.messages("INBOX")
        uid = sorted(entries)[-1]
        expected = hashlib.sha256(self.client.content("INBOX", uid)).hexdigest()
        reader = subprocess.Popen(["/usr/bin/python3", "-c", HOLD, f"INBOX/{entries[uid].name}"],
                                  cwd=self.fs.path, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                  text=True)
        self.addCleanup(reader.kill)
        self.assertEqual(reader.stdout.readline(), "open\n")
        self.client.expunge("INBOX", uid)
        self.wait_for_listing("INBOX", lambda names: entries[uid].name not in names, "its absence")
        rest, _ = reader.communicate("go on\n", timeout=20)
        self.assertEqual(rest.strip(), expected)

    def test_an_expunged_message_not_yet_noticed(self):
        # Gone on the server, still listed here, never read: ENOENT, and the mount lives on.
        fs = self.mount(refresh=3600)
        entries = fs.messages("INBOX")
        uid = sorted(entries)[0]
        self.client.expunge("INBOX", uid)
        done = fs.run("cat", f"INBOX/{entries[uid].name}", check=False)
        self.assertIn("No such file", done.stderr)
        self.assertEqual(fs.run("cat", f"INBOX/{entries[sorted(entries)[1]].name}").returncode, 0)

    def test_flags_change(self):
        # A flag set elsewhere shows in the attribute.
        name, uid = next((entry.name, uid) for uid, entry in self.fs.messages("Other").items())
        self.client.imap.select("Other")
        self.client.imap.uid("STORE", str(uid), "+FLAGS", r"(\Flagged $Important)")

        def flags():
            self.fs.ls("Other")
            return self.fs.run("getfattr", "--only-values", "-n", "user.mailfs.flags",
                               f"Other/{name}").stdout.split()

        process.wait_until(lambda: {r"\Flagged", "$Important"} <= set(flags()), 20, "the flags")

    def test_folders_come_and_go(self):
        # A folder made or deleted elsewhere appears and disappears.
        self.client.imap.create("Projects/New")
        process.wait_until(lambda: "Projects" in self.fs.ls("."), 20, "the new folder")
        self.assertEqual(self.fs.ls("Projects"), ["New"])
        self.client.imap.delete("Projects/New")
        process.wait_until(lambda: "New" not in (self.fs.ls("Projects", check=False)), 20,
                           "the folder's absence")

    def test_a_directorys_mtime_moves(self):
        # And stands still while nothing changes: tools that watch directories rely on both.
        def mtime():
            return self.fs.run("stat", "-c", "%.Y", "Other").stdout

        self.fs.ls("Other")
        before = mtime()
        self.fs.ls("Other")
        self.assertEqual(mtime(), before)
        self.client.append("Other", b"From: a@example.org\r\nSubject: x\r\n\r\nx\r\n")
        count = len(self.fs.ls("Other"))
        process.wait_until(lambda: len(self.fs.ls("Other")) >= 4, 20, f"a fourth message, not {count}")
        self.assertNotEqual(mtime(), before)

    def test_uidvalidity_changes(self):
        # A folder deleted and made anew has the new messages, under names of their own.
        self.assertEqual(len(self.fs.ls("Other")), len(self.client.messages("Other")))
        self.client.imap.unselect()
        self.client.imap.delete("Other")
        self.client.imap.create("Other")
        content = b"From: a@example.org\r\nSubject: reborn\r\n\r\nx\r\n"
        self.client.append("Other", content)
        self.wait_for_listing("Other", lambda names: len(names) == 1, "the new folder's one message")
        self.assertEqual(self.fs.read(self.fs.first("Other")), content)


if __name__ == "__main__":
    unittest.main()
