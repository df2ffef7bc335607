"""Searching mail whose bodies are here already: in memory, and on disk after a remount."""

from bench import report
from bench.corpus import FOLDER
from bench.timing import drop_caches, interleave, timed
from lab.process import LabError

NEEDLE = "needle0000007"  # in one message of each mailbox
REMOUNT_GOAL = 2


def search(folder, patience):
    seconds, out = timed("grep", "-rlF", NEEDLE, folder, timeout=patience)
    if len(out.splitlines()) != 1:
        raise LabError(f"grep finds {out!r}")
    return seconds


def grep(stage):
    yield from searching(stage, "small", "4 KB", 2.5, REMOUNT_GOAL)
    yield from searching(stage, "wide", "64 KB", 1.2, None)  # "near 1 x"


def searching(stage, user, size, goal, remount_goal):
    stage.fill(user)
    mount = stage.mount(user)
    ours, theirs = f"{mount.path}/{FOLDER}", stage.files(user, mount)
    search(ours, stage.patience)  # the bodies come

    def warm(name, folder):
        search(folder, stage.patience)
        return {name: search(folder, stage.patience)}

    def remounted():
        mount.unmount()
        drop_caches()
        stage.start(mount)
        return {"mailfs": search(ours, stage.patience)}

    def dropped():
        drop_caches()
        return {"ext4": search(theirs, stage.patience)}

    measured = interleave(stage.rounds, lambda: warm("mailfs", ours), lambda: warm("ext4", theirs))
    yield report.ratio(f"`grep -r` again, {size}", measured["mailfs"], measured["ext4"], "ext4", goal)
    measured = interleave(stage.rounds, remounted, dropped)
    yield report.ratio(f"`grep -r` after a remount, {size}", measured["mailfs"], measured["ext4"],
                       "ext4, caches dropped", remount_goal)
    stage.discard(mount)
