"""A fresh ext4 of its own in a loop device.

File systems in use give times that depend on their age and on what was deleted on them a minute ago;
a factor of ten was seen between two equal copies. So mailboxes, caches and copies of all rivals lie on
one that was made for the bench.
"""

import os

from lab import process


class Disk:
    """`path` is where it is mounted; with `size` None, or where no loop device can be had, it is an
    ordinary directory."""

    def __init__(self, directory, size):
        self.path = os.path.join(directory, "disk")
        self._image = os.path.join(directory, "disk.img")
        os.makedirs(self.path, exist_ok=True)
        self.is_own = bool(size) and self._mount(size)
        os.chmod(self.path, 0o711)

    def _mount(self, size):
        if not os.path.exists(self._image):
            self._make(size)
        done = process.run(["mount", "-o", "loop,noatime", self._image, self.path], check=False)
        return done.returncode == 0

    def _make(self, size):
        making = self._image + ".new"
        with open(making, "wb") as image:
            image.truncate(size)
        process.run(["mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0", making],
                    timeout=120)
        os.rename(making, self._image)

    @property
    def kind(self):
        return "a fresh ext4" if self.is_own else "the file system of the temporary directory"

    def end(self):
        end(os.path.dirname(self.path))


def end(directory):
    """Unmounts what a Disk mounted in `directory`, in this run or one before."""
    path = os.path.join(directory, "disk")
    for point in process.mounts_below(directory):
        if point != os.path.realpath(path):
            process.run(["fusermount3", "-uz", point])
    process.kill_inside(directory)
    process.wait_until(lambda: is_unmounted(path), 60, f"the end of {path}")


def is_unmounted(path):
    return not os.path.ismount(path) or (
        process.run(["umount", path], timeout=120, check=False).returncode == 0
        and not os.path.ismount(path))
