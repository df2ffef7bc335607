"""Sample messages, the same ones for the same seed: ordinary mail, and mail meant to hurt.

Each is what an IMAP server would send: bytes with CRLF line ends.
"""

import base64
import email.header
import email.utils
import random
from dataclasses import dataclass, field

# 2026-01-05 08:00 UTC: sample dates count from here, never from the clock.
EPOCH = 1767600000
MINUTE = 60

PEOPLE = [
    ("Alice Smith", "alice@example.org"), ("Bob Miller", "bob@example.org"),
    ("Čeněk Dvořák", "cenek@example.org"), ("Åse Østby", "ase@example.org"),
    ("山田太郎", "taro@example.org"), ("Ελένη", "eleni@example.org"),
    ("Mail Delivery System", "mailer-daemon@example.org"), ("", "noreply@example.org"),
    ("O'Hara, Conor", "conor.ohara@example.org"), ("Project <announce>", "announce@example.org"),
]
SUBJECTS = [
    "Quarterly report", "Re: Quarterly report", "Lunch on Friday?", "Grüße aus Köln",
    "[announce] version 2.4.1 released", "Invoice 2026/0417", "$HOME `sweet` home; rm -rf *",
    "会議の議事録", "Fwd: Fwd: Fwd: photos", "100% done", "Παρακαλώ απαντήστε", "a/b/c ../../etc",
    "Ticket #4711: \"quotes\" and 'more'", "", "Reminder: the library books are due",
    "👍 emoji and e\u0301 combining",
]
WORDS = ("report meeting invoice holiday server letter garden weather coffee schedule mountain river "
         "budget library question answer minutes attachment printer sunrise ticket harbour").split()


@dataclass
class Sample:
    content: bytes
    date: int  # seconds since 1970, for INTERNALDATE
    flags: str = ""  # Maildir letters, sorted: D F P R S T
    needle: str = field(default="", compare=False)  # a word that occurs in this message only


def encoded_word(text):
    return text if text.isascii() else email.header.Header(text, "utf-8", maxlinelen=900).encode()


def header(number, sender, subject, date, extra=()):
    name, address = sender
    lines = [
        f"Return-Path: <{address}>",
        "Received: from mail.example.org by mx.example.org; " + email.utils.formatdate(date),
        f"Date: {email.utils.formatdate(date)}",
        "From: " + email.utils.formataddr((name, address)),
        "To: Alice Smith <alice@example.org>",
        f"Message-ID: <sample.{number}@example.org>",
    ]
    if subject:
        lines.append("Subject: " + encoded_word(subject))
    return "\r\n".join([*lines, *extra]).encode() + b"\r\n"


class Author:
    """Writes message after message; `size` is what an average body measures."""

    def __init__(self, seed=1, size=3000):
        self.random = random.Random(seed)
        self.size = size
        self.number = 0
        text = " ".join(self.random.choice(WORDS) for _ in range(40_000))
        self.text = [text[i:i + 72].strip() for i in range(0, len(text) - 72, 72)]

    def lines(self, size):
        count = max(1, size // 74)
        first = self.random.randrange(len(self.text))
        chosen = (self.text[first:] + self.text * (1 + count // len(self.text)))[:count]
        return "\r\n".join(chosen) + "\r\n"

    def write(self):
        """The next message, dated a few minutes after the one before."""
        self.number += 1
        shape = self.random.choices((self.plain, self.eight_bit, self.with_attachment, self.html),
                                    (5, 2, 2, 1))[0]
        date = EPOCH + self.number * 7 * MINUTE
        sender = self.random.choice(PEOPLE)
        subject = self.random.choice(SUBJECTS)
        size = int(self.size * self.random.uniform(0.2, 1.8))
        needle = f"needle{self.number:07d}"
        content = shape(sender, subject, date, size, needle)
        flags = self.random.choice(("", "", "S", "S", "S", "FS", "RS"))
        return Sample(content, date, flags, needle)

    def plain(self, sender, subject, date, size, needle):
        return header(self.number, sender, subject, date) + (
            f"\r\n{needle}\r\n{self.lines(size)}.\r\n.. a line with dots\r\n").encode()

    def eight_bit(self, sender, subject, date, size, needle):
        return header(self.number, sender, subject, date, (
            "MIME-Version: 1.0", "Content-Type: text/plain; charset=utf-8",
            "Content-Transfer-Encoding: 8bit")) + (
                f"\r\n{needle} žluťoučký kůň\r\n{self.lines(size)}Grüße\r\n").encode()

    def html(self, sender, subject, date, size, needle):
        return header(self.number, sender, subject, date, (
            "MIME-Version: 1.0", "Content-Type: text/html; charset=us-ascii")) + (
                f"\r\n<html><body><p>{needle}</p>\r\n{self.lines(size)}</body></html>\r\n").encode()

    def with_attachment(self, sender, subject, date, size, needle):
        boundary = f"=_part.{self.number}"
        data = base64.encodebytes(self.random.randbytes(size // 2)).replace(b"\n", b"\r\n")
        return header(self.number, sender, subject, date, (
            "MIME-Version: 1.0", f'Content-Type: multipart/mixed; boundary="{boundary}"')) + (
                f"\r\n--{boundary}\r\nContent-Type: text/plain\r\n\r\n{needle}\r\n"
                f"{self.lines(size // 4)}--{boundary}\r\nContent-Type: application/octet-stream\r\n"
                "Content-Disposition: attachment; filename=data.bin\r\n"
                "Content-Transfer-Encoding: base64\r\n\r\n").encode() + data + (
                    f"--{boundary}--\r\n").encode()


def big(size=25_000_000):
    """One message of about `size` bytes."""
    author = Author(seed=25, size=0)
    line = b"A large attachment, line after line, all of the same length, seventy bytes\r\n"
    head = header(0, PEOPLE[0], "Twenty-five megabytes", EPOCH)
    return Sample(head + b"\r\n" + line * (size // len(line)) + author.lines(80).encode(), EPOCH)


def hostile():
    """Messages by what is wrong with them."""
    def with_subject(raw, sender=b"Mallory <mallory@example.org>"):
        return b"From: " + sender + b"\r\nSubject: " + raw + b"\r\n\r\nbody\r\n"

    body = b"\r\nbody\r\n"
    letters = {
        "slash in subject": with_subject(b"../../etc/passwd"),
        "slash in sender": with_subject(b"x", b'"/etc/../.." <../../x@example.org>'),
        "dots only": with_subject(b"..", b'".." <..@example.org>'),
        "leading dash": with_subject(b"-rf --no-preserve-root", b'"-rf" <-rf@example.org>'),
        "NUL in subject": with_subject(b"one\0two"),
        "NUL in encoded word": with_subject(b"=?utf-8?q?one=00two=2F=2E=2E?="),
        "control characters": with_subject(b"bell\x07 escape\x1b[31m del\x7f back\x08space"),
        "encoded controls": with_subject(b"=?utf-8?b?G1szMW0HCg0=?= =?utf-8?q?=0D=0A=0Dx?="),
        "bidi override": with_subject("safe\u202etxt.exe \u2066\u2069 \u200f".encode()),
        "encoded bidi": with_subject(b"=?utf-8?q?safe=E2=80=AEgpj.exe?=",
                                     b"=?utf-8?q?=E2=80=AEecilA?= <m@example.org>"),
        "invisible characters": with_subject("a\u200bb\ufeffc\u00add\U000e0041".encode()),
        "2,000 bytes of subject": with_subject(b"long " * 400),
        "2,000 bytes of wide subject": with_subject(("山" * 700).encode()),
        "2,000 bytes of sender": with_subject(b"x", b"S" * 2000 + b" <s@example.org>"),
        "2,000 combining marks": with_subject(("e" + "\u0301" * 1000).encode()),
        "broken encoded word": with_subject(b"=?utf-8?b?!!!not base64?= =?utf-8?q?=ZZ=?= =?x?"),
        "unknown charset": with_subject(b"=?martian-1?q?caf=E9?="),
        "wrong UTF-8": with_subject(b"\xff\xfe\xc3(\xe2\x82 raw"),
        "encoded wrong UTF-8": with_subject(b"=?utf-8?q?=FF=FE=C3=28?="),
        "newline folded": with_subject(b"first\r\n\tsecond\r\n third"),
        "comma and ID": with_subject(b"x,999999.eml", b"a,1.eml <a@example.org>"),
        "quotes and backslashes": with_subject(b'"\\"\\\\ {5}\r\n {10}', b'"\\"q\\\\" <q@example.org>'),
        "no subject, no sender": b"To: alice@example.org\r\n" + body,
        "empty subject and sender": b"From: \r\nSubject: \r\n" + body,
        "group as sender": b"From: nobody:;\r\nSubject: group\r\n" + body,
        "many senders": b"From: " + b", ".join(b"a%d@example.org" % i for i in range(500)) + body,
        "header repeated": b"Subject: a\r\nSubject: b\r\nFrom: a@example.org\r\nFrom: b@example.org\r\n" + body,
        "1 MB of header": b"".join(b"X-Filler-%05d: %s\r\n" % (i, b"f" * 80) for i in range(10_000))
                          + b"From: m@example.org\r\nSubject: after a megabyte\r\n" + body,
        "1 MB header line": b"Subject: " + b"y" * 1_000_000 + b"\r\n" + body,
        "no header": b"\r\njust a body\r\n",
        "no header at all": b"this is not a header, nor is there an empty line\r\n",
        "header only": b"From: a@example.org\r\nSubject: no body\r\n",
        "empty": b"",
        "one newline": b"\r\n",
        "no final newline": with_subject(b"unfinished")[:-2],
        "NUL in body": with_subject(b"nul body") + b"a\0b\0\0c\r\n",
        "8-bit soup": with_subject(b"soup") + bytes(range(1, 256)) * 40 + b"\r\n",
        "line of 1 MB": with_subject(b"long line") + b"z" * 1_000_000 + b"\r\n",
        "deep MIME": with_subject(b"deep") + b"".join(
            b"--b%d\r\nContent-Type: multipart/mixed; boundary=b%d\r\n\r\n" % (i, i + 1)
            for i in range(200)),
        "IMAP inside": with_subject(b"* 1 FETCH (UID 1)\r\n )") + b"* BYE\r\nA0001 OK done\r\n)\r\n",
        "lone CR and LF": b"From: a@example.org\nSubject: lone\rcr\n\nbody\rmore\nend",
    }
    return {name: Sample(content, EPOCH + i * MINUTE)
            for i, (name, content) in enumerate(letters.items())}
