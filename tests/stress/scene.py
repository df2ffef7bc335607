"""Readers at random beside a mailbox that changes, on a server that now and then restarts."""

import collections
import json
import os
import random
import subprocess
import sys
import time

from lab import process
from stress.letters import letter, new_letter

READER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "reader.py")
FOLDERS = "INBOX", "Lists", "Archive"
# Less than all messages are: what was read before comes anew now and then.
CACHE_SIZE = "8M"


def fill(maildir, count=150):
    chance = random.Random(1)
    for folder in FOLDERS:
        maildir.put_all(folder, (Stored(*new_letter(chance)) for _ in range(count)))


class Stored:
    """A letter for lab.mailbox."""

    def __init__(self, seed, size):
        self.content = letter(seed, size).replace(b"\r\n", b"\n")
        self.date, self.flags = 1767607200, "S"


class Changes:
    """What other clients do."""

    def __init__(self, connect, seed):
        self._connect, self._chance, self._client = connect, random.Random(seed), None
        self.done = collections.Counter()

    def step(self):
        self._client = self._client or self._connect()
        folder = self._chance.choice(FOLDERS)
        kind = self._chance.choice(("append", "append", "expunge", "flag"))
        if kind == "append":
            self._client.append(folder, letter(*new_letter(self._chance)))
        else:
            self._client.imap.select(folder)
            uids = self._client.imap.uid("SEARCH", "ALL")[1][0].split()
            uid = self._chance.choice(uids).decode()
            if kind == "flag":
                self._client.imap.uid("STORE", uid, "+FLAGS", r"(\Seen)")
            elif len(uids) > 20:
                self._client.expunge(folder, int(uid))
        self.done[kind] += 1

    def hang_up(self):
        self._client = None


def run(case, mount, seconds, readers, patience=60):
    """Fails the test `case` at wrong bytes, a hang, an error that is not clean, or a tree that is in
    the end not the server's. Returns how much was done."""
    running = [subprocess.Popen([sys.executable, READER, str(seed), str(seconds), str(patience)],
                                cwd=mount.path, text=True, stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)
               for seed in range(readers)]
    for reader in running:
        case.addCleanup(reader.kill)
    changes = Changes(case.truth, 7)
    began = time.monotonic()
    restarts = 0
    while time.monotonic() < began + seconds:
        changes.step()
        if time.monotonic() > began + 20 * (restarts + 1) and seconds >= 30:
            case.dovecot.stop()
            case.dovecot.start()
            changes.hang_up()
            restarts += 1
    done = collections.Counter(changes.done, restarts=restarts)
    for reader in running:
        out, err = reader.communicate(timeout=patience * 3)
        case.assertEqual(reader.returncode, 0, err)
        done.update(json.loads(out))
    held = case.held()

    def shows_all():
        try:
            return case.read_all(mount) == held
        except process.LabError:  # it has not found the server again yet
            return False

    process.wait_until(shows_all, 60, "the tree of the server")
    return done
