"""A POP3 account's mail is removed as rm says and only so, and with keep=forever it is an archive: what
the server, a crash or a deleted cache takes away meanwhile changes neither."""

import contextlib
import os
import shutil
import sqlite3
import unittest

from lab import process, samples
from lab.case import LabCase, PASSWORD
from lab.imap_truth import ImapTruth

MESSAGES = 30
# How often what may go wrong by chance is tried.
ROUNDS = 100


class Pop3Case(LabCase):
    protocols = ("pop3s", "pop3")

    def setUp(self):
        # Each test has its own mail.
        if not process.is_listening(self.dovecot.ports["imaps"]):
            self.dovecot.start()
        super().setUp()
        self.empty_the_server()
        self.append_all()

    def append_all(self):
        with self.imap() as truth:
            author = samples.Author(seed=41)
            for _ in range(MESSAGES):
                truth.append("INBOX", author.write().content)
            truth.imap.select("INBOX")
            uids = truth.imap.uid("SEARCH", "ALL")[1][0].split()
            truth.imap.uid("STORE", b",".join(uids[::3]), "+FLAGS", r"(\Flagged)")
            truth.imap.uid("STORE", b",".join(uids[::2]), "+FLAGS", r"(\Seen)")

    def empty_the_server(self):
        with self.imap() as truth:
            for uid in truth.messages("INBOX"):
                truth.expunge("INBOX", uid)

    def options(self, user="alice", **options):
        """Of a mount that is configured anew."""
        return {**self.mail_server(self.protocols[0], user), "password": PASSWORD,
                "ca_file": self.dovecot.certificates.ca, **options}

    def imap(self):
        """Another client, for a moment."""
        return ImapTruth(self.dovecot, "alice")

    def there(self):
        """{SHA-256: flags} of what the server has."""
        with self.imap() as truth:
            return {message.sha256: message.flags - {r"\Recent"}
                    for message in truth.messages("INBOX").values()}

    def wait_there(self, expected, what):
        process.wait_until(lambda: self.there() == expected, 60, what)

    def names(self, mount):
        return sorted(mount.ls("INBOX"))

    def rows(self, mount, table):
        """How many the ledger has."""
        path = os.path.join(mount.state, mount.account, "mail.db")
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
            return database.execute(f"SELECT count(*) FROM {table}").fetchone()[0]

    def wait_rows(self, mount, table, count):
        process.wait_until(lambda: self.rows(mount, table) == count, 60,
                           lambda: f"{count} of {table}; there are {self.rows(mount, table)}")


class Removing(Pop3Case):
    def test_refused_by_default(self):
        # rm fails and nothing happens; read-only likewise.
        for options, words in ({}, "Operation not permitted"), ({"ro": "on"}, "Read-only file system"):
            with self.subTest(words):
                mount = self.mount(**options)
                names, before = self.names(mount), self.there()
                done = mount.run("rm", "-f", f"INBOX/{names[0]}", check=False)
                self.assertIn(words, done.stderr)
                self.assertEqual(self.names(mount), names)
                mount.unmount()
                self.assertEqual(self.there(), before)

    def test_just_these_messages_go(self):
        # The names are gone when rm returns; the server loses those messages and no other, and no
        # flag of another changes; for all of them one session.
        mount = self.mount(delete="expunge")
        before, names = self.there(), self.names(mount)
        hashes = mount.hashes("INBOX")
        gone = names[::4]
        mount.run("rm", *(f"INBOX/{name}" for name in gone))
        left = [name for name in names if name not in gone]
        self.assertEqual(self.names(mount), left)
        digests = {hashes[name] for name in gone}
        expected = {digest: flags for digest, flags in before.items() if digest not in digests}
        self.wait_there(expected, "the messages' end on the server")
        self.wait_rows(mount, "removal", 0)
        self.assertEqual(self.names(mount), left)
        mount.unmount()
        mount.start()
        self.assertEqual(self.names(mount), left)

    def test_unmounting_at_once(self):
        # What a user removed himself the kernel has told those who watch: nothing of ours tells it once
        # more, and so nothing holds the mount up when it is unmounted at once.
        with self.imap() as truth:
            for seed in range(ROUNDS):
                truth.append("INBOX", samples.Author(seed=1000 + seed).write().content)
        mount = self.mount(delete="expunge")
        watcher = self.background(mount, "inotifywait", "-m", "-e", "create,delete,attrib",
                                  "--format", "%e %f", "INBOX")
        process.wait_until(lambda: "established" in watcher.stderr.readline(), 10, "a watch")
        name = self.names(mount)[0]
        mount.run("rm", f"INBOX/{name}")
        self.wait_rows(mount, "removal", 0)
        watcher.terminate()
        self.assertEqual(watcher.communicate()[0], f"DELETE {name}\n")
        for _ in range(ROUNDS):
            path = os.path.join(mount.path, "INBOX", self.names(mount)[0])
            process.run(["sh", "-c", 'rm "$1" && exec fusermount3 -u "$2"', "sh", path, mount.path])
            mount.wait_gone()
            mount.start()

    def test_what_is_open_stays_readable(self):
        mount = self.mount(delete="expunge")
        name = self.names(mount)[0]
        content = mount.read(f"INBOX/{name}")
        done = mount.sh('exec 3<"$1" && rm "$1" && sleep 2 && cat <&3', f"INBOX/{name}", text=False)
        self.assertEqual(done.stdout, content)

    def test_without_a_server(self):
        # Removed while the server is down; the daemon is killed at once, the cache deleted; the next
        # mount does not show it, and removes it as soon as the server is back.
        mount = self.mount(delete="expunge")
        before, names = self.there(), self.names(mount)
        hashes = mount.hashes("INBOX")
        self.dovecot.kill()
        mount.run("rm", f"INBOX/{names[3]}")
        mount.crash()
        done = mount.start()
        self.assertIn("cache", done.stderr)
        left = [name for name in names if name != names[3]]
        self.assertEqual(self.names(mount), left)
        mount.crash()
        shutil.rmtree(mount.cache)
        self.dovecot.start()
        self.assertEqual(self.there(), before)
        mount.start()
        self.assertEqual(self.names(mount), left)
        del before[hashes[names[3]]]
        self.wait_there(before, "the message's end on the server")
        self.wait_rows(mount, "removal", 0)
        self.assertEqual(self.names(mount), left)

    def test_all_of_it(self):
        # rm of everything leaves an empty directory and an empty mailbox.
        mount = self.mount(delete="expunge")
        mount.ls("INBOX")
        mount.sh("rm INBOX/*")
        self.assertEqual(self.names(mount), [])
        self.wait_there({}, "an empty mailbox")


class Keeping(Pop3Case):
    def archived(self, **options):
        """A mount that has all mail in its archive; nobody read any of it."""
        mount = self.mount(keep="forever", refresh=1, **options)
        self.wait_rows(mount, "kept", MESSAGES)
        return mount

    def look(self, mount):
        return ({entry.path: (entry.size, entry.mtime, entry.ctime)
                 for entry in mount.tree("INBOX")}, mount.hashes("INBOX"))

    def test_it_outlives_server_cache_and_daemon(self):
        # Everything is fetched by itself; another client removes all of it; it stays listed and
        # readable, with its names, times and inodes; after a crash; with a new cache; without a server.
        before = self.there()
        mount = self.archived()
        seen = self.look(mount)
        inodes = {entry.path: entry.inode for entry in mount.tree("INBOX")}
        self.assertEqual(set(seen[1].values()), set(before))
        self.assertEqual(self.there(), before)
        self.empty_the_server()
        process.run(["sleep", "2"])
        self.assertEqual(self.look(mount), seen)
        self.assertEqual({entry.path: entry.inode for entry in mount.tree("INBOX")}, inodes)
        mount.crash()
        mount.start()
        self.assertEqual(self.look(mount), seen)
        self.assertEqual({entry.path: entry.inode for entry in mount.tree("INBOX")}, inodes)
        mount.unmount()
        shutil.rmtree(mount.cache)
        mount.start()
        self.assertEqual(self.look(mount), seen)
        mount.unmount()
        shutil.rmtree(mount.cache)
        self.dovecot.stop()
        mount.start()
        self.assertEqual(self.look(mount), seen)

    def test_new_mail_beside_it(self):
        # What comes later, and what comes again with a new cache, is there once.
        mount = self.archived()
        mount.unmount()
        shutil.rmtree(mount.cache)
        content = samples.Author(seed=42).write().content
        with self.imap() as truth:
            truth.append("INBOX", content)
        mount.start()
        self.wait_rows(mount, "kept", MESSAGES + 1)
        self.assertEqual(len(self.names(mount)), MESSAGES + 1)
        self.assertEqual(set(mount.hashes("INBOX").values()), set(self.there()))

    def test_rm_takes_it_out(self):
        # Out of the archive too, whether the server has it still or not.
        mount = self.archived(delete="expunge")
        names, hashes, there = self.names(mount), mount.hashes("INBOX"), self.there()
        mount.run("rm", f"INBOX/{names[0]}")
        del there[hashes[names[0]]]
        self.wait_there(there, "the message's end on the server")
        self.empty_the_server()
        mount.run("rm", f"INBOX/{names[1]}")
        self.wait_rows(mount, "removal", 0)
        self.assertEqual(self.names(mount), names[2:])
        self.assertEqual(len(os.listdir(os.path.join(mount.state, mount.account, "archive"))),
                         MESSAGES - 2)
        mount.unmount()
        shutil.rmtree(mount.cache)
        mount.start()
        self.assertEqual(self.names(mount), names[2:])

    def test_a_disk_that_is_full(self):
        # With no room in the state directory reading goes on; with room, what was read is archived,
        # though the server has lost it meanwhile.
        self.empty_the_server()
        state = self.small_disk("2m")
        mount = self.mount(keep="forever", refresh=1, state_dir=state)
        filler = os.path.join(state, "filler")
        process.run(["dd", "if=/dev/zero", f"of={filler}", "bs=4k"], check=False)
        self.append_all()
        there = set(self.there())
        process.wait_until(lambda: len(mount.ls("INBOX")) == MESSAGES, 30, "the listing")
        self.assertEqual(set(mount.hashes("INBOX").values()), there)
        archive = os.path.join(state, mount.account, "archive")
        self.assertLess(len(os.listdir(archive)), MESSAGES)
        self.empty_the_server()
        process.run(["sleep", "2"])
        self.assertEqual(len(mount.ls("INBOX")), MESSAGES)
        os.unlink(filler)

        def is_archived():
            mount.ls("INBOX")
            return len(os.listdir(archive)) == MESSAGES
        process.wait_until(is_archived, 90, "an archive")
        self.assertEqual(set(mount.hashes("INBOX").values()), there)

    def keep_ten(self):
        """Another client removes all but ten; their hashes."""
        with self.imap() as truth:
            for uid in sorted(truth.messages("INBOX"))[10:]:
                truth.expunge("INBOX", uid)
        return set(self.there())

    def test_the_archive_is_not_the_folder(self):
        # With keep=server and a new cache, without a server: an error, never the archive's part of it.
        mount = self.archived()
        self.keep_ten()
        mount.unmount()
        shutil.rmtree(mount.cache)
        with self.imap() as truth:
            truth.append("INBOX", samples.Author(seed=43).write().content)
        mount.configure(**self.options(keep="server", refresh=1))
        self.dovecot.stop()
        mount.start()
        done = mount.run("ls", "INBOX", check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertEqual(done.stdout, "")
        self.dovecot.start()
        process.wait_until(
            lambda: len(mount.run("ls", "INBOX", check=False).stdout.split()) == MESSAGES + 1, 60,
            "the folder")

    def test_a_state_that_is_not_its_own(self):
        # A ledger that is lost, or of another user's mail, is not used, however often it is tried; the
        # archive stays as it is.
        mount = self.archived()
        seen = self.look(mount)
        mount.unmount()
        ledger = os.path.join(mount.state, mount.account, "mail.db")
        aside = os.path.join(self.directory, "mail.db")
        shutil.move(ledger, aside)
        for _ in range(2):
            done = mount.try_start()
            self.assertEqual(done.returncode, 73)
            self.assertIn("is lost", done.stderr)
        shutil.move(aside, ledger)
        mount.configure(**self.options("bob", keep="forever"))
        done = mount.try_start()
        self.assertEqual(done.returncode, 73)
        self.assertIn("of the mail of alice@", done.stderr)
        mount.configure(**self.options(keep="forever"))
        mount.start()
        self.assertEqual(self.look(mount), seen)

    def test_a_mount_on_a_disk_that_is_full(self):
        # Not a byte is left in the state directory, neither on the first day nor later: mail is read,
        # what is archived too, and nothing is archived or removed before there is room.
        state = self.small_disk("2m")
        filler = os.path.join(state, "filler")
        self.fill_disk(filler)
        mount = self.mount(keep="forever", delete="expunge", refresh=1, state_dir=state)
        there = set(self.there())
        self.assertEqual(set(mount.hashes("INBOX").values()), there)
        name = self.names(mount)[0]
        self.assertNotEqual(mount.run("rm", f"INBOX/{name}", check=False).returncode, 0)
        mount.unmount()
        os.unlink(filler)
        mount.start()
        archive = os.path.join(state, mount.account, "archive")
        process.wait_until(lambda: len(os.listdir(archive)) == MESSAGES, 90, "an archive")
        mount.unmount()
        self.fill_disk(filler)
        mount.start()
        self.assertEqual(set(mount.hashes("INBOX").values()), there)
        self.assertNotEqual(mount.run("rm", f"INBOX/{name}", check=False).returncode, 0)
        os.unlink(filler)
        mount.run("rm", f"INBOX/{name}")

    def test_a_cache_disk_that_is_full(self):
        # Not a byte is left in the cache at the next mounts: what is archived is read, and removed once
        # there is room.
        cache = self.small_disk("4m")
        filler = os.path.join(cache, "filler")
        mount = self.mount(keep="forever", delete="expunge", refresh=1, cache_dir=cache)
        there = set(self.there())
        self.assertEqual(set(mount.hashes("INBOX").values()), there)
        for _ in range(2):
            mount.unmount()
            self.fill_disk(filler)
            mount.start()
            self.assertEqual(set(mount.hashes("INBOX").values()), there)
        name = self.names(mount)[0]
        done = mount.run("rm", f"INBOX/{name}", check=False)
        self.assertIn("No space left", done.stderr)
        os.unlink(filler)
        mount.run("rm", f"INBOX/{name}")

    def test_an_outbox_on_a_disk_that_is_full(self):
        # A disk that filled up since the last mount keeps nobody from the next one.
        state = self.small_disk("4m")
        mount = self.mount(state_dir=state, smtp="smtp://alice@127.0.0.1:9", tls="off")
        mount.run("sh", "-c", "printf 'To: bob@example.org\n\nhello\n' > outbox/letter")
        waiting = mount.ls("outbox")
        mount.unmount()
        self.fill_disk(os.path.join(state, "filler"))
        mount.start()
        self.assertEqual(mount.ls("outbox"), waiting)
        self.assertEqual(len(mount.ls("INBOX")), MESSAGES)

    def small_disk(self, size):
        """A directory of this test's that has so much room."""
        path = os.path.join(self.directory, self.id().rpartition(".")[2])
        os.mkdir(path)
        process.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "mailfs-test", path])
        self.addCleanup(process.run, ["umount", "-l", path], check=False)
        return path

    def fill_disk(self, filler):
        for size in ("64k", "4k", "1"):
            process.run(["dd", "if=/dev/zero", f"of={filler}", f"bs={size}", "oflag=append",
                         "conv=notrunc"], check=False)


if __name__ == "__main__":
    unittest.main()
