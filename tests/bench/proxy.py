"""The long line: the program `delay` between clients and a loopback port."""

import os
import signal
import subprocess

from bench.programs import program
from lab import process


class Proxy:
    """Listens on `port` of its own until stop(); `delay_ms` each way, `rate` in bytes a second. Its
    working directory is `directory`, by which a lab finds and ends it."""

    def __init__(self, target, directory, delay_ms=0, rate=None):
        command = [program("delay"), "--target", str(target), "--delay", str(delay_ms)]
        if rate:
            command += ["--rate", str(rate)]
        self._process = subprocess.Popen(command, cwd=directory, stdin=subprocess.DEVNULL,
                                         stdout=subprocess.PIPE, text=True, start_new_session=True)
        self.port = int(self._answer()[1])

    def _answer(self):
        words = self._process.stdout.readline().split()
        if not words:
            raise process.LabError(f"the delay proxy ended with {self._process.wait(10)}")
        return words

    def delivered(self):
        """Bytes so far: (to the server, to the clients)."""
        os.kill(self._process.pid, signal.SIGUSR1)
        words = self._answer()
        return int(words[1]), int(words[3])

    def stop(self):
        self._process.terminate()
        self._process.wait(10)
        self._process.stdout.close()
