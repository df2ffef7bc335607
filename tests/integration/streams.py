"""No more moves over the wire than is read, and what is read in order comes in streams."""

import hashlib
import os
import random
import re
import unittest

from bench.proxy import Proxy
from lab import process, samples
from lab.case import LabCase

MIB = 1 << 20


def large(size, subject):
    head = f"From: big@example.org\nSubject: {subject}\nMessage-ID: <{subject}@example.org>\n\n"
    rows = random.Random(size)
    body = "".join(f"{rows.getrandbits(256):064x}\n" for _ in range(size // 65))
    return (head + body).encode()


class Streams(LabCase):
    @classmethod
    def fill(cls, maildir):
        author = samples.Author(seed=41, size=800)
        maildir.put_all("Many", (author.write() for _ in range(400)))
        for subject, size in ("huge", 25 * MIB), ("big", 3 * MIB):
            maildir.put(maildir.folder("INBOX"), Plain(large(size, subject)))

    def traced(self, **options):
        """A mount that writes down what it says to the server."""
        mount = self.new_mount(**options)
        self.log = os.path.join(mount.directory, "log")
        with open(self.log, "w", encoding="utf-8") as log:
            daemon = mount.launch("-f", "-d", mount.account, mount.path, stderr=log)
        self.addCleanup(lambda: (mount.unmount(), daemon.wait(20)))
        process.wait_until(mount.is_mounted, 20, "a mount")
        return mount

    def body_commands(self):
        with open(self.log, encoding="utf-8", errors="replace") as log:
            return [line for line in log if re.search(r"> a\d+ UID FETCH .*BODY\.PEEK", line)]

    def behind(self, rate=None, delay_ms=0, **options):
        """A mount at the end of a long or thin line."""
        proxy = Proxy(self.dovecot.ports["imaps"], self.directory, delay_ms=delay_ms, rate=rate)
        self.addCleanup(proxy.stop)
        mount = self.mount(imap=f"imaps://alice@localhost:{proxy.port}", **options)
        return mount, proxy

    def named(self, mount, subject):
        return next(f"INBOX/{name}" for name in mount.ls("INBOX") if f"_{subject}," in name)

    def digest(self, subject):
        uid = {"huge": 1, "big": 2}[subject]
        return self.truth().messages("INBOX")[uid].sha256

    # -- Large messages.

    def test_head_moves_little(self):
        mount, proxy = self.behind(rate=20 * MIB)
        path = self.named(mount, "huge")
        before = proxy.delivered()[1]
        self.assertIn("Subject: huge", mount.run("head", "-c", "1000", path).stdout)
        self.assertEqual(int(mount.run("stat", "-c", "%s", path).stdout),
                         self.truth().messages("INBOX")[1].size)
        moved = proxy.delivered()[1] - before
        self.assertLess(moved, 300 * 1024)
        self.assertGreater(moved, 1000)

    def test_read_whole_and_at_random(self):
        # Sequentially, from the end, at random by two at once, through a map: the same bytes.
        mount = self.mount()
        path = self.named(mount, "big")
        content = self.truth().content("INBOX", 2)
        readers = [self.background(mount, "/usr/bin/python3", "-c", AT_RANDOM, path, str(seed))
                   for seed in (1, 2)]
        tail = mount.run("tail", "-c", "5000", path, text=False).stdout
        self.assertEqual(tail, content[-5000:])
        for reader in readers:
            for line in reader.stdout:
                offset, digest = line.split()
                part = content[int(offset):int(offset) + 30000]
                self.assertEqual(hashlib.sha256(part).hexdigest(), digest)
            self.assertEqual(reader.wait(30), 0)
        self.assertEqual(mount.read(path), content)
        mapped = mount.run("/usr/bin/python3", "-c", MAPPED, path).stdout.strip()
        self.assertEqual(mapped, self.digest("big"))

    def test_copies_of_large_messages(self):
        mount = self.mount()
        path = self.named(mount, "huge")
        copy = os.path.join(mount.directory, "copy")
        mount.run("cp", path, copy, timeout=60)
        with open(copy, "rb") as file:
            self.assertEqual(hashlib.sha256(file.read()).hexdigest(), self.digest("huge"))
        # It is in the cache now: without the server too.
        digest = self.digest("huge")
        mount.run("cat", path, timeout=60, text=False)
        self.freeze()
        self.assertEqual(hashlib.sha256(mount.read(path)).hexdigest(), digest)

    def test_reopened_while_parts_arrive(self):
        # Left and opened again while what was asked for ahead is still on its way: all bytes right.
        mount, _ = self.behind(rate=2 * MIB, delay_ms=20)
        path = self.named(mount, "huge")
        content = self.truth().content("INBOX", 1)
        for size in range(600_000, 3_600_000, 500_000):
            head = mount.run("head", "-c", str(size), path, text=False).stdout
            self.assertEqual(head, content[:size])
            self.assertEqual(mount.run("head", "-c", "1000", path, text=False).stdout,
                             content[:1000])
        tail = mount.run("tail", "-c", "200000", path, text=False).stdout
        self.assertEqual(tail, content[-200000:])

    def test_expunged_while_open(self):
        # Who reads in order and rests can still read to the end.
        subject, size = "leaving", 6 * MIB
        self.maildir.put(self.maildir.folder("INBOX"), Plain(large(size, subject)))
        mount = self.mount(refresh=1)
        process.wait_until(lambda: any(f"_{subject}," in name for name in mount.ls("INBOX")),
                           20, "the new message")
        truth = self.truth().messages("INBOX")[3]
        reader = self.background(mount, "/usr/bin/python3", "-c", RESTS, self.named(mount, subject))
        self.assertEqual(int(reader.stdout.readline()), truth.size)
        process.wait_until(lambda: truth.size in sizes_of_bodies(mount), 20, "all of the message")
        self.dovecot.doveadm("expunge", "-u", "alice", "mailbox", "INBOX", "SUBJECT", subject)
        out, err = reader.communicate(timeout=60)
        self.assertEqual((reader.returncode, out.strip()), (0, truth.sha256), err)

    def test_server_dies_in_a_part(self):
        # A clean error, never bytes that are not the message's; and all of it when the server is back.
        mount, proxy = self.behind(rate=4 * MIB, timeout=2)
        path = self.named(mount, "huge")
        reader = self.background(mount, "sha256sum", path)
        process.wait_until(lambda: proxy.delivered()[1] > 3 * MIB, 20, "some of the message")
        digest = self.digest("huge")
        self.freeze()
        out, err = reader.communicate(timeout=60)
        self.assertNotEqual(reader.returncode, 0, out)
        self.dovecot.thaw()
        process.wait_until(
            lambda: digest in mount.run("sha256sum", path, check=False, timeout=60).stdout,
            60, "the whole message")

    # -- Read-ahead.

    def test_in_the_order_of_names(self):
        mount = self.traced()
        for name in mount.ls("Many"):
            mount.run("cat", f"Many/{name}", text=False)
        self.assertLess(len(self.body_commands()), 60)

    def test_in_the_order_of_inodes(self):
        mount = self.traced()
        mount.run("cp", "-r", "Many", os.path.join(mount.directory, "copy"), timeout=60)
        commands = self.body_commands()
        self.assertLess(len(commands), 40)
        # It began within three files.
        self.assertRegex("".join(commands[:4]), r"UID FETCH \d+(:|,)\d+")

    def test_by_uid(self):
        mount = self.traced(names="uid", connections=2)
        for uid in range(1, 200):
            mount.run("cat", f"Many/{uid}.eml", text=False)
        self.assertLess(len(self.body_commands()), 60)

    def test_off(self):
        mount = self.traced(prefetch=0)
        for name in mount.ls("Many")[:20]:
            mount.run("cat", f"Many/{name}", text=False)
        self.assertEqual(len(self.body_commands()), 20)

    def test_stops_with_the_reader(self):
        # Six of four hundred were read: some were fetched ahead, and no more come.
        mount = self.traced()
        for name in mount.ls("Many")[:6]:
            mount.run("cat", f"Many/{name}", text=False)
        mount.run("cat", self.named(mount, "big"), text=False)
        asked = sum(count_uids(line) for line in self.body_commands() if "BODY.PEEK[])" in line)
        self.assertGreater(asked, 6)
        self.assertLess(asked, 300)

    def test_ten_readers_one_fetch(self):
        mount = self.traced(prefetch=0)
        path = f"Many/{mount.ls('Many')[7]}"
        digests = mount.sh('for i in 1 2 3 4 5 6 7 8 9 10; do sha256sum "$1" & done; wait', path)
        self.assertEqual(len(set(digests.stdout.split("\n")[:10])), 1)
        self.assertEqual(len(self.body_commands()), 1)

    def test_a_reader_beside_a_search(self):
        # While grep -r streams, one who wants another message waits for no more than some round trips.
        for connections in 4, 2:
            mount, _ = self.behind(delay_ms=25, rate=10 * MIB, connections=connections)
            names = mount.ls("Many")
            mount.ls("INBOX")
            search = self.background(mount, "grep", "-rc", "needle", "Many")
            path = self.named(mount, "big")
            took = mount.run("/usr/bin/python3", "-c", HOW_LONG, path).stdout
            self.assertLess(float(took), 0.9, connections)
            search.communicate(timeout=60)
            self.assertEqual(len(names), 400)

    def test_a_reader_beside_large_messages(self):
        # While others read large messages whole, one who wants a small message of another folder
        # waits for the parts that are under way, not for all there are.
        for connections in 4, 2:
            mount, _ = self.behind(delay_ms=25, rate=2 * MIB, connections=connections)
            small = f"Many/{mount.ls('Many')[3]}"
            paths = [self.named(mount, subject) for subject in ("huge", "big")]
            readers = [self.background(mount, "sha256sum", path) for path in paths]
            for path in paths:
                mount.run("head", "-c", "400000", path, text=False, timeout=60)
            took = mount.run("/usr/bin/python3", "-c", HOW_LONG, small, timeout=60).stdout
            self.assertLess(float(took), 3, connections)
            for reader in readers:
                reader.kill()
                reader.wait(20)


class Plain:
    def __init__(self, content):
        self.content, self.date, self.flags = content, 1760000000, ""


def sizes_of_bodies(mount):
    found = (os.path.join(at, name) for at, _, names in os.walk(mount.cache) for name in names
             if "/bodies/" in f"{at}/" and not at.endswith("/unfinished"))
    return {os.path.getsize(path) for path in found}


def count_uids(line):
    """How many messages a FETCH command names; of parts, one."""
    total = 0
    for part in re.search(r"UID FETCH (\S+)", line)[1].split(","):
        first, _, last = part.partition(":")
        total += int(last or first) - int(first) + 1
    return min(total, 1) if "]<" in line else total


AT_RANDOM = """
import hashlib, os, random, sys
chance = random.Random(int(sys.argv[2]))
with open(sys.argv[1], "rb") as file:
    size = os.fstat(file.fileno()).st_size
    for _ in range(12):
        offset = chance.randrange(size)
        file.seek(offset)
        print(offset, hashlib.sha256(file.read(30000)).hexdigest())
"""
MAPPED = """
import hashlib, mmap, sys
with open(sys.argv[1], "rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as bytes:
    print(hashlib.sha256(bytes).hexdigest())
"""
RESTS = """
import hashlib, os, sys, time
file = open(sys.argv[1], "rb", buffering=0)
read = b"".join(file.read(100000) for _ in range(10))
print(os.fstat(file.fileno()).st_size, flush=True)
while os.path.exists(sys.argv[1]):
    time.sleep(0.1)
print(hashlib.sha256(read + b"".join(iter(lambda: file.read(100000), b""))).hexdigest())
"""
HOW_LONG = """
import sys, time
start = time.monotonic()
with open(sys.argv[1], "rb") as file:
    file.read(1000)
print(time.monotonic() - start)
"""

if __name__ == "__main__":
    unittest.main()
