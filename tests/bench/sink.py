"""Postfix's smtp-sink: a submission server that takes every letter and forgets it."""

import subprocess
import threading
import time

from lab import process


class Sink:
    """Listens on `port` of its own, in plain text, until stop(); smtp-sink counts what it takes."""

    def __init__(self, directory):
        self.port = process.free_port()
        self.taken = 0
        self._taken_at = 0.0
        self._process = subprocess.Popen(
            ["smtp-sink", "-4", "-c", "-u", "postfix", f"127.0.0.1:{self.port}", "1000"],
            cwd=directory, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, start_new_session=True)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        process.wait_until(lambda: process.is_listening(self.port), 10, "smtp-sink listening")

    def _read(self):
        """Lines end in CR: sess=N quit=N mesg=N."""
        rest = b""
        while data := self._process.stdout.read1(65536):
            *lines, rest = (rest + data).split(b"\r")
            counts = [line.rpartition(b"mesg=")[2] for line in lines if b"mesg=" in line]
            if counts and int(counts[-1]) != self.taken:
                self._taken_at = time.monotonic()
                self.taken = int(counts[-1])

    def time_of(self, total, patience):
        """When the letter of that number was taken, by the monotonic clock."""
        process.wait_until(lambda: self.taken >= total, patience,
                           lambda: f"letter {total} at the sink, which has {self.taken}")
        if self.taken > total:
            raise process.LabError(f"the sink took {self.taken} letters, {total} were sent")
        return self._taken_at

    def stop(self):
        self._process.kill()
        self._process.wait(10)
        self._reader.join(10)
        self._process.stdout.close()
