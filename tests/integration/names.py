"""File names: computed once from what never changes, harmless to any shell, the same for ever."""

import re
import shutil
import time
import unicodedata
import unittest

from lab import samples
from lab.case import LabCase
from lab.dovecot import PASSWORD
from lab.samples import EPOCH, Sample

# From and Subject as they stand in the header, and the name that comes of them.
NAMES = [
    ("Alice Smith <alice@example.org>", "Quarterly report",
     "2026-01-05_0800_Alice-Smith_Quarterly-report,1.eml"),
    ("alice@example.org", "Address only", "2026-01-05_0801_alice@example.org_Address-only,2.eml"),
    ("=?utf-8?q?=C4=8Cen=C4=9Bk?= <c@example.org>", "=?iso-8859-1?q?Gr=FC=DFe?=",
     "2026-01-05_0802_Čeněk_Grüße,3.eml"),
    ("Bob <bob@example.org>", None, "2026-01-05_0803_Bob_no-subject,4.eml"),
    (None, "Nobody wrote this", "2026-01-05_0804_unknown_Nobody-wrote-this,5.eml"),
    ("Bob <bob@example.org>", "a/b/c ../../etc", "2026-01-05_0805_Bob_a-b-c-..-..-etc,6.eml"),
    ("Bob <bob@example.org>", "100% of $HOME; rm x", "2026-01-05_0806_Bob_100-of-HOME-rm-x,7.eml"),
    ("Bob <bob@example.org>", "=?utf-8?b?5Lya6K2w?= 2026+1=x", "2026-01-05_0807_Bob_会議-2026+1=x,8.eml"),
    ("Bob <bob@example.org>", "e\u0301tude", "2026-01-05_0808_Bob_étude,9.eml"),
]


def write(sender, subject):
    lines = ([f"From: {sender}"] if sender else []) + ([f"Subject: {subject}"] if subject else [])
    return ("\r\n".join([*lines, "X-End: yes"]) + "\r\n\r\nbody\r\n").encode()


def objection(name):
    """Why a pretty name breaks the rules; None: it keeps them."""
    if len(name.encode()) > 150:
        return "longer than 150 bytes"
    match = re.fullmatch(
        r"(\d{4}-\d\d-\d\d_\d{4})_([^_]+)_([^_]+),([0-9a-f]{16}(-[2-9])?|\d{1,10})\.eml", name)
    if not match:
        return "not DATE_TIME_FROM_SUBJECT,ID.eml"
    if unicodedata.normalize("NFC", name) != name:
        return "not NFC"
    for part in match[2], match[3]:
        for before, character in zip(" " + part, part):
            category = unicodedata.category(character)[0]
            follows_letter = unicodedata.category(before)[0] in "LNM"
            if not (category in "LN" or character in ".@+=-" or category == "M" and follows_letter):
                return f"{character!r} in it"
    return None


class Lasting:
    """What holds for the names of a mailbox of any protocol."""

    def test_every_name_keeps_the_rules(self):
        # No space, control, bidi or shell character, NFC, at most 150 bytes: hostile mail included.
        for entry in self.mount().tree():
            if entry.kind == "f":
                self.assertIsNone(objection(entry.name), entry.name)

    def test_sorted_by_name_is_sorted_by_date(self):
        # The order of names is the order of dates.
        mount = self.mount()
        dated = [entry for entry in mount.messages("INBOX").values() if not entry.name.startswith("0000-")]
        minutes = [entry.mtime // 60 for entry in sorted(dated, key=lambda entry: entry.name)]
        self.assertGreaterEqual(len(minutes), 200)
        self.assertEqual(minutes, sorted(minutes))
        for entry in dated:
            stamp = time.strftime("%Y-%m-%d_%H%M", time.gmtime(entry.mtime))
            self.assertTrue(entry.name.startswith(stamp), entry.name)

    def test_names_and_inodes_survive_a_remount(self):
        # Names, inodes, times and sizes after unmounting and mounting again are what they were.
        mount = self.mount()
        mount.hashes()
        before = self.identities(mount)
        mount.unmount()
        mount.start()
        self.assertEqual(self.identities(mount), before)

    def identities(self, mount):
        return {entry.path: (entry.inode, entry.mtime, entry.ctime, entry.size)
                for entry in mount.tree() if entry.kind == "f"}

    def test_names_survive_a_wiped_cache(self):
        # A cache may be deleted: the names come out the same again. Inode numbers never return.
        mount = self.mount()
        before = {entry.path: entry.inode for entry in mount.tree()}
        mount.unmount()
        shutil.rmtree(mount.cache)
        mount.start()
        after = {entry.path: entry.inode for entry in mount.tree()}
        self.assertEqual(after.keys(), before.keys())
        self.assertEqual(len(set(after.values()) & set(before.values())), 0)

    def test_names_are_the_same_on_another_machine(self):
        # A second mount with nothing in common with the first gives the same names.
        names = [sorted(entry.path for entry in self.mount().tree()) for _ in range(2)]
        self.assertEqual(names[0], names[1])


class Names(Lasting, LabCase):
    @classmethod
    def fill(cls, maildir):
        maildir.put_all("Named", (Sample(write(sender, subject), EPOCH + i * 60)
                                  for i, (sender, subject, _) in enumerate(NAMES)))
        author = samples.Author(seed=4, size=500)
        maildir.put_all("INBOX", (author.write() for _ in range(200)))
        maildir.put_all("Hostile", samples.hostile().values())
        maildir.put_all("Entwürfe/é & co", [author.write()])
        maildir.put_all("50% off", [author.write()])

    def test_the_names_themselves(self):
        # Date, sender and subject make the name; what a shell or a path could trip over does not.
        mount = self.mount()
        self.assertEqual(mount.ls("Named"), [name for _, _, name in NAMES])

    def test_folder_names(self):
        # Folders have their decoded names; % itself is escaped.
        mount = self.mount()
        folders = {entry.path for entry in mount.tree() if entry.kind == "d"}
        self.assertEqual(folders, {"INBOX", "Hostile", "Named", "Entwürfe", "Entwürfe/é & co",
                                   "50%25 off"})

    def test_uid_names(self):
        # names=uid: the UID is the whole name.
        mount = self.mount(names="uid")
        self.assertEqual(set(mount.ls("Named")), {f"{uid}.eml" for uid in range(1, len(NAMES) + 1)})


class Clashes(LabCase):
    """Folders of the server with names that our own directories may take."""

    @classmethod
    def fill(cls, maildir):
        author = samples.Author(seed=9, size=500)
        for folder in "INBOX", "outbox", "outbox/inner", "post":
            maildir.put_all(folder, (author.write() for _ in range(3)))

    def remount(self, mount, **options):
        mount.unmount()
        mount.configure(imap=self.dovecot.url("imaps", "alice"), password=PASSWORD,
                        ca_file=self.dovecot.certificates.ca, **options)
        mount.start()

    def shows(self, mount, expected, ours=None):
        """The root has exactly these names, each once; `expected` names the server's folders by
        their names here, and all of their messages are there and right."""
        own = {ours} if ours else set()
        listed = mount.ls()
        self.assertEqual(sorted(listed), sorted(set(expected) | own))
        held = {folder: {uid: truth.sha256 for uid, truth in messages.items()}
                for folder, messages in self.truth().everything().items()}
        for shown, folder in expected.items():
            for below in "", "/inner":
                if folder + below not in held:
                    continue
                seen = {int(path.removesuffix(".eml").rpartition(",")[2]): digest
                        for path, digest in mount.hashes(shown + below).items() if "/" not in path}
                self.assertEqual(seen, held[folder + below], shown + below)
        if ours:
            self.assertEqual(mount.ls(ours), ["failed"])

    def test_an_outbox_that_comes_later(self):
        # Mounted without smtp=, then with: the server's `outbox` moves to an escape, nothing is lost,
        # and it moves back when the outbox goes.
        plain = {name: name for name in ("INBOX", "outbox", "post")}
        escaped = {"INBOX": "INBOX", "%6Futbox": "outbox", "post": "post"}
        mount = self.mount()
        self.shows(mount, plain)
        self.remount(mount, smtp="smtps://alice@localhost:1")
        self.shows(mount, escaped, ours="outbox")
        self.remount(mount)
        self.shows(mount, plain)

    def test_another_name_for_the_outbox(self):
        # outbox= changed to another folder's name: that one moves aside, the first comes back.
        mount = self.mount(smtp="smtps://alice@localhost:1")
        self.shows(mount, {"INBOX": "INBOX", "%6Futbox": "outbox", "post": "post"}, ours="outbox")
        self.remount(mount, smtp="smtps://alice@localhost:1", outbox="post")
        self.shows(mount, {"INBOX": "INBOX", "outbox": "outbox", "%70ost": "post"}, ours="post")
        self.remount(mount, smtp="smtps://alice@localhost:1", outbox="")
        self.shows(mount, {name: name for name in ("INBOX", "outbox", "post")})


class Objections(unittest.TestCase):
    def test_the_rules_can_be_broken(self):
        # The judge of names above finds an offender for each of its rules.
        for name in ("x.eml", "2026-01-05_0800_a b_c,1.eml", "2026-01-05_0800_a_c\u202e,1.eml",
                     "2026-01-05_0800_e\u0301_c,1.eml", "2026-01-05_0800_a_\u0301c,1.eml",
                     "2026-01-05_0800_a_c/d,1.eml", "2026-01-05_0800_a_$c,1.eml",
                     "2026-01-05_0800_a_" + "c" * 150 + ",1.eml"):
            self.assertIsNotNone(objection(name), name)
        self.assertIsNone(objection(NAMES[0][2]))


if __name__ == "__main__":
    unittest.main()
