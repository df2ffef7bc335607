"""Reads at random below the mount point it runs in: reader.py SEED SECONDS PATIENCE.

What is read is right or fails with an error that a message that went, or a server that is away,
may have. Prints as JSON how much was done; ends with 1, and words, at anything else.
"""

import collections
import errno
import json
import os
import random
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from stress.letters import expected, is_large  # noqa: E402

CLEAN = {errno.ENOENT, errno.ESTALE, errno.EIO, errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.ENETDOWN,
         errno.ECONNREFUSED, errno.ECONNRESET, errno.EAGAIN}


class Wrong(Exception):
    """What must not be."""


def check(path, content, offset=0, size=None):
    right = expected(path)
    part = right[offset:] if size is None else right[offset:offset + size]
    if content != part:
        raise Wrong(f"{path}: {len(content)} bytes at {offset}, not the {len(part)} of the message")


def read_whole(path):
    with open(path, "rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        content = b"".join(iter(lambda: file.read(65536), b""))
    check(path, content)
    # The size of before the open may be an estimate; that of after it is exact.
    if size != len(content):
        raise Wrong(f"{path}: {size} bytes by fstat, {len(content)} by read")


def check_range(path, descriptor, offset, size):
    """A read that fails behind some bytes gives these; only the next one has the error."""
    content = b""
    while part := os.pread(descriptor, size - len(content), offset + len(content)):
        content += part
    check(path, content, offset, size)


def read_part(path, chance):
    with open(path, "rb", buffering=0) as file:
        offset = chance.randrange(max(1, os.fstat(file.fileno()).st_size))
        check_range(path, file.fileno(), offset, 4096)


def reopen(path, chance):
    """Leaves a large message while its parts arrive, and comes back for others at once."""
    for _ in range(chance.randrange(2, 8)):
        with open(path, "rb", buffering=0) as file:
            descriptor, size = file.fileno(), os.fstat(file.fileno()).st_size
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            if chance.random() < 0.5:
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_RANDOM)
            offset = chance.choice((0, chance.randrange(max(1, size))))
            for at in range(offset, offset + chance.randrange(1, 5) * 100000, 100000):
                check_range(path, descriptor, at, 100000)


def step(chance, done):
    folders = [entry.name for entry in os.scandir(".") if entry.is_dir()]
    folder = chance.choice(folders)
    names = [name for name in os.listdir(folder) if expected_name(name)]
    done["listings"] += 1
    run = chance.randrange(1, 12)
    start = chance.randrange(len(names)) if names else 0
    for name in names[start:start + run]:
        path = f"{folder}/{name}"
        kind = chance.choice(("whole", "whole", "part", "stat"))
        if is_large(name) and chance.random() < 0.7:
            kind = "reopened"
        try:
            if kind == "whole":
                read_whole(path)
            elif kind == "reopened":
                reopen(path, chance)
            elif kind == "part":
                read_part(path, chance)
            else:
                os.stat(path)
            done[kind] += 1
        except OSError as error:
            if error.errno not in CLEAN:
                raise
            done[errno.errorcode[error.errno]] += 1


def expected_name(name):
    return "_s" in name and name.endswith(".eml")


def main():
    seed, seconds, patience = int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])
    chance, done = random.Random(seed), collections.Counter()
    deadline = time.monotonic() + seconds
    while (began := time.monotonic()) < deadline:
        try:
            step(chance, done)
        except OSError as error:
            if error.errno not in CLEAN:
                raise
            done[errno.errorcode[error.errno]] += 1
        if time.monotonic() - began > patience:
            raise Wrong(f"a listing and at most 11 files took {time.monotonic() - began:.0f} s")
    print(json.dumps(done))


if __name__ == "__main__":
    main()
