"""A minute of tests/stress: readers at random, mail that comes and goes, a server that restarts."""

import unittest

from lab.case import LabCase
from stress import scene


class Stress(LabCase):
    @classmethod
    def fill(cls, maildir):
        scene.fill(maildir)

    def test_readers_and_changes(self):
        mount = self.mount(refresh=1, timeout=5, cache_size=scene.CACHE_SIZE)
        done = scene.run(self, mount, seconds=60, readers=24)
        self.assertGreater(done["whole"], 100)
        self.assertGreater(done["reopened"], 10)
        self.assertGreater(done["append"], 5)


if __name__ == "__main__":
    unittest.main()
