"""What the server holds, asked by another client (imaplib): the truth a mount is compared with."""

import hashlib
import imaplib
import re
import ssl
import time
from dataclasses import dataclass

from lab.mailbox import decode_utf7


@dataclass(frozen=True)
class Truth:
    uid: int
    size: int  # bytes of the body
    announced: int  # RFC822.SIZE
    sha256: str
    date: int  # INTERNALDATE, seconds since 1970
    flags: frozenset


class ImapTruth:
    """A session beside the mount's; it looks with EXAMINE and BODY.PEEK, so it changes nothing."""

    def __init__(self, dovecot, user, password=None):
        trust = ssl.create_default_context(cafile=dovecot.certificates.ca)
        self.imap = imaplib.IMAP4_SSL("localhost", dovecot.ports["imaps"], ssl_context=trust)
        self.imap.login(user, password or dovecot.users[user])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            self.imap.logout()
        except (imaplib.IMAP4.error, OSError):
            pass  # the server may have been killed, on purpose

    def folders(self):
        """Names of the selectable folders, as on the wire."""
        names = []
        for line in self._ok(self.imap.list()):
            if isinstance(line, tuple):  # a name sent as a literal
                line = line[0].rpartition(b"{")[0] + b'"' + line[1] + b'"'
            match = re.match(rb'\(([^)]*)\) (?:"."|NIL) (.*)$', line or b"")
            if match and b"\\Noselect" not in match[1]:
                name = match[2]
                if name.startswith(b'"'):
                    name = re.sub(rb"\\(.)", rb"\1", name[1:-1])
                names.append(name.decode("ascii", "surrogateescape"))
        return names

    def examine(self, folder):
        quoted = folder.replace("\\", "\\\\").replace('"', '\\"')
        self._ok(self.imap.select(f'"{quoted}"', readonly=True))

    def messages(self, folder):
        """{uid: Truth} of a folder named as on the wire."""
        self.examine(folder)
        uids = self._ok(self.imap.uid("SEARCH", "ALL"))[0].split()
        found = {}
        for start in range(0, len(uids), 200):
            answer = self._ok(self.imap.uid(
                "FETCH", b",".join(uids[start:start + 200]).decode(),
                "(UID FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[])"))
            for item in answer:
                if isinstance(item, tuple):
                    truth = self._parse(*item)
                    found[truth.uid] = truth
        return found

    def content(self, folder, uid):
        """The exact bytes of one message."""
        self.examine(folder)
        return self._ok(self.imap.uid("FETCH", str(uid), "(BODY.PEEK[])"))[0][1]

    def contents(self, folder):
        """The bytes of every message of a folder, by rising UID."""
        self.examine(folder)
        uids = self._ok(self.imap.uid("SEARCH", "ALL"))[0].split()
        return [self._ok(self.imap.uid("FETCH", uid.decode(), "(BODY.PEEK[])"))[0][1]
                for uid in uids]

    def everything(self):
        """{decoded folder name: {uid: Truth}} of all folders whose names are right."""
        return {decode_utf7(folder): self.messages(folder) for folder in self.folders()}

    def append(self, folder, content, date=None):
        self._ok(self.imap.append(f'"{folder}"', None, date, content))

    def expunge(self, folder, uid):
        self._ok(self.imap.select(f'"{folder}"'))
        self._ok(self.imap.uid("STORE", str(uid), "+FLAGS.SILENT", r"(\Deleted)"))
        self._ok(self.imap.uid("EXPUNGE", str(uid)))

    @staticmethod
    def _parse(head, content):
        def number(pattern):
            return int(re.search(pattern, head)[1])
        return Truth(
            uid=number(rb"UID (\d+)"), size=len(content), announced=number(rb"RFC822.SIZE (\d+)"),
            sha256=hashlib.sha256(content).hexdigest(),
            date=int(time.mktime(imaplib.Internaldate2tuple(head))),
            flags=frozenset(re.search(rb"FLAGS \(([^)]*)\)", head)[1].decode().split()))

    @staticmethod
    def _ok(answer):
        status, data = answer
        if status != "OK":
            raise imaplib.IMAP4.error(f"{status} {data}")
        return [] if data == [None] else data

