"""Mail that means harm, folders with impossible names and servers that lie about sizes: all of it is
listed, all of it is readable, none of it leaves its folder or stops the mount."""

import glob
import os
import unittest

from lab import samples
from lab.case import LabCase
from lab.imap_stub import ImapStub, StubMessage
from lab.mount import SANITIZED

# Folder names as raw bytes in Dovecot's Maildir: right and wrong modified UTF-7, shell characters.
ODD_ON_DISK = [b"-rf", b"..x", b"a b", b"$(reboot)", b"`x`", b"star*", b"&IC4-txt.exe", b"tab\tname",
               b"&Jjo", b"bad&utf7", b"x&!!!-y", b"pct%2Fname", b"cur.", b"17.eml", b"'quoted\""]

# The same on the wire of a server that does not check: wire name to the name in the mount.
ODD_ON_WIRE = {
    b"INBOX": "INBOX",
    b"&Jjo": "%26Jjo",  # not ended
    b"bad&utf7": "bad%26utf7",
    b"x&!!!-y": "x%26!!!-y",
    b"&AGE-": "%26AGE-",  # an a that must not be encoded: does not round-trip
    b"&2AA-": "%262AA-",  # half a surrogate pair
    b"100%": "100%25",
    b".": "%2E",
    b"..": "%2E.",
    b"deep/..": "deep/%2E.",
    b"&AC8-etc&AC8-passwd": None,  # an encoded slash
    b"&AAA-": None,  # an encoded NUL
    b"-rf": "-rf",
    b"new\nline": None,
    b"raw\xff\xfe": None,
    b"w" * 300: None,
    b"twin": "twin",
    b"17.eml": None,
}


def letter(subject=b"odd"):
    return b"From: a@example.org\r\nSubject: " + subject + b"\r\n\r\nbody of " + subject + b"\r\n"


class Harmful:
    """What holds for an INBOX of hostile messages over any protocol."""

    def test_hostile_messages_are_listed_and_read(self):
        # Each hostile message has a name and reads as the server's bytes.
        mount = self.mount()
        held = {key: digest for key, digest in self.held().items() if key[0] == "INBOX"}
        self.assertEqual(len(held), len(samples.hostile()))
        seen = {uid: entry for uid, entry in mount.messages("INBOX").items()}
        self.assertEqual({("INBOX", uid) for uid in seen}, held.keys())
        hashes = mount.hashes("INBOX")
        for (_, uid), digest in held.items():
            self.assertEqual(hashes[seen[uid].name], digest, seen[uid].name)

    def test_no_message_leaves_its_folder(self):
        # Every name is one level deep, and nothing was written outside cache and state.
        mount = self.mount()
        before = set(os.listdir(mount.directory))
        mount.hashes()
        names = mount.ls("INBOX")
        self.assertEqual(len(names), len(set(names)))
        self.assertFalse([name for name in names if "/" in name or name.startswith((".", "-"))])
        self.assertLessEqual(set(os.listdir(mount.directory)) - before, {"cache", "state"})

    def test_attributes_of_hostile_messages(self):
        # getfattr -d works on every one, and shows no control character.
        mount = self.mount()
        for name in mount.ls("INBOX"):
            values = mount.python(
                "import os, sys\n"
                "for name in os.listxattr(sys.argv[1]):\n"
                "    sys.stdout.buffer.write(os.getxattr(sys.argv[1], name) + b'\\n')\n",
                f"INBOX/{name}", text=False).stdout
            self.assertFalse([byte for byte in values if byte < 32 and byte != 10 or byte == 127],
                             name)


class HostileMail(Harmful, LabCase):
    @classmethod
    def fill(cls, maildir):
        maildir.put_all("INBOX", samples.hostile().values())
        for name in ODD_ON_DISK:
            maildir.put(maildir.raw_folder(name), samples.Sample(letter(), samples.EPOCH))

    def test_odd_folders_of_a_real_server(self):
        # Each folder that Dovecot shows is a directory of the mount, at its own level.
        mount = self.mount()
        tree = mount.tree()
        self.assertEqual(len({entry.path for entry in tree}), len(tree))
        directories = [entry.path for entry in tree if entry.kind == "d"]
        self.assertGreaterEqual(len(directories), len(ODD_ON_DISK))
        self.assertFalse([path for path in directories if "/" in path])
        self.assertIn("pct%252Fname", directories)

    def test_a_folder_named_like_the_outbox(self):
        # It gets an escape and stays readable; the outbox keeps its name.
        self.maildir.put(self.maildir.raw_folder(b"outbox"), samples.Sample(letter(), samples.EPOCH))
        mount = self.mount(smtp="smtps://alice@localhost:1")
        folders = [name for name in mount.ls() if name.endswith("utbox")]
        self.assertEqual(sorted(folders), ["%6Futbox", "outbox"])
        self.assertEqual(len(mount.ls("%6Futbox")), 1)
        self.assertEqual(mount.ls("outbox"), ["failed"])


class HostileServer(LabCase):
    def stub_mount(self, stub, **options):
        return self.mount(imap=stub.url, tls="off", ca_file=None, **options)

    def test_broken_folder_names_on_the_wire(self):
        # Names that are no modified UTF-7, or would be a path, are shown escaped; all readable.
        folders = {name: [StubMessage(letter(b"folder %d" % i))]
                   for i, name in enumerate(ODD_ON_WIRE)}
        with ImapStub(folders) as stub:
            mount = self.stub_mount(stub)
            files = [entry for entry in mount.tree() if entry.kind == "f"]
            self.assertEqual(len(files), len(folders))
            by_folder = {entry.path.rpartition("/")[0]: entry for entry in files}
            for name, expected in ODD_ON_WIRE.items():
                if expected is not None:
                    self.assertIn(expected, by_folder, name)
            bodies = sorted(mount.read(entry.path) for entry in files)
            self.assertEqual(bodies, sorted(messages[0].content for messages in folders.values()))
            for path in by_folder:
                self.assertFalse({".", "..", ""} & set(path.split("/")), path)
                self.assertTrue(all(len(part.encode("utf-8", "surrogateescape")) <= 255
                                    for part in path.split("/")), path)

    def test_subjects_without_end(self):
        # A folder full of subjects of 250 KB is listed within the memory that any folder takes.
        messages = [StubMessage(letter(b"%d " % i + b"s" * 250_000)) for i in range(400)]
        with ImapStub({b"INBOX": messages}) as stub:
            mount = self.stub_mount(stub)
            self.assertEqual(len(mount.ls("INBOX", timeout=120)), len(messages))
            if not SANITIZED:
                self.assertLess(mount.peak_memory(), 64 << 20)
            name = mount.ls("INBOX")[0]
            subject = mount.python("import os, sys; print(len(os.getxattr(sys.argv[1], sys.argv[2])))",
                                   f"INBOX/{name}", "user.mailfs.subject").stdout
            self.assertEqual(int(subject), 64 << 10)

    def test_sizes_that_lie(self):
        # Whatever RFC822.SIZE says, no program ever sees a truncated message.
        content = letter() + b"line after line\r\n" * 3000
        lies = [0, 1, len(content) - 1, len(content) + 1, 10 * len(content), -5, "99999999999999999999"]
        with ImapStub({b"INBOX": [StubMessage(content, announced=lie) for lie in lies]}) as stub:
            mount = self.stub_mount(stub)
            for name in mount.ls("INBOX"):
                path = f"INBOX/{name}"
                self.assertEqual(mount.read(path), content, name)
                self.assertEqual(mount.run("stat", "-c", "%s", path).stdout.strip(),
                                 str(len(content)))
            copy = os.path.join(mount.directory, "copy")
            mount.run("cp", "-r", "INBOX", copy)
            for name in os.listdir(copy):
                self.assertEqual(os.path.getsize(os.path.join(copy, name)), len(content))

    def test_cp_and_tar_of_lying_sizes_from_cold(self):
        # Programs that trust stat's size before they read get every byte too.
        content = letter() + b"line after line\r\n" * 3000
        for program in ('cp -r INBOX "$1"', 'tar cf - INBOX | tar xf - -C "$1" --strip-components=1',
                        'rsync -a INBOX/ "$1"'):
            messages = [StubMessage(content, announced=size) for size in (10, 51_000)]
            with self.subTest(program), ImapStub({b"INBOX": messages}) as stub:
                mount = self.stub_mount(stub)
                mount.ls("INBOX")
                copy = os.path.join(mount.directory, "copy")
                if "cp" not in program:
                    os.mkdir(copy)
                mount.sh("ls -l INBOX >/dev/null; " + program, copy, check=False)
                whole = [os.path.getsize(os.path.join(copy, name)) for name in os.listdir(copy)]
                self.assertEqual(whole, [len(content)] * 2)

    def test_a_message_that_is_changed(self):
        # Bytes that the server changed, which none may, are read as they are once they have to be
        # fetched again: as many as there are, and none of those that the kernel kept.
        first, longer = letter() + b"first line\r\n" * 200, letter() + b"other line\r\n" * 700
        shorter = letter() + b"at last\r\n"
        messages = [StubMessage(first)]
        with ImapStub({b"INBOX": messages}) as stub:
            mount = self.stub_mount(stub)
            path = mount.first()
            self.assertEqual(mount.read(path), first)
            for content in (longer, first, shorter):
                messages[0] = StubMessage(content, announced=len(first))
                for body in glob.glob(glob.escape(mount.cache) + "/*/bodies/??/*"):
                    os.unlink(body)
                self.assertEqual(mount.read(path), content)
                self.assertEqual(mount.run("stat", "-c", "%s", path).stdout.strip(),
                                 str(len(content)))

    def test_a_message_that_cannot_be_fetched(self):
        # It is listed and answers EIO; its neighbours are read as ever.
        with ImapStub({b"INBOX": [StubMessage(letter(b"one")),
                                  StubMessage(letter(b"two"), is_fetchable=False),
                                  StubMessage(letter(b"three"))]}) as stub:
            mount = self.stub_mount(stub)
            names = {entry.uid: entry.name for entry in mount.messages("INBOX").values()}
            done = mount.run("cat", f"INBOX/{names[2]}", check=False)
            self.assertIn("Input/output error", done.stderr)
            self.assertEqual(mount.read(f"INBOX/{names[1]}"), letter(b"one"))
            self.assertEqual(mount.read(f"INBOX/{names[3]}"), letter(b"three"))


if __name__ == "__main__":
    unittest.main()
