"""A first copy of a mailbox over POP3: cp -r through mailfs, mpop, and a bare client that sends its
commands ahead."""

import shutil

from bench import mpop
from bench.corpus import POP3_USER
from bench.rows_copy import FLOOR, Copying
from bench.timing import timed
from lab.process import LabError


def pop3(stage):
    """On loopback."""
    return Pop3Copying(stage, stage.dovecot.ports["pop3s"], "cold `cp -r` over POP3").lines()


def pop3_far(stage):
    """At a round trip of 50 ms."""
    return Pop3Copying(stage, stage.far("pop3s"), "cold `cp -r` over POP3 at 50 ms").lines()


class Pop3Copying(Copying):
    user = POP3_USER
    rivals = (("mpop", 0.6), (FLOOR, 1.4))

    def new_mount(self, port):
        url = f"pop3s://{self.user}@localhost:{port or self.stage.dovecot.ports['pop3s']}"
        return self.stage.new_mount(self.user, imap=None, pop3=url)

    def fetch(self, port):
        return self.stage.fetch_pop3(self.user, port)

    def others(self):
        return (self.mpop,)

    def mpop(self):
        directory = self.stage.scratch()
        command = mpop.configure(directory, self.stage.dovecot, self.user, self.port)
        self.stage.warm(self.user)
        seconds, _ = timed(*command, timeout=self.stage.patience)
        if mpop.count(directory) != self.stage.scale.mixed:
            raise LabError(f"mpop brought {mpop.count(directory)} messages")
        shutil.rmtree(directory)
        return {"mpop": seconds}
