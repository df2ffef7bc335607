"""A mailbox of 10,000 messages and a message of 25 MB, read whole from a cold cache."""

import time
import unittest

from lab import samples
from lab.case import LabCase
from lab.mount import SANITIZED

COUNT = 10_000
MEMORY_LIMIT = 64 * 1024 * 1024


class Large(LabCase):
    @classmethod
    def fill(cls, maildir):
        author = samples.Author(seed=10, size=13_700)
        maildir.put_all("INBOX", (author.write() for _ in range(COUNT)))
        cls.big = samples.big()
        maildir.put_all("Entwürfe/é & co", [cls.big])

    def test_ten_thousand_messages(self):
        # Mount, ls -l, cat of every one: all bytes right, and the daemon stays under 64 MiB.
        started = time.monotonic()
        mount = self.mount()
        listed = mount.run("ls", "-l", "INBOX", timeout=120).stdout.splitlines()
        self.assertEqual(len(listed) - 1, COUNT)
        print(f"mount and ls -l: {time.monotonic() - started:.1f} s", flush=True)
        messages = self.truth().messages("INBOX")
        self.assertGreater(sum(truth.size for truth in messages.values()), 130_000_000)
        started = time.monotonic()
        seen = self.read_all(mount, timeout=200)
        print(f"every byte: {time.monotonic() - started:.1f} s; "
              f"peak memory {mount.peak_memory() >> 20} MiB", flush=True)
        self.assertEqual(seen, self.held())
        sizes = {uid: entry.size for uid, entry in mount.messages("INBOX").items()}
        self.assertEqual(sizes, {uid: truth.size for uid, truth in messages.items()})
        if not SANITIZED:
            self.assertLess(mount.peak_memory(), MEMORY_LIMIT)

    def test_one_message_of_25_megabytes(self):
        # Right from end to end, in a folder with an odd name, without growing the daemon by it.
        mount = self.mount()
        [name] = mount.ls("Entwürfe/é & co")
        path = f"Entwürfe/é & co/{name}"
        self.assertEqual(mount.run("head", "-c", "1000", path, text=False).stdout,
                         self.big.content[:1000])
        self.assertEqual(mount.read(path, timeout=60), self.big.content)
        self.assertEqual(mount.run("stat", "-c", "%s", path).stdout.strip(),
                         str(len(self.big.content)))
        if not SANITIZED:
            self.assertLess(mount.peak_memory(), MEMORY_LIMIT)


if __name__ == "__main__":
    unittest.main()
