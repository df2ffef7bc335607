"""mbsync, as it comes and without fsync, from nothing to a whole folder."""

import os

from lab import process

CONFIG = """
FSync {fsync}

IMAPStore far
Host localhost
Port {port}
User {user}
Pass "{password}"
SSLType IMAPS
SystemCertificates no
CertificateFile {ca}

MaildirStore near
Path {directory}/mail/
Inbox {directory}/mail/INBOX
SubFolders Verbatim

Channel bench
Far :far:
Near :near:
Patterns {folder}
Create Near
Sync Pull
SyncState *
"""


def configure(directory, dovecot, user, port, folder, fsync):
    """Prepares a first run in `directory`; returns the command."""
    os.mkdir(os.path.join(directory, "mail"))
    path = os.path.join(directory, "mbsyncrc")
    with open(path, "w", encoding="utf-8") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(CONFIG.format(
            fsync="yes" if fsync else "no", port=port, user=user, password=dovecot.users[user],
            ca=dovecot.certificates.ca, directory=directory, folder=folder))
    return ["mbsync", "-q", "-c", path, "bench"]


def count(directory, folder):
    """How many messages it brought."""
    return sum(len(os.listdir(os.path.join(directory, "mail", folder, inner)))
               for inner in ("cur", "new"))


def check_installed():
    process.run(["mbsync", "--version"])
