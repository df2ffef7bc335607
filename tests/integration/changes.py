"""What other clients do to the mailbox shows in the mount after `refresh`."""

import hashlib
import os
import time
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

# Opens a directory at once, and reads files in it by that directory when told their names.
HOLD_DIRECTORY = """
import hashlib, os, sys
directory = os.open(sys.argv[1], os.O_RDONLY)
print("open", flush=True)
for name in sys.stdin:
    with open(os.open(name.rstrip("\\n"), os.O_RDONLY, dir_fd=directory), "rb") as file:
        print(hashlib.sha256(file.read()).hexdigest(), flush=True)
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
        reader = self.background(self.fs, "/usr/bin/python3", "-c", HOLD, f"INBOX/{entries[uid].name}")
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

    def test_expunged_behind_an_open_folder(self):
        # The same where our session has the folder open already, because it fetched from it.
        fs = self.mount(refresh=3600, connections=1)
        entries = fs.messages("INBOX")
        first, second, third = sorted(entries)[:3]
        fs.read(f"INBOX/{entries[second].name}")
        self.client.expunge("INBOX", first)
        done = fs.run("cat", f"INBOX/{entries[first].name}", check=False)
        self.assertIn("No such file", done.stderr)
        self.assertEqual(fs.read(f"INBOX/{entries[third].name}"), self.client.content("INBOX", third))

    def test_flags_change(self):
        # A flag set elsewhere shows in the attribute.
        name, uid = next((entry.name, uid) for uid, entry in self.fs.messages("Other").items())
        self.client.imap.select("Other")
        self.client.imap.uid("STORE", str(uid), "+FLAGS", r"(\Flagged $Important)")

        def flags():
            self.fs.ls("Other")
            return self.fs.attribute(f"Other/{name}", "flags").split()

        process.wait_until(lambda: {r"\Flagged", "$Important"} <= set(flags()), 20, "the flags")

    def test_folders_come_and_go(self):
        # A folder made or deleted elsewhere appears and disappears.
        self.client.imap.create("Projects/New")
        process.wait_until(lambda: "Projects" in self.fs.ls("."), 20, "the new folder")
        self.assertEqual(self.fs.ls("Projects"), ["New"])
        self.client.imap.delete("Projects/New")
        process.wait_until(lambda: "New" not in (self.fs.ls("Projects", check=False)), 20,
                           "the folder's absence")

    def test_a_folder_below_a_listed_one(self):
        # Asking the folder itself is enough to see a new folder in it: nobody looks at the root.
        for parent in "Other", "INBOX":
            with self.subTest(parent):
                before = self.fs.ls(parent)
                self.client.imap.create(f"{parent}/Deeper")
                self.addCleanup(self.client.imap.delete, f"{parent}/Deeper")
                started = time.monotonic()
                self.wait_for_listing(parent, lambda names: "Deeper" in names, "the new folder")
                self.assertLess(time.monotonic() - started, 10)  # refresh, and one sync of 5 s
                self.assertEqual(set(self.fs.ls(parent)) - set(before), {"Deeper"})
                self.assertEqual(self.fs.ls(f"{parent}/Deeper"), [])

    def test_a_folder_deleted_under_its_listing(self):
        # A folder that was listed and is gone is ENOENT soon, never empty and never another error; but
        # ESTALE, which the C library does not hide, where it goes between its opening and its reading.
        self.client.imap.create("Doomed")
        self.client.append("Doomed", b"From: a@example.org\r\nSubject: last\r\n\r\nx\r\n")
        process.wait_until(lambda: "Doomed" in self.fs.ls("."), 20, "the folder")
        [name] = self.fs.ls("Doomed")
        self.client.imap.delete("Doomed")

        def ends():
            done = self.fs.run("ls", "Doomed", check=False)
            if done.returncode == 0:
                self.assertEqual(done.stdout.split(), [name])
            else:
                self.assertRegex(done.stderr, "No such file|Stale file handle")
            return done.returncode != 0

        process.wait_until(ends, 10, "the end of the listing")
        self.assertIn("No such file", self.fs.run("cat", f"Doomed/{name}", check=False).stderr)

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

    def test_a_folder_made_anew(self):
        # A folder deleted and made anew has the new messages, under names of their own.
        self.assertEqual(len(self.fs.ls("Other")), len(self.client.messages("Other")))
        self.client.imap.unselect()
        self.client.imap.delete("Other")
        self.client.imap.create("Other")
        content = b"From: a@example.org\r\nSubject: reborn\r\n\r\nx\r\n"
        self.client.append("Other", content)
        self.wait_for_listing("Other", lambda names: len(names) == 1, "the new folder's one message")
        self.assertEqual(self.fs.read(self.fs.first("Other")), content)


class Renumbered(LabCase):
    """UIDVALIDITY changes while messages and UIDs stay, in a folder of more names than the kernel
    asks for with their attributes (READDIRPLUS) at once."""

    @classmethod
    def fill(cls, maildir):
        author = samples.Author(seed=8, size=400)
        maildir.put_all("INBOX", (author.write() for _ in range(300)))

    def renumber(self, uidvalidity):
        self.dovecot.doveadm("mailbox", "update", "-u", "alice", "--uid-validity", str(uidvalidity),
                             "INBOX")

    def inodes(self, mount):
        """{name: inode} as the directory says, which asks for no attribute."""
        lines = mount.run("ls", "-1i", "INBOX").stdout.splitlines()
        return {name: int(inode) for inode, name in (line.split() for line in lines)}

    def uid(self, mount, name):
        return int(mount.attribute(f"INBOX/{name}", "uid"))

    def restart_without_uids(self):
        """Dovecot forgets its UIDs and gives new ones, in the order of delivery."""
        self.dovecot.stop()
        for name in os.listdir(os.path.join(self.maildir.path, "INBOX")):
            if name.startswith("dovecot"):
                os.remove(os.path.join(self.maildir.path, "INBOX", name))
        self.dovecot.start()

    def test_uidvalidity_changes(self):
        # Every message keeps its name, its inode and its bytes, whatever was read or held open before.
        mount = self.mount(refresh=1)
        before = self.inodes(mount)
        names = sorted(before)
        chosen = names[0], names[150], names[-1]
        held = {uid: truth.sha256 for uid, truth in self.truth().messages("INBOX").items()}
        for name in chosen:
            mount.read(f"INBOX/{name}")
        holder = self.background(mount, "/usr/bin/python3", "-c", HOLD_DIRECTORY, "INBOX")
        self.assertEqual(holder.stdout.readline(), "open\n")
        self.renumber(1234567)
        for name in chosen:
            digest = held[int(name.removesuffix(".eml").rpartition(",")[2])]
            self.assertEqual(hashlib.sha256(mount.read(f"INBOX/{name}")).hexdigest(), digest, name)
            holder.stdin.write(f"{name}\n")
            holder.stdin.flush()
            self.assertEqual(holder.stdout.readline().strip(), digest, name)
        self.assertEqual(self.read_all(mount), self.held())
        self.assertEqual(self.inodes(mount), before)

    def test_uids_change(self):
        # The same where the UIDs are others too: what was read is not fetched again.
        mount = self.mount(refresh=1)
        before = self.inodes(mount)
        names = sorted(before, key=before.get)
        content = {name: mount.read(f"INBOX/{name}") for name in names[100:103]}
        self.truth().expunge("INBOX", self.uid(mount, names[0]))
        process.wait_until(lambda: names[0] not in self.inodes(mount), 20, "one message less")
        uid = self.uid(mount, names[100])
        self.restart_without_uids()
        process.wait_until(lambda: self.uid(mount, names[100]) == uid - 1, 30, "new UIDs")
        del before[names[0]]
        self.assertEqual(self.inodes(mount), before)
        self.assertEqual(hashlib.sha256(mount.read(f"INBOX/{names[7]}")).hexdigest(),
                         self.truth().messages("INBOX")[self.uid(mount, names[7])].sha256)
        self.dovecot.stop()
        for name in content:
            self.assertEqual(mount.read(f"INBOX/{name}"), content[name])
        self.dovecot.start()

    def test_a_change_not_yet_noticed(self):
        # A name of the old listing gives its own message's bytes or ENOENT, and never EIO.
        mount = self.mount(refresh=3600)
        names = sorted(self.inodes(mount))
        mount.read(f"INBOX/{names[0]}")
        self.renumber(2345678)
        done = mount.run("cat", f"INBOX/{names[1]}", check=False, text=False)
        if done.returncode == 0:
            uid = int(names[1].removesuffix(".eml").rpartition(",")[2])
            self.assertEqual(done.stdout, self.truth().content("INBOX", uid))
        else:
            self.assertIn(b"No such file", done.stderr)


if __name__ == "__main__":
    unittest.main()
