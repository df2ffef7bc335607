"""COMPRESS=DEFLATE on a line that is slower than it, and nowhere else."""

import os
import unittest

from bench.proxy import Proxy
from lab import samples
from lab.case import LabCase

MIB = 1 << 20


class Compress(LabCase):
    extra = """
mail_plugins = zlib
protocol imap {
  mail_plugins = zlib imap_zlib
}
"""

    @classmethod
    def fill(cls, maildir):
        author = samples.Author(seed=51, size=20000)
        maildir.put_all("INBOX", (author.write() for _ in range(250)))

    def read_through(self, rate):
        """All of the mail over a line of so many bytes a second; how many bytes it took there."""
        proxy = Proxy(self.dovecot.ports["imaps"], self.directory, rate=rate)
        self.addCleanup(proxy.stop)
        mount = self.mount(imap=f"imaps://alice@localhost:{proxy.port}", connections=2)
        self.assertEqual(self.read_all(mount), self.held())
        sizes = mount.run("du", "-sb", "--apparent-size", "INBOX").stdout
        mount.unmount()
        return proxy.delivered()[1], int(sizes.split()[0])

    def test_slow_line(self):
        moved, held = self.read_through(2 * MIB)
        self.assertGreater(held, 2 * MIB)
        self.assertLess(moved, held * 0.85)

    def test_fast_line(self):
        moved, held = self.read_through(None)
        self.assertGreater(moved, held)


if __name__ == "__main__":
    unittest.main()
