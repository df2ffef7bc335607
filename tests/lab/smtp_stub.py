#!/usr/bin/env python3
"""A submission server that fails on command: what no Postfix will do when it is told to.

It takes letters for anybody on a loopback port and keeps what it ACCEPTED: the letter, who got it,
and whether the client could know. How it fails is a list of words, changed at any time:

    STEP:ACTION[%N]   STEP is greeting, EHLO, STARTTLS, AUTH, MAIL, RCPT, DATA, BDAT, dot (the answer
                      to the whole letter, also of BDAT LAST), RSET, QUIT; RCPT2 is the second
                      recipient of a letter. %N: only in N of a hundred cases, by the seed.
        CODE              that code; CODE/X.Y.Z with that enhanced code; 421 also closes
        close             the connection ends without an answer
        cut               the same, after half an answer
        garble            an answer that is none
        stall             no answer; the connection is closed at last
        lose              (dot) the letter is taken, and the connection ends without an answer
        lose-late         the same, after a stall
        lose-garble       the same, and the answer is none
    no:EXTENSION      PIPELINING, CHUNKING, 8BITMIME, SMTPUTF8, SIZE, DSN or ENHANCEDSTATUSCODES is
                      not offered
    size:BYTES        as many are taken
    pieces            answers come in pieces of any size

As a program: `smtp_stub.py [--seed N] [--stall SECONDS] [--certificate FILE --key FILE [--starttls]]`
says `port N`, and takes one command a line: `fail WORD...` (none: healthy), `letters`, `tries`. Each
is answered by lines, the last of them a single dot.
"""

import argparse
import base64
import email.parser
import hashlib
import random
import re
import socket
import socketserver
import ssl
import sys
import threading
from dataclasses import dataclass, field

EXTENSIONS = ("PIPELINING", "CHUNKING", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES", "DSN", "SIZE")
SIZE_LIMIT = 10_000_000
TEXTS = {4: "4.3.0 not now", 5: "5.0.0 never", 2: "2.0.0 as you wish", 3: "go on"}
USUAL = {"421": "421 4.3.2 closing down", "450": "450 4.2.1 mailbox busy",
         "452": "452 4.5.3 too many recipients", "535": "535 5.7.8 no such login",
         "454": "454 4.7.0 try later", "550": "550 5.1.1 no such mailbox",
         "502": "502 5.5.1 not implemented", "503": "503 5.5.1 bad sequence"}


class Gone(Exception):
    """The connection is over."""


@dataclass
class Accepted:
    content: bytes
    sender: str
    recipients: list
    is_told: bool  # the client could read so
    failures: tuple = field(default=())  # as they were then

    @property
    def header(self):
        return email.parser.BytesHeaderParser().parsebytes(self.content)


class SmtpStub:
    """`with SmtpStub() as stub:` serves on stub.port; `stub.failures = ["MAIL:421", ...]`."""

    def __init__(self, seed=0, stall=30, certificate=None, key=None, starttls=False, port=0):
        self.failures = []
        self.stall = stall
        self.accepted = []
        self.connections = 0
        self.commands = []  # the names of all that came
        self.starttls = starttls
        self.lock = threading.Lock()
        self._random = random.Random(seed)
        self._ended = threading.Event()
        self.context = None
        if certificate:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(certificate, key)
        stub = self

        class Handler(Connection):
            server_state = stub

        self._server = Server(("127.0.0.1", port), Handler)
        self.port = self._server.server_address[1]

    def __enter__(self):
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self._ended.set()
        self._server.shutdown()
        self._server.server_close()

    def chance(self, percent):
        with self.lock:
            return self._random.randrange(100) < percent

    def pieces(self, data):
        """`data` cut anywhere."""
        while data:
            with self.lock:
                size = self._random.randint(1, len(data))
            yield data[:size]
            data = data[size:]

    def action(self, step, number=0):
        """What happens there now: an action's word, or None."""
        for word in list(self.failures):
            name, _, action = word.partition(":")
            action, _, percent = action.partition("%")
            if name in (step, f"{step}{number}") and self.chance(int(percent or 100)):
                return action
        return None

    def offers(self, extension):
        return f"no:{extension}" not in self.failures

    @property
    def size_limit(self):
        sizes = [int(word[5:]) for word in list(self.failures) if word.startswith("size:")]
        return sizes[0] if sizes else SIZE_LIMIT

    def wait_stall(self):
        self._ended.wait(self.stall)


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 100

    def handle_error(self, request, client_address):
        pass  # a client that went away


class Connection(socketserver.BaseRequestHandler):
    """One client. Commands are methods named do_COMMAND(argument)."""

    server_state = None

    def handle(self):
        self.state = self.server_state
        with self.state.lock:
            self.state.connections += 1
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        self.is_secure, self.is_heard, self.takes_chunks = False, True, False
        try:
            if self.state.context and not self.state.starttls:
                self.secure()
            self.reset()
            if self.answer("greeting", "220 stub ESMTP"):
                while self.one_command():
                    pass
        except (Gone, OSError):
            pass
        finally:
            try:
                self.request.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            self.request.close()

    def secure(self):
        self.request = self.state.context.wrap_socket(self.request, server_side=True)
        self.is_secure = True
        self.buffer = b""

    def reset(self):
        self.sender, self.recipients, self.named, self.chunks = None, [], 0, b""
        self.is_spoiled = False  # a chunk was refused: all further ones are

    # --- bytes -----------------------------------------------------------------------------------

    def receive(self):
        data = self.request.recv(65536)
        if not data:
            raise Gone
        self.buffer += data

    def line(self):
        while b"\n" not in self.buffer:
            self.receive()
        line, _, self.buffer = self.buffer.partition(b"\n")
        return line.rstrip(b"\r")

    def bytes(self, count):
        parts, wanted = [], count
        while len(self.buffer) < wanted:
            wanted -= len(self.buffer)
            parts.append(self.buffer)
            self.buffer = b""
            self.receive()
        parts.append(self.buffer[:wanted])
        self.buffer = self.buffer[wanted:]
        return b"".join(parts)

    def say(self, text):
        data = text.replace("\n", "\r\n").encode() + b"\r\n"
        if "pieces" in self.state.failures:
            for piece in self.state.pieces(data):
                self.request.sendall(piece)
        else:
            self.request.sendall(data)

    # --- answers ---------------------------------------------------------------------------------

    def worded(self, code):
        """The whole reply for `550` or `550/5.4.5`."""
        code, _, enhanced = code.partition("/")
        text = f"{code} {enhanced} told to say so" if enhanced else \
            USUAL.get(code, f"{code} {TEXTS[int(code[0])]}")
        if not self.state.offers("ENHANCEDSTATUSCODES"):
            text = re.sub(r"^(\d+) \d\.\d+\.\d+", r"\1", text)
        return text

    def answer(self, step, reply, number=0):
        """Says `reply`, or what was commanded instead: then it tells False. Gone: nothing can
        follow."""
        action = self.state.action(step, number)
        if action is None:
            self.say(self.plain(reply))
            return True
        self.fail(action, reply)
        return False

    def plain(self, reply):
        if self.state.offers("ENHANCEDSTATUSCODES"):
            return reply
        return re.sub(r"(?m)^(\d+[ -])\d\.\d+\.\d+ ", r"\1", reply)

    def fail(self, action, reply):
        if action in ("close", "lose"):
            raise Gone
        if action in ("stall", "lose-late"):
            self.state.wait_stall()
            raise Gone
        if action == "cut":
            self.request.sendall(reply.encode()[:2])
            raise Gone
        # At what is no answer who pipelines has given up, and reads nothing of what is said later.
        if action in ("garble", "lose-garble") or action[0] in "123":
            self.is_heard = False
        if action in ("garble", "lose-garble"):
            self.say("*** what? ***")
            return
        self.say(self.worded(action))
        if action.startswith("421"):
            raise Gone

    # --- commands --------------------------------------------------------------------------------

    def one_command(self):
        name, _, argument = self.line().decode("utf-8", "surrogateescape").partition(" ")
        name = name.upper()
        with self.state.lock:
            self.state.commands.append(name)
        method = getattr(self, f"do_{name}", None)
        if method is None:
            self.say("500 5.5.2 no such command")
            return True
        return method(argument) != "end"

    def do_EHLO(self, _):
        self.reset()
        self.takes_chunks = self.state.offers("CHUNKING")
        offered = [name if name != "SIZE" else f"SIZE {self.state.size_limit}"
                   for name in EXTENSIONS if self.state.offers(name)]
        if self.state.context and not self.is_secure:
            offered.append("STARTTLS")
        offered.append("AUTH PLAIN LOGIN")
        lines = ["stub greets you", *offered]
        self.answer("EHLO", "\n".join(f"250{' ' if last else '-'}{line}" for line, last in zip(
            lines, [False] * (len(lines) - 1) + [True])))

    def do_HELO(self, _):
        self.reset()
        self.say("250 stub")

    def do_STARTTLS(self, _):
        if not self.state.context or self.is_secure:
            self.say("503 5.5.1 not here")
        elif self.answer("STARTTLS", "220 2.0.0 ready"):
            self.secure()

    def do_AUTH(self, argument):
        mechanism, _, initial = argument.partition(" ")
        if mechanism.upper() == "LOGIN":
            for prompt in (b"Username:", b"Password:")[1 if initial else 0:]:
                self.say("334 " + base64.b64encode(prompt).decode())
                self.line()
        elif not initial:
            self.say("334 ")
            self.line()
        self.answer("AUTH", "235 2.7.0 welcome")

    def do_MAIL(self, argument):
        if self.sender is not None:
            self.say("503 5.5.1 one letter at a time")
            return
        address = re.match(r"(?i)from:<([^>]*)>(.*)", argument)
        size = re.search(r"(?i) SIZE=(\d+)", argument)
        if not address:
            self.say("501 5.5.4 whose?")
        elif size and self.state.offers("SIZE") and int(size[1]) > self.state.size_limit:
            self.say("552 5.3.4 too large")
        elif self.answer("MAIL", "250 2.1.0 go on"):
            self.sender = address[1]

    def do_RCPT(self, argument):
        address = re.match(r"(?i)to:<([^>]*)>", argument)
        self.named += 1
        if self.sender is None:
            self.say("503 5.5.1 MAIL first")
        elif not address:
            self.say("501 5.5.4 to whom?")
        elif self.answer("RCPT", "250 2.1.5 go on", self.named):
            self.recipients.append(address[1])

    def do_DATA(self, _):
        if not self.recipients:
            self.say("503 5.5.1 no recipients")
        elif self.answer("DATA", "354 go on"):
            lines = []
            while (line := self.line()) != b".":
                lines.append(line.removeprefix(b"."))
            self.take(b"".join(line + b"\r\n" for line in lines))

    def do_BDAT(self, argument):
        size, _, last = argument.partition(" ")
        chunk = self.bytes(int(size))
        if not self.recipients or self.is_spoiled or not self.takes_chunks:
            self.is_spoiled = True
            self.say("503 5.5.1 no recipients")
            return
        self.chunks += chunk
        if last.upper() == "LAST":
            action = self.state.action("BDAT")
            if action is None:
                self.take(self.chunks)
            else:
                self.is_spoiled = True
                self.fail(action, "250 2.0.0 taken")
        else:
            self.is_spoiled = not self.answer("BDAT", f"250 2.0.0 {size} bytes")

    def take(self, content):
        """The whole letter is here: what becomes of it."""
        action = self.state.action("dot")
        letter = Accepted(content, self.sender, self.recipients, action is None,
                          tuple(self.state.failures))
        self.reset()
        if len(content) > self.state.size_limit:
            self.say("552 5.3.4 too large")
        elif action is None:
            self.keep(letter)
            self.confirm(letter)
        else:
            if action.startswith("lose"):
                self.keep(letter)
            self.fail(action, "250 2.0.0 taken")

    def keep(self, letter):
        with self.state.lock:
            self.state.accepted.append(letter)

    def confirm(self, letter):
        letter.is_told = self.is_heard
        try:
            self.say(self.plain("250 2.0.0 taken"))
        except OSError:
            letter.is_told = False
            raise

    def do_NOOP(self, _):
        self.say("250 2.0.0 still here")

    def do_RSET(self, _):
        self.reset()
        self.answer("RSET", "250 2.0.0 forgotten")

    def do_QUIT(self, _):
        self.answer("QUIT", "221 2.0.0 goodbye")
        return "end"


def rows(stub):
    """A line for each accepted letter, fields separated by tabs: told or lost, Message-ID, Subject,
    recipients, bcc if it has such a field, SHA-256."""
    with stub.lock:
        letters = list(stub.accepted)
    for letter in letters:
        header = letter.header
        yield "\t".join([
            "told" if letter.is_told else "lost", header["Message-ID"] or "", header["Subject"] or "",
            ",".join(letter.recipients), "bcc" if "Bcc" in header or "Resent-Bcc" in header else "-",
            hashlib.sha256(letter.content).hexdigest()])


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--stall", type=float, default=30)
    parser.add_argument("--certificate")
    parser.add_argument("--key")
    parser.add_argument("--starttls", action="store_true")
    given = parser.parse_args()
    with SmtpStub(**vars(given)) as stub:
        print(f"port {stub.port}", flush=True)
        for line in sys.stdin:
            command, *words = line.split()
            if command == "fail":
                stub.failures = words
            elif command == "letters":
                for row in rows(stub):
                    print(row)
            elif command == "tries":
                print(stub.connections)
            print(".", flush=True)


if __name__ == "__main__":
    main()
