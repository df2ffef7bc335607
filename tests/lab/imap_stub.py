"""A small IMAP server that says whatever a test wants: what no good server would.

Dovecot sends only folder names and sizes that are right. This one has a mailbox of `folders`, wire
name to messages, and may lie about any of it. Plain text on a loopback port (tls=off), any login.
"""

import email
import email.policy
import email.utils
import re
import socketserver
import threading
import time
from dataclasses import dataclass

CAPABILITIES = b"IMAP4rev1 SASL-IR AUTH=PLAIN LITERAL+ NAMESPACE"


@dataclass
class StubMessage:
    content: bytes
    announced: object = None  # RFC822.SIZE; None: the true one
    is_fetchable: bool = True  # else BODY is answered NO
    date: int = 1767600000


class ImapStub:
    """`with ImapStub({b"INBOX": [StubMessage(...)]}) as stub:` serves on stub.port."""

    def __init__(self, folders):
        self.folders = folders
        self.bytes_sent = 0  # of bodies

    def __enter__(self):
        stub = self

        class Handler(Connection):
            folders = self.folders

            def count(self, size):
                stub.bytes_sent += size

        self._server = Server(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self):
        return f"imap://alice@localhost:{self.port}"


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True

    def handle_error(self, request, client_address):
        pass  # a client that went away


class Connection(socketserver.StreamRequestHandler):
    """One client. Commands are methods named do_COMMAND(tag, arguments)."""

    folders = {}

    def handle(self):
        self.selected = []
        self.say(b"* OK [CAPABILITY " + CAPABILITIES + b"] stub")
        while True:
            words = self.command()
            if not words:
                return
            tag, name, *arguments = words
            method = getattr(self, "do_" + name.decode().upper(), None)
            if method is None:
                self.say(tag + b" BAD no such command")
            elif method(tag, arguments) == "end":
                return

    def say(self, line):
        self.wfile.write(line + b"\r\n")

    def command(self):
        """One command as words: atoms, quoted strings and literals; a (list) is one word."""
        text, literals = b"", []
        while True:
            line = self.rfile.readline()
            if not line.endswith(b"\n"):
                return None
            text += line.rstrip(b"\r\n")
            literal = re.search(rb"\{(\d+)(\+?)\}$", text)
            if not literal:
                break
            if not literal[2]:
                self.say(b"+ go on")
            literals.append(self.rfile.read(int(literal[1])))
            text = text[:literal.start()] + b"\0%d\0" % (len(literals) - 1)
        words = re.findall(rb'"(?:\\.|[^"\\])*"|\0\d+\0|\((?:[^()]|\([^()]*\))*\)|[^ ]+', text)
        return [self.unquote(word, literals) for word in words]

    @staticmethod
    def unquote(word, literals):
        if word.startswith(b'"'):
            return re.sub(rb"\\(.)", rb"\1", word[1:-1])
        if word.startswith(b"\0"):
            return literals[int(word.strip(b"\0"))]
        return word

    def ok(self, tag, text=b"done"):
        self.say(tag + b" OK " + text)

    def do_CAPABILITY(self, tag, _):
        self.say(b"* CAPABILITY " + CAPABILITIES)
        self.ok(tag)

    def do_NOOP(self, tag, _):
        self.ok(tag)

    def do_LOGIN(self, tag, _):
        self.ok(tag)

    def do_AUTHENTICATE(self, tag, arguments):
        if len(arguments) < 2:
            self.say(b"+ ")
            self.rfile.readline()
        self.ok(tag)

    def do_NAMESPACE(self, tag, _):
        self.say(b'* NAMESPACE (("" "/")) NIL NIL')
        self.ok(tag)

    def do_LIST(self, tag, _):
        for name in self.folders:
            self.say(b'* LIST () "/" {%d}\r\n%s' % (len(name), name))
        self.ok(tag)

    def do_STATUS(self, tag, arguments):
        messages = self.folders.get(arguments[0])
        if messages is None:
            self.say(tag + b" NO no such folder")
            return
        count = len(messages)
        self.say(b"* STATUS {%d}\r\n%s (MESSAGES %d UIDNEXT %d UIDVALIDITY 7)" % (
            len(arguments[0]), arguments[0], count, count + 1))
        self.ok(tag)

    def do_EXAMINE(self, tag, arguments):
        messages = self.folders.get(arguments[0])
        if messages is None:
            self.say(tag + b" NO no such folder")
            return
        self.selected = messages
        self.say(b"* FLAGS (\\Seen)\r\n* %d EXISTS\r\n* 0 RECENT\r\n* OK [UIDVALIDITY 7] -\r\n"
                 b"* OK [UIDNEXT %d] -" % (len(messages), len(messages) + 1))
        self.ok(tag, b"[READ-ONLY] done")

    do_SELECT = do_EXAMINE

    def do_LOGOUT(self, tag, _):
        self.say(b"* BYE")
        self.ok(tag)
        return "end"

    def do_UID(self, tag, arguments):
        if arguments[0].upper() != b"FETCH":
            self.say(tag + b" BAD only FETCH")
            return
        items = b" ".join(arguments[2:]).upper()
        for uid, message in enumerate(self.selected, 1):
            if not self.matches(uid, arguments[1]):
                continue
            if b"BODY" in items and not message.is_fetchable:
                self.say(tag + b" NO [SERVERBUG] this message cannot be had")
                return
            self.say(b"* %d FETCH (UID %d%s)" % (uid, uid, self.fetch(items, message)))
        self.ok(tag)

    @staticmethod
    def matches(uid, uid_set):
        for part in uid_set.split(b","):
            first, _, last = part.partition(b":")
            low, high = (2 ** 32 if end == b"*" else int(end) for end in (first, last or first))
            if min(low, high) <= uid <= max(low, high):
                return True
        return False

    def fetch(self, items, message):
        answer = b""
        if b"FLAGS" in items:
            answer += b" FLAGS ()"
        if b"INTERNALDATE" in items:
            date = time.strftime("%d-%b-%Y %H:%M:%S +0000", time.gmtime(message.date))
            answer += b' INTERNALDATE "%s"' % date.encode()
        if b"RFC822.SIZE" in items:
            size = len(message.content) if message.announced is None else message.announced
            answer += b" RFC822.SIZE %s" % str(size).encode()
        if b"ENVELOPE" in items:
            answer += b" ENVELOPE " + envelope(message.content)
        for start, length in re.findall(rb"BODY\.PEEK\[\](?:<(\d+)\.(\d+)>)?", items):
            content, origin = message.content, b""
            if length:
                content = content[int(start):int(start) + int(length)]
                origin = b"<" + start + b">"
            answer += b" BODY[]%s {%d}\r\n%s" % (origin, len(content), content)
            self.count(len(content))
        return answer

    def count(self, size):
        pass


def envelope(content):
    """RFC 3501 7.4.2, well enough: date, subject, one sender, Message-ID."""
    letter = email.message_from_bytes(content, policy=email.policy.compat32)

    def string(value):
        if value is None:
            return b"NIL"
        value = str(value).encode("utf-8", "surrogateescape").replace(b"\0", b"")
        return b"{%d}\r\n%s" % (len(value), value)

    people = b"NIL"
    if letter["From"] is not None:
        name, address = email.utils.parseaddr(str(letter["From"]))
        mailbox, _, host = address.partition("@")
        people = b"((%s NIL %s %s))" % (string(name or None), string(mailbox), string(host))
    return b"(%s %s %s %s %s NIL NIL NIL NIL %s)" % (
        string(letter["Date"]), string(letter["Subject"]), people, people, people,
        string(letter["Message-ID"]))
