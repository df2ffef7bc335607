"""New mail: how long after a bare IDLE client does the mount show it?"""

import contextlib
import os
import select
import statistics
import subprocess
import sys
import time

from bench import report
from bench.corpus import alike
from lab.imap_truth import ImapTruth
from lab.process import LabError

GOAL = 0.05  # seconds
SETTLE = 1.5  # until everybody waits for news; Dovecot tells at most twice a second
WATCH = os.path.join(os.path.dirname(os.path.abspath(__file__)), "watch.py")


def news(stage):
    stage.forget("news")
    stage.fill("news")
    for folder, mounts in (("INBOX", 1), ("Lists", 1), ("INBOX", 2)):
        what = f"new mail in {folder}" + (", the later of two mounts" if mounts == 2 else "")
        yield line(what, list(arrivals(stage, folder, mounts)), stage.scale.news)


def line(what, measured, limit):
    """`measured`: (the IDLE client's seconds since delivery, the mount's) of each round."""
    told = [client for client, _ in measured]
    late = [shown - client for client, shown in measured if shown is not None]
    idle = f"IDLE client: {report.seconds(told)} after delivery"
    goal = f"≤ {GOAL * 1000:.0f} ms after it"
    if len(late) < len(measured):
        return report.Line(what, f"not within {limit} s", idle, goal=goal, is_met=False)
    median = statistics.median(late)
    spread = f"{min(late) * 1000:+.0f} to {max(late) * 1000:+.0f}"
    return report.Line(what, f"{median * 1000:+.0f} ms ({spread})", idle, goal=goal, is_met=median <= GOAL)


def arrivals(stage, folder, mounts):
    """Seconds since delivery, (IDLE client, the later of the mounts), a round each. Ends early when a
    mount shows nothing."""
    with contextlib.ExitStack() as stack:
        paths = []
        for _ in range(mounts):
            mount = stage.mount("news")
            stack.callback(stage.discard, mount)
            paths.append(f"{mount.path}/{folder}")
        dovecot = stage.dovecot
        client = stack.enter_context(Watcher("idle", str(stage.port), dovecot.certificates.ca, "news",
                                             dovecot.users["news"], folder))
        watchers = [stack.enter_context(Watcher("files", path)) for path in paths]
        sender = stack.enter_context(ImapTruth(dovecot, "news"))
        for sample in alike(stage.rounds, 3_000):
            time.sleep(SETTLE)
            sender.append(folder, sample.content)
            delivered = time.clock_gettime(time.CLOCK_MONOTONIC)
            told = client.next(stage.patience)
            shown = [watcher.next(stage.scale.news) for watcher in watchers]
            if told is None:
                raise LabError("the IDLE client was not told")
            yield told - delivered, None if None in shown else max(shown) - delivered
            if None in shown:
                return


class Watcher:
    """A watch.py, running."""

    def __init__(self, *arguments):
        self._process = subprocess.Popen([sys.executable, WATCH, *arguments], stdin=subprocess.DEVNULL,
                                         stdout=subprocess.PIPE, text=True)
        if self.next(30) is None:
            self.__exit__()
            raise LabError(f"watch.py {arguments[0]} does not see the folder")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.kill()
        self._process.wait(10)
        self._process.stdout.close()

    def next(self, limit):
        """When the folder grew the next time; None: not within `limit` seconds."""
        ready, _, _ = select.select([self._process.stdout], [], [], limit)
        words = self._process.stdout.readline().split() if ready else []
        return float(words[1]) if words else None
