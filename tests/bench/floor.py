"""The floor: the programs `floor` (IMAP, one command) and `floor_pop3` (commands sent ahead) fetch
everything and forget it."""

import os
from dataclasses import dataclass

from bench.programs import program
from lab import process

BODIES = "(UID BODY.PEEK[])"
LISTING = "(UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE)"


@dataclass(frozen=True)
class Floor:
    """Seconds of its steps, and the bytes of the answer."""

    connect: float
    select: float
    fetch: float
    total: float
    bytes: float


def fetch(dovecot, user, port, folder, items, timeout):
    return run(dovecot, user, port, ["floor", folder, items], timeout)


def fetch_pop3(dovecot, user, port, timeout):
    return run(dovecot, user, port, ["floor_pop3"], timeout)


def run(dovecot, user, port, command, timeout):
    environment = {
        **os.environ, "FLOOR_HOST": "localhost", "FLOOR_PORT": str(port), "FLOOR_USER": user,
        "FLOOR_PASSWORD": dovecot.users[user], "FLOOR_CA": dovecot.certificates.ca,
    }
    done = process.run([program(command[0]), *command[1:]], timeout, env=environment)
    return Floor(**{name: float(value) for name, value in map(str.split, done.stdout.splitlines())})
