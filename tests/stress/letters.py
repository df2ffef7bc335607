"""Messages that tell by their name what they hold, so that a reader can check every byte."""

import functools
import random
import re

# What is so large comes in parts.
LARGE_BYTES = 400 << 10
SUBJECT = re.compile(r"_s(\d+)x(\d+),\d+\.eml$")


@functools.lru_cache(maxsize=500)
def letter(seed, size):
    """The bytes of the message with the subject s<seed>x<size>: about so many."""
    head = (f"From: Stress <stress@example.org>\r\nSubject: s{seed}x{size}\r\n"
            f"Message-ID: <s{seed}x{size}@example.org>\r\nDate: Mon, 5 Jan 2026 10:00:00 +0000\r\n\r\n")
    bits = random.Random(seed)
    rows = [f"{bits.getrandbits(280):070x}\r\n" for _ in range(size // 72 + 1)]
    return (head + "".join(rows)).encode()


def new_letter(chance):
    """(seed, size): mostly small, now and then one that is read in parts."""
    size = chance.choice((400, 2000, 6000, 20000))
    if chance.random() < 0.04:
        size = chance.choice((LARGE_BYTES, 900 << 10, 2 << 20))
    return chance.randrange(1 << 30), size


def expected(name):
    """What the file of that name has to hold; None: not one of ours."""
    found = SUBJECT.search(name)
    return letter(int(found[1]), int(found[2])) if found else None


def is_large(name):
    found = SUBJECT.search(name)
    return found is not None and int(found[2]) >= LARGE_BYTES
