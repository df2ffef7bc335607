"""A first copy of a mailbox: cp -r through mailfs, another program, and the least that anybody must
do."""

import collections
import hashlib
import os
import shutil

from bench import mbsync, report
from bench.corpus import FOLDER, folder_of
from bench.timing import interleave, timed
from lab.process import LabError

FLOOR = "floor + native cp -r"


def copy(stage):
    """On loopback."""
    return ImapCopying(stage, stage.port, "cold `cp -r`").lines()


def copy_far(stage):
    """At a round trip of 50 ms."""
    return ImapCopying(stage, stage.far(), "cold `cp -r` at 50 ms").lines()


class Copying:
    """A subclass says whose mail (`user`), against whom (`rivals`: (name, at most so many times its
    time)), and has a method for each rival that returns {name: seconds}."""

    def __init__(self, stage, port, what):
        self.stage, self.port, self.what = stage, port, what
        self.folder = folder_of(self.user)
        self.is_verified = False
        stage.fill(self.user)
        mount = self.new_mount(None)
        stage.start(mount)
        self.files = stage.files(self.user, mount)
        stage.discard(mount)
        self.fetch(None)  # the server's first answer is not held against whoever asks first

    def lines(self):
        measured = interleave(self.stage.rounds, self.mailfs, *self.others(), self.floor)
        for whom, goal in self.rivals:
            yield report.ratio(f"{self.what}, with the mount", measured["mailfs"], measured[whom], whom,
                               goal)
        for whom, goal in self.rivals:
            yield report.ratio(f"{self.what}, the `cp` alone", measured["cp"], measured[whom], whom)

    def mailfs(self):
        mount = self.new_mount(self.port)
        target = os.path.join(mount.directory, "copy")
        self.stage.warm(self.user)
        mounting = self.stage.start(mount)
        copying = self.cp(os.path.join(mount.path, self.folder), target)
        if not self.is_verified:
            self.verify(target)
        self.stage.discard(mount)
        return {"mailfs": mounting + copying, "cp": copying}

    def floor(self):
        directory = self.stage.scratch()
        self.stage.warm(self.user)
        fetching = self.fetch(self.port).total
        copying = self.cp(self.files, os.path.join(directory, "copy"))
        shutil.rmtree(directory)
        return {FLOOR: fetching + copying}

    def cp(self, source, target):
        return timed("cp", "-r", source, target, timeout=self.stage.patience)[0]

    def verify(self, target):
        """Every message is there, and its bytes are the server's."""
        held = os.path.join(self.stage.dovecot.maildir(self.user), self.folder, "cur")
        if digests(target) != digests(held):
            raise LabError("what was copied is not what the server holds")
        self.is_verified = True


class ImapCopying(Copying):
    user = "mixed"
    rivals = (("mbsync", 0.25), ("mbsync, FSync no", 0.6), (FLOOR, 1.5))

    def new_mount(self, port):
        return self.stage.new_mount(self.user, port)

    def fetch(self, port):
        return self.stage.fetch(self.user, port=port)

    def others(self):
        return self.mbsync, self.mbsync_unsafe

    def mbsync(self, fsync=True, name="mbsync"):
        directory = self.stage.scratch()
        command = mbsync.configure(directory, self.stage.dovecot, self.user, self.port, FOLDER, fsync)
        self.stage.warm(self.user)
        seconds, _ = timed(*command, timeout=self.stage.patience)
        if mbsync.count(directory, FOLDER) != self.stage.scale.mixed:
            raise LabError(f"mbsync brought {mbsync.count(directory, FOLDER)} messages")
        shutil.rmtree(directory)
        return {name: seconds}

    def mbsync_unsafe(self):
        return self.mbsync(False, "mbsync, FSync no")


def digests(directory):
    """{SHA-256 of a file: how often}."""
    found = collections.Counter()
    for entry in os.scandir(directory):
        with open(entry.path, "rb") as file:
            found[hashlib.file_digest(file, "sha256").hexdigest()] += 1
    return found
