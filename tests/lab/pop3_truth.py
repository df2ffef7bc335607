"""What the server holds as POP3 shows it, asked by another client: the truth that such a mount is
compared with. Bytes are taken as they come: poplib splits lines and forgets how they ended."""

import collections
import email.utils
import hashlib
import re
import socket
import ssl

from lab.imap_truth import Truth
from lab.process import LabError


class Pop3Truth:
    """A session beside the mount's; what it retrieves it takes back, so it changes nothing."""

    def __init__(self, dovecot, user, password=None):
        trust = ssl.create_default_context(cafile=dovecot.certificates.ca)
        line = socket.create_connection(("localhost", dovecot.ports["pop3s"]), 60)
        self._line = trust.wrap_socket(line, server_hostname="localhost")
        self._answers = self._line.makefile("rb")
        self._read_status("the greeting")
        self.say("USER " + user)
        self.say("PASS " + (password or dovecot.users[user]))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            self.say("RSET")
            self.say("QUIT")
        except (LabError, OSError):
            pass  # the server may have been killed, on purpose
        self._answers.close()
        self._line.close()

    def say(self, command):
        """One command; returns its +OK line."""
        self._line.sendall(command.encode() + b"\r\n")
        return self._read_status(command)

    def _read_status(self, what):
        status = self._answers.readline()
        if not status.startswith(b"+OK"):
            raise LabError(f"{what.partition(' ')[0]}: {status!r}")
        return status.decode()

    def ask(self, command):
        """The bytes of a multi-line answer, dots taken back."""
        self.say(command)
        lines = iter(self._answers.readline, b".\r\n")
        return b"".join(line.removeprefix(b".") for line in lines)

    def numbers(self):
        """{ID of a message, as names have it: its number in this session}."""
        seen, found = collections.Counter(), {}
        for line in self.ask("UIDL").decode().splitlines():
            number, _, uidl = line.partition(" ")
            seen[uidl] += 1
            again = f"-{seen[uidl]}" if seen[uidl] > 1 else ""
            found[hashlib.sha256(uidl.encode()).hexdigest()[:16] + again] = int(number)
        return found

    def content(self, message):
        """The bytes of one message by its ID."""
        return self.ask(f"RETR {self.numbers()[message]}")

    def messages(self):
        """{ID: Truth} of all there is; no flags."""
        announced = dict(map(int, line.split()) for line in self.ask("LIST").splitlines())
        return {message: self._truth(message, announced[number], self.ask(f"RETR {number}"))
                for message, number in self.numbers().items()}

    def everything(self):
        return {"INBOX": self.messages()}

    def expunge(self, message):
        """Deletes one message; the session is over with that."""
        self.say("RSET")
        self.say(f"DELE {self.numbers()[message]}")
        self.say("QUIT")

    @staticmethod
    def _truth(message, announced, content):
        header = content.partition(b"\r\n\r\n")[0]
        found = re.search(rb"(?im)^date: (.*?)\r?$", header)
        date = found and email.utils.parsedate_tz(found[1].decode("latin-1"))
        return Truth(
            uid=message, size=len(content), announced=announced,
            sha256=hashlib.sha256(content).hexdigest(), flags=frozenset(),
            date=int(email.utils.mktime_tz(date)) if date else -1)
