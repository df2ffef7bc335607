"""A server whose one folder has a million messages, of which only the listing exists.

Plain text (tls=off), any login, no CONDSTORE: a client must look at every row, also the second time.
"""

import re
import threading
import time

from lab.imap_stub import Connection, Server
from lab.samples import EPOCH, MINUTE, PEOPLE, SUBJECTS, encoded_word

BATCH = 1_000
ITEMS = (b"FLAGS", b"INTERNALDATE", b"RFC822.SIZE", b"ENVELOPE")


class Million:
    """`with Million(rows) as server:` serves INBOX on server.port."""

    def __init__(self, rows):
        self.rows = rows

    def __enter__(self):
        class Handler(Listing):
            folders = {b"INBOX": range(self.rows)}

        self._server = Server(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()


def quoted(text):
    return b'"' + re.sub(r'(["\\])', r"\\\1", text).encode() + b'"'


def templates(items):
    """Answers for messages in turn; {n} is where the number goes."""
    made = []
    for number in range(len(PEOPLE) * len(SUBJECTS)):
        name, address = PEOPLE[number % len(PEOPLE)]
        mailbox, _, host = address.partition("@")
        sender = b"((%s NIL %s %s))" % (quoted(encoded_word(name)), quoted(mailbox), quoted(host))
        subject = quoted(encoded_word(SUBJECTS[number % len(SUBJECTS)]))
        when = time.gmtime(EPOCH + number * MINUTE)
        values = {
            b"FLAGS": rb"(\Seen)" if number % 3 else b"()",
            b"INTERNALDATE": time.strftime('"%d-%b-%Y %H:%M:%S +0000"', when).encode(),
            b"RFC822.SIZE": b"%d" % (2_000 + 37 * number),
            b"ENVELOPE": b'("%s" %s %s %s %s NIL NIL NIL NIL "<row.{n}@example.org>")' % (
                time.strftime("%a, %d %b %Y %H:%M:%S +0000", when).encode(), subject, *[sender] * 3),
        }
        told = b"".join(b" %s %s" % (item, values[item]) for item in ITEMS if item in items)
        made.append((b"* {n} FETCH (UID {n}%s)\r\n" % told).replace(b"%", b"%%").replace(b"{n}", b"%(n)d"))
    return made


class Listing(Connection):
    def do_UID(self, tag, arguments):
        command = arguments[0].upper()
        if command == b"FETCH":
            self.tell(self.ranges(arguments[1]), b" ".join(arguments[2:]).upper())
        elif command == b"SEARCH":
            self.say(b"* SEARCH " + b" ".join(b"%d" % (uid + 1) for uid in self.selected))
        else:
            self.say(tag + b" BAD only FETCH and SEARCH")
            return
        self.ok(tag)

    def ranges(self, uid_set):
        """A UID set as ranges of what is there. UIDs are 1 to the folder's size; * is the last."""
        size = len(self.selected)
        for part in uid_set.split(b","):
            first, _, last = part.partition(b":")
            ends = [size if end == b"*" else int(end) for end in (first, last or first)]
            yield range(max(1, min(ends)), min(size, max(ends)) + 1)

    def tell(self, ranges, items):
        answers = templates(items)
        for uids in ranges:
            for start in range(0, len(uids), BATCH):
                self.wfile.write(b"".join(answers[uid % len(answers)] % {b"n": uid}
                                          for uid in uids[start:start + BATCH]))
