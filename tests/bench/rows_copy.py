"""A first copy of a mailbox: cp -r through mailfs, mbsync, and the least that anybody must do."""

import collections
import hashlib
import os
import shutil

from bench import mbsync, report
from bench.corpus import FOLDER
from bench.timing import interleave, timed
from lab.process import LabError

# (whom, at most so many times its time)
RIVALS = (("mbsync", 0.25), ("mbsync, FSync no", 0.6), ("floor + native cp -r", 1.5))


def copy(stage):
    """On loopback."""
    return Copying(stage, stage.port, "").lines()


def copy_far(stage):
    """At a round trip of 50 ms."""
    return Copying(stage, stage.far, " at 50 ms").lines()


class Copying:
    def __init__(self, stage, port, where):
        self.stage, self.port, self.where = stage, port, where
        self.is_verified = False
        stage.fill("mixed")
        mount = stage.mount("mixed")
        self.files = stage.files("mixed", mount)
        stage.discard(mount)
        stage.fetch("mixed")  # the server's first answer is not held against whoever asks first

    def lines(self):
        measured = interleave(self.stage.rounds, self.mailfs, self.mbsync, self.mbsync_unsafe,
                              self.floor)
        what = f"cold `cp -r`{self.where}"
        for whom, goal in RIVALS:
            yield report.ratio(f"{what}, with the mount", measured["mailfs"], measured[whom], whom, goal)
        for whom, goal in RIVALS:
            yield report.ratio(f"{what}, the `cp` alone", measured["cp"], measured[whom], whom)

    def mailfs(self):
        mount = self.stage.new_mount("mixed", self.port)
        target = os.path.join(mount.directory, "copy")
        self.stage.warm("mixed")
        mounting = self.stage.start(mount)
        copying = self.cp(os.path.join(mount.path, FOLDER), target)
        if not self.is_verified:
            self.verify(target)
        self.stage.discard(mount)
        return {"mailfs": mounting + copying, "cp": copying}

    def mbsync(self, fsync=True, name="mbsync"):
        directory = self.stage.scratch()
        command = mbsync.configure(directory, self.stage.dovecot, "mixed", self.port, FOLDER, fsync)
        self.stage.warm("mixed")
        seconds, _ = timed(*command, timeout=self.stage.patience)
        if mbsync.count(directory, FOLDER) != self.stage.scale.mixed:
            raise LabError(f"mbsync brought {mbsync.count(directory, FOLDER)} messages")
        shutil.rmtree(directory)
        return {name: seconds}

    def mbsync_unsafe(self):
        return self.mbsync(False, "mbsync, FSync no")

    def floor(self):
        directory = self.stage.scratch()
        self.stage.warm("mixed")
        fetching = self.stage.fetch("mixed", port=self.port).total
        copying = self.cp(self.files, os.path.join(directory, "copy"))
        shutil.rmtree(directory)
        return {"floor + native cp -r": fetching + copying}

    def cp(self, source, target):
        return timed("cp", "-r", source, target, timeout=self.stage.patience)[0]

    def verify(self, target):
        """Every message is there, and its bytes are the server's."""
        if digests(target) != digests(os.path.join(self.stage.dovecot.maildir("mixed"), FOLDER, "cur")):
            raise LabError("what was copied is not what the server holds")
        self.is_verified = True


def digests(directory):
    """{SHA-256 of a file: how often}."""
    found = collections.Counter()
    for entry in os.scandir(directory):
        with open(entry.path, "rb") as file:
            found[hashlib.file_digest(file, "sha256").hexdigest()] += 1
    return found
