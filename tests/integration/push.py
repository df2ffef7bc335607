"""What other clients do shows without anybody asking (refresh=3600), as far as the server tells it."""

import os
import unittest

from lab import process, samples
from lab.case import LabCase

CONTENT = b"From: a@example.org\r\nSubject: %s\r\nMessage-ID: <%s@example.org>\r\n\r\nx\r\n"


def message(subject):
    return CONTENT % (subject.encode(), subject.encode())


class Push:
    """For servers of several abilities."""

    refresh = 3600

    @classmethod
    def fill(cls, maildir):
        author = samples.Author(seed=31, size=500)
        for folder in ("INBOX", "Lists"):
            maildir.put_all(folder, (author.write() for _ in range(5)))

    def setUp(self):
        super().setUp()
        self.fs = self.mount(refresh=self.refresh)
        self.client = self.truth()

    def await_names(self, folder, condition, what):
        return process.wait_until(lambda: condition(self.fs.ls(folder)), 20, what)

    def name_with(self, folder, subject):
        return next((name for name in self.fs.ls(folder) if subject in name), None)

    def mtime(self, folder):
        return self.fs.run("stat", "-c", "%.Y", folder).stdout

    def follow(self, folder):
        """New, flagged and removed messages of one folder."""
        self.fs.ls(folder)
        before = self.mtime(folder)
        self.client.append(folder, message("arrival"))
        name = self.await_names(folder, lambda _: self.name_with(folder, "arrival"), "a new message")
        self.assertNotEqual(self.mtime(folder), before)
        self.assertEqual(self.fs.read(f"{folder}/{name}"), message("arrival"))
        uid = int(name.removesuffix(".eml").rpartition(",")[2])
        self.client.imap.select(folder)
        self.client.imap.uid("STORE", str(uid), "+FLAGS", r"(\Flagged)")
        process.wait_until(lambda: r"\Flagged" in self.flags(f"{folder}/{name}"), 20, "a new flag")
        self.client.expunge(folder, uid)
        self.await_names(folder, lambda names: name not in names, "a message less")

    def flags(self, path):
        self.fs.ls(os.path.dirname(path))  # a server that pushes nothing is asked only then
        return self.fs.attribute(path, "flags")

    def test_inbox(self):
        self.follow("INBOX")

    def test_folder_in_use(self):
        self.follow("Lists")

    def test_folder_in_use_by_the_first_connection(self):
        # It has the INBOX, but as long as nobody has looked at that, what it was asked for.
        self.fs.unmount()
        self.fs = self.mount(refresh=self.refresh, connections=1)
        self.follow("Lists")

    def test_server_restarts(self):
        # A watch that broke is built anew by itself, and nothing of the time between is missed.
        self.fs.ls("INBOX")
        self.dovecot.stop()
        self.maildir.put(self.maildir.folder("INBOX"), samples.Author(seed=32).write())
        count = len(self.fs.ls("INBOX"))
        self.dovecot.start()
        self.await_names("INBOX", lambda names: len(names) == count + 1, "mail of the time between")


class Notify(Push, LabCase):
    """Dovecot tells of all folders."""

    def test_tree(self):
        # Folders come unasked. Dovecot may miss what follows close on it: the tree is asked for also.
        self.fs.ls()
        self.client.imap.create("Brand-new")
        self.await_names(".", lambda names: "Brand-new" in names, "a new folder")
        self.fs.unmount()
        self.fs = self.mount(refresh=1)
        self.client.imap.rename("Brand-new", "Renamed")
        self.await_names(".", lambda names: "Renamed" in names and "Brand-new" not in names,
                         "a renamed folder")
        self.client.imap.delete("Renamed")
        self.await_names(".", lambda names: "Renamed" not in names, "a folder less")

    def test_closed_folder(self):
        # Also folders that no connection has open.
        self.fs.ls("Lists")
        self.fs.ls("INBOX")
        self.fs.read(self.fs.first("INBOX"))
        self.follow("Lists")

    def test_inotify(self):
        # inotifywait sees what arrives and leaves.
        self.fs.ls("INBOX")
        watcher = self.background(self.fs, "inotifywait", "-m", "-e", "create,delete", "--format",
                                  "%e %f", "INBOX")
        process.wait_until(lambda: "Watches established" in watcher.stderr.readline(), 10, "a watch")
        self.client.append("INBOX", message("seen"))
        created = watcher.stdout.readline()
        self.assertRegex(created, r"^CREATE .*_seen,\d+\.eml$")
        name = created.split()[1]
        self.assertEqual(self.fs.read(f"INBOX/{name}"), message("seen"))
        self.client.expunge("INBOX", int(name.removesuffix(".eml").rpartition(",")[2]))
        self.assertEqual(watcher.stdout.readline(), f"DELETE {name}\n")

    def test_silent_cut(self):
        # A server that stands still for a while, and then goes on, is current again at once.
        self.fs.ls("INBOX")
        self.freeze()
        author = samples.Author(seed=33)
        self.maildir.put(self.maildir.folder("INBOX"), author.write())
        count = len(self.fs.ls("INBOX"))
        self.dovecot.thaw()
        self.await_names("INBOX", lambda names: len(names) == count + 1, "mail of the time between")


class Idle(Push, LabCase):
    """A server that tells of the open folder alone."""

    extra = """
protocol imap {
  imap_capability = IMAP4rev1 SASL-IR LITERAL+ ENABLE IDLE UIDPLUS CONDSTORE QRESYNC LIST-STATUS
}
"""


class Plain(Push, LabCase):
    """One that can do nothing: it is asked once a second."""

    refresh = 1
    extra = """
protocol imap {
  imap_capability = IMAP4rev1
}
"""


if __name__ == "__main__":
    unittest.main()
