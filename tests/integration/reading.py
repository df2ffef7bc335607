"""Ordinary programs read a mailbox: what they get is what the server holds, and nothing changes."""

import os
import re
import unittest

from lab import samples
from lab.case import LabCase


class Readable:
    """What holds for a mailbox of any protocol; `fill` leaves the samples of its INBOX in `samples`."""

    def test_every_byte_is_the_servers(self):
        # Each message of each folder, read from a cold cache, has the SHA-256 that another client
        # finds.
        mount = self.mount()
        self.assertEqual(self.read_all(mount), self.held())

    def test_sizes_are_exact_before_and_after_reading(self):
        # What stat says before a body was ever here is what it says afterwards.
        mount = self.mount()
        for _ in range(2):
            for folder, messages in self.everything().items():
                sizes = {uid: entry.size for uid, entry in mount.messages(folder).items()}
                self.assertEqual(sizes, {uid: truth.size for uid, truth in messages.items()})
            mount.hashes()

    def test_reading_sets_no_flag(self):
        # \Seen, and every other flag, is after reading everything what it was before.
        mount = self.mount()
        before = self.flags()
        mount.hashes()
        mount.run("grep", "-r", "nothing-like-this", ".", check=False)
        self.assertEqual(self.flags(), before)

    def flags(self):
        return {(folder, uid): truth.flags - {r"\Recent"}
                for folder, messages in self.truth().everything().items()
                for uid, truth in messages.items()}

    def test_a_second_rsync_copies_nothing(self):
        # Sizes and times stand still, also across a remount: a backup by rsync is incremental.
        mount = self.mount()
        copy = os.path.join(mount.directory, "copy")
        mount.run("rsync", "-a", "./", copy, timeout=120)
        self.assertEqual(mount.run("rsync", "-ai", "./", copy).stdout, "")
        mount.unmount()
        mount.start()
        self.assertEqual(mount.run("rsync", "-ai", "./", copy).stdout, "")

    def test_tar_and_cp_copy_everything(self):
        # tar and cp -r from cold caches give trees equal to the mailbox.
        for copy_all in ('tar cf - . | tar xf - -C "$1"', 'cp -r . "$1"'):
            with self.subTest(copy_all):
                mount = self.mount()
                copy = os.path.join(mount.directory, "copy")
                os.mkdir(copy)
                done = mount.sh(copy_all, copy, timeout=120)
                self.assertEqual(done.stderr, "")
                mount.run("diff", "-r", ".", copy, timeout=120)
                self.assertEqual(len(self.held()), len(mount.hashes(copy)))

    def test_grep_finds_the_one_message(self):
        # grep -r names the file of the message that holds the word, and no other.
        mount = self.mount()
        for sample in self.samples[::20]:
            [path] = mount.run("grep", "-rl", sample.needle, ".").stdout.splitlines()
            self.assertEqual(mount.read(path), sample.content)

    def test_attributes(self):
        # Times are the server's, modes private.
        mount = self.mount()
        for folder, messages in self.everything().items():
            for uid, entry in mount.messages(folder).items():
                self.assertEqual(entry.mtime, messages[uid].date)
                self.assertEqual(entry.mode, 0o600)
                self.assertEqual(entry.links, 1)
                self.assertGreaterEqual(entry.blocks * 512, entry.size)
        self.assertTrue(all(entry.mode == 0o700 for entry in mount.tree() if entry.kind == "d"))
        self.assertNotIn("outbox", mount.ls())  # no smtp= was configured

    def test_inodes_agree(self):
        # readdir, lstat and fstat name the same inode, and no two files share one.
        mount = self.mount()
        out = mount.python(
            "import os\n"
            "for entry in os.scandir('INBOX'):\n"
            "    with open(entry.path) as file:\n"
            "        print(entry.inode(), os.lstat(entry.path).st_ino,"
            " os.fstat(file.fileno()).st_ino)\n").stdout
        inodes = [line.split() for line in out.splitlines()]
        self.assertEqual(len(inodes), len(self.samples))
        self.assertTrue(all(len(set(line)) == 1 for line in inodes))
        self.assertEqual(len({line[0] for line in inodes}), len(self.samples))

    def test_subject_attribute_is_decoded(self):
        # An RFC 2047 subject is readable text in the attribute.
        mount = self.mount()
        subjects = mount.sh("getfattr --only-values -m user.mailfs.subject INBOX/*",
                            timeout=60).stdout
        self.assertNotIn("=?utf-8", subjects)
        self.assertIn("Grüße aus Köln", subjects)

    def test_messages_are_read_only(self):
        # Message bytes are immutable; chmod to what it is already succeeds.
        mount = self.mount()
        path = mount.first()
        for change in ('echo x >> "$1"', 'echo x > "$1"', 'chmod 644 "$1"', 'touch -d 2001-01-01 "$1"',
                       'truncate -s 1 "$1"'):
            with self.subTest(change):
                done = mount.sh(change, path, check=False)
                self.assertNotEqual(done.returncode, 0)
                self.assertRegex(done.stderr, "not permitted|Read-only|denied")
        mount.run("chmod", "600", path)

    def test_df_answers(self):
        # statfs answers with a size that is not zero, so that no program thinks the disk is full.
        mount = self.mount()
        line = mount.run("df", "-k", ".").stdout.splitlines()[1]
        self.assertGreater(int(re.split(r"\s+", line)[1]), 0)
        self.assertGreater(int(re.split(r"\s+", line)[3]), 0)

    def test_parts_of_a_message(self):
        # Reading from the middle and past the end works as for any file.
        mount = self.mount()
        sample = self.samples[5]
        [path] = mount.run("grep", "-rl", sample.needle, ".").stdout.splitlines()
        tail = mount.run("tail", "-c", "100", path, text=False).stdout
        self.assertEqual(tail, sample.content[-100:])
        middle = mount.run("dd", f"if={path}", "bs=1", "skip=50", "count=20",
                           "status=none", text=False).stdout
        self.assertEqual(middle, sample.content[50:70])

    def test_tls_on_demand(self):
        # imap:// and pop3:// upgrade by STARTTLS and STLS, and show the same mail.
        mount = self.mount(**self.mail_server(self.protocols[1]))
        self.assertEqual(self.read_all(mount), self.held())


class Reading(Readable, LabCase):
    @classmethod
    def fill(cls, maildir):
        author = samples.Author(seed=3)
        cls.samples = [author.write() for _ in range(60)]
        maildir.put_all("INBOX", cls.samples)
        maildir.put_all("Archive/2025", (author.write() for _ in range(25)))
        maildir.put_all("Entwürfe/é & co", (author.write() for _ in range(5)))
        maildir.folder("Empty")

    def test_extended_attributes(self):
        # Flags and header fields are there for getfattr, decoded.
        mount = self.mount()
        messages = self.truth().messages("INBOX")
        for uid, entry in mount.messages("INBOX").items():
            content = self.samples[uid - 1].content
            path = f"INBOX/{entry.name}"

            def value(name):
                return mount.run("getfattr", "--only-values", "-n", f"user.mailfs.{name}", path).stdout

            if uid % 10 == 0:
                self.assertEqual(value("uid"), str(uid))
                self.assertEqual(set(value("flags").split()), messages[uid].flags - {r"\Recent"})
                self.assertEqual(value("folder"), "INBOX")
                self.assertIn(value("message-id").strip("<>").encode(), content)
                self.assertIn(b"Date: " + value("date").encode(), content)
                self.assertRegex(value("from"), r"@example\.org")
        listed = mount.run("getfattr", "-d", mount.first()).stdout
        self.assertIn("user.mailfs.subject", listed)
        done = mount.run("getfattr", "-n", "user.nothing", mount.first(), check=False)
        self.assertIn("No such attribute", done.stderr)

    def test_directories_count_their_subfolders(self):
        # A directory's links are two and its subfolders; an empty folder is an empty directory.
        mount = self.mount()
        entries = {entry.path: entry for entry in mount.tree()}
        self.assertEqual(entries["Archive"].links, 3)
        self.assertEqual(entries["Empty"].links, 2)
        self.assertEqual(mount.ls("Empty"), [])

    def test_a_user_name_with_an_at_sign(self):
        # user%40example.org@host logs in as user@example.org.
        mount = self.mount(imap=self.dovecot.url("imaps", "alice@example.org"))
        self.assertEqual(len(mount.ls("INBOX")), len(self.samples))

    def test_chosen_folders_only(self):
        # folders= takes globs, an exclamation mark excludes.
        mount = self.mount(folders="INBOX Archive/* !*/2024")
        self.assertEqual(sorted(mount.ls()), ["Archive", "INBOX"])


if __name__ == "__main__":
    unittest.main()
