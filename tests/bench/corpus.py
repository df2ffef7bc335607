"""The mail that is measured with: a folder `Archive` for each user, the same for the same seed."""

import dataclasses
import hashlib
import os
from dataclasses import dataclass

from lab.mailbox import Maildir
from lab.samples import Author

FOLDER = "Archive"
POP3_USER, POP3_FOLDER = "popped", "INBOX"
# What Author.size may be, and how often: real mail is small, and its bytes are in the few large ones.
# A message comes out at 0.2 to 1.8 times of that, and a head of 400 bytes.
SPREAD = ((2_000, 6_000, 83), (8_000, 25_000, 12), (50_000, 150_000, 5))


@dataclass(frozen=True)
class Scale:
    """How much of everything there is."""

    mixed: int  # messages of 10 KB on average, sizes as in real mail
    small: int  # of 4 KB
    wide: int  # of 64 KB
    few: int  # in each folder that single messages are read from or come to
    rows: int  # messages of which only the listing exists
    disk: int  # bytes that hold all that: the mail, copies and caches of it
    patience: int  # seconds that any command may take
    letters: int  # dropped into the outbox at once
    letters_far: int  # the same at the end of the long line
    news: int  # seconds that new mail may take; in full more than `refresh`, to see a mere poll as such


FULL = Scale(mixed=10_000, small=100_000, wide=10_000, few=300, rows=1_000_000, disk=16 << 30,
             patience=900, letters=1_000, letters_far=200, news=40)
QUICK = Scale(mixed=100, small=1_000, wide=50, few=60, rows=5_000, disk=2 << 30, patience=60,
              letters=100, letters_far=10, news=3)


def mixed(count):
    author = Author(seed=104)
    weights = [weight for _, _, weight in SPREAD]
    for _ in range(count):
        [(low, high, _)] = author.random.choices(SPREAD, weights)
        author.size = int(author.random.uniform(low, high))
        yield author.write()


def read_before(samples):
    """Messages that are marked as read, so that nobody's first retrieval has to mark them."""
    return (dataclasses.replace(sample, flags="S") for sample in samples)


def alike(count, size):
    author = Author(seed=size, size=size)
    return (author.write() for _ in range(count))


# Who has what; every user's mail is independent of the others'.
USERS = {
    "mixed": lambda scale: {FOLDER: mixed(scale.mixed)},
    POP3_USER: lambda scale: {POP3_FOLDER: read_before(mixed(scale.mixed))},
    "small": lambda scale: {FOLDER: alike(scale.small, 3_700)},
    "wide": lambda scale: {FOLDER: alike(scale.wide, 64_000)},
    "few": lambda scale: {"Near": alike(scale.few, 3_000), "Far": alike(scale.few, 3_000)},
    "news": lambda scale: {"INBOX": alike(20, 3_000), "Lists": alike(20, 3_000)},
}


def fill(path, user, scale):
    """Puts the user's mail into the Maildir at `path`."""
    maildir = Maildir(path)
    maildir.folder("INBOX")
    for folder, samples in USERS[user](scale).items():
        maildir.put_all(folder, samples)


def folder_of(user):
    """The folder that is copied."""
    return POP3_FOLDER if user == POP3_USER else FOLDER


def files_by_id(path, folder):
    """{what a name ends in: path of the message's file}, as Dovecot numbered them: UIDs, and over
    POP3 hashes of its UIDLs."""
    directory = os.path.join(path, folder)
    names = {name.partition(":")[0]: name for name in os.listdir(os.path.join(directory, "cur"))}
    found = {}
    with open(os.path.join(directory, "dovecot-uidlist"), encoding="utf-8") as lines:
        validity = int(next(lines).split()[1].removeprefix("V"))
        for line in lines:
            head, _, base = line.rstrip("\n").partition(" :")
            name = names.get(base.partition(":")[0])
            if name:
                uid = int(head.split()[0])
                uidl = f"{uid:08x}{validity:08x}".encode()
                message = hashlib.sha256(uidl).hexdigest()[:16] if folder == POP3_FOLDER else uid
                found[message] = os.path.join(directory, "cur", name)
    return found
