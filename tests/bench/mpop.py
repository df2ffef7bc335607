"""mpop as it comes, from nothing to a Maildir of all that a POP3 server has, which keeps it."""

import os

CONFIG = """
account bench
host localhost
port {port}
user {user}
password "{password}"
tls on
tls_starttls off
tls_trust_file {ca}
keep on
uidls_file {directory}/uidls
delivery maildir {directory}/mail
received_header off
"""


def configure(directory, dovecot, user, port):
    """Prepares a first run in `directory`; returns the command."""
    for inner in "cur", "new", "tmp":
        os.makedirs(os.path.join(directory, "mail", inner))
    path = os.path.join(directory, "mpoprc")
    with open(path, "w", encoding="utf-8") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(CONFIG.format(port=port, user=user, password=dovecot.users[user],
                                 ca=dovecot.certificates.ca, directory=directory))
    return ["mpop", "-q", "-C", path, "bench"]


def count(directory):
    """How many messages it brought."""
    return len(os.listdir(os.path.join(directory, "mail", "new")))
