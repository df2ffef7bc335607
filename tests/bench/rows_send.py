"""Many letters dropped into the outbox at once, beside msmtp one by one and Postfix's smtp-source.

All send letters of 4 KB, of one recipient each, without TLS and login to the same smtp-sink: neither
is smtp-source's. The time is from the start of the command to the last letter that the sink takes;
for mailfs it has `cp`, the fsync of every letter and the commits of its journal in it.
"""

import contextlib
import os
import shutil
import time

from bench import corpus, report
from bench.proxy import Proxy
from bench.sink import Sink
from bench.timing import clock, interleave
from lab import process
from lab.process import LabError

FROM, TO = "alice@example.org", "bob@example.org"
BYTES = 4_000
# {whom: at most so many times its time}; None: only told
NEAR_GOALS = {"msmtp, one by one": 0.2, "smtp-source -s 2": 1.5, "smtp-source -s 2 -d": None,
              "files with one fsync each": None}
FAR_GOALS = {"msmtp, one by one": 0.2}

MSMTP = """
for letter in "$1"/*; do
  msmtp --file=/dev/null --host=127.0.0.1 --port="$2" --tls=off --auth=off \\
    --from=alice@example.org -- bob@example.org <"$letter" || exit
done
"""


def send(stage):
    """On loopback."""
    return Sending(stage, stage.scale.letters, "", None).lines(NEAR_GOALS)


def send_far(stage):
    """At a round trip of 50 ms. Fewer: msmtp needs eight round trips for each."""
    return Sending(stage, stage.scale.letters_far, " at 50 ms", 25).lines(FAR_GOALS)


class Sending:
    def __init__(self, stage, count, where, delay_ms):
        self.stage, self.count, self.where, self.delay_ms = stage, count, where, delay_ms
        stage.fill("few")

    def lines(self, goals):
        with contextlib.ExitStack() as ends:
            self.letters = self.write_letters()
            ends.callback(shutil.rmtree, self.letters)
            self.sink = Sink(self.letters)
            ends.callback(self.sink.stop)
            self.port = self.sink.port
            if self.delay_ms:
                proxy = Proxy(self.sink.port, self.letters, self.delay_ms)
                ends.callback(proxy.stop)
                self.port = proxy.port
            variants = [self.mailfs, self.msmtp]
            if "smtp-source -s 2" in goals:
                variants += [self.source, self.source_kept, self.durable]
            measured = interleave(self.stage.rounds, *variants)
        what = f"{self.count} letters of 4 KB sent{self.where}"
        for whom, goal in goals.items():
            yield report.ratio(what, measured["mailfs"], measured[whom], whom, goal)
        yield report.ratio(f"{what}, the `cp` alone", measured["cp"], measured["mailfs"],
                           "all until the last is taken")

    def write_letters(self):
        directory = self.stage.scratch()
        os.chmod(directory, 0o711)
        inner = os.path.join(directory, "letters")
        os.mkdir(inner)
        for number, sample in enumerate(corpus.alike(self.count, BYTES - 300)):
            with open(os.path.join(inner, f"letter-{number:04}"), "wb") as file:
                file.write(sample.content)
        return directory

    def timed(self, work):
        """Seconds from now until the sink has taken as many letters more."""
        before = self.sink.taken
        started = time.monotonic()
        work()
        return self.sink.time_of(before + self.count, self.stage.patience) - started

    def mailfs(self):
        mount = self.stage.new_mount("few", smtp=f"smtp://localhost:{self.port}", tls="off",
                                     send_delay=0, **{"from": FROM})
        self.stage.start(mount)
        source = os.path.join(self.letters, "letters")
        copying = 0.0

        def copy():
            nonlocal copying
            copying = clock(lambda: mount.sh('cp -- "$1"/* outbox', source, timeout=self.stage.patience))

        seconds = self.timed(copy)
        process.wait_until(lambda: mount.ls("outbox") == ["failed"], 30, "an empty outbox")
        if mount.ls("outbox/failed"):
            raise LabError("letters lie in outbox/failed")
        self.stage.discard(mount)
        return {"mailfs": seconds, "cp": copying}

    def msmtp(self):
        source = os.path.join(self.letters, "letters")
        return {"msmtp, one by one": self.timed(lambda: process.run(
            ["sh", "-c", MSMTP, "sh", source, str(self.port)], self.stage.patience,
            cwd=self.letters))}

    def source(self, *options):
        seconds = self.timed(lambda: process.run(
            ["smtp-source", "-4", "-s", "2", *options, "-m", str(self.count), "-l", str(BYTES), "-f", FROM,
             "-t", TO, f"127.0.0.1:{self.port}"], self.stage.patience, cwd=self.letters))
        return {" ".join(["smtp-source -s 2", *options]): seconds}

    def source_kept(self):
        return self.source("-d")

    def durable(self):
        """What this disk asks of anyone who writes the letters one after the other to keep them."""
        source, kept = os.path.join(self.letters, "letters"), self.stage.scratch()

        def copy():
            for name in os.listdir(source):
                with open(os.path.join(source, name), "rb") as letter:
                    text = letter.read()
                with open(os.path.join(kept, name), "wb") as file:
                    file.write(text)
                    file.flush()
                    os.fsync(file.fileno())

        seconds = clock(copy)
        shutil.rmtree(kept)
        return {"files with one fsync each": seconds}
