"""Looking at a large folder: for the first time, again, and after a remount."""

from bench import report
from bench.corpus import FOLDER
from bench.floor import LISTING
from bench.timing import drop_caches, interleave, timed
from lab.process import LabError

FIRST_GOAL, AGAIN_GOAL, REMOUNT_GOAL = 1.3, 1.0, 3

# {what: (the command, lines it prints beside one a message)}
COMMANDS = {
    "ls": ('ls "$1" | wc -l', 0),
    "ls -l": ('ls -l "$1" | wc -l', 1),
    "find": ('find "$1" | wc -l', 1),
}


def look(what, folder, count, patience):
    """Seconds of one of COMMANDS, which must see `count` messages."""
    command, beside = COMMANDS[what]
    seconds, out = timed("sh", "-c", command, "sh", folder, timeout=patience)
    if int(out) != count + beside:
        raise LabError(f"{what} shows {out.strip()} lines for {count} messages")
    return seconds


class Listing:
    def __init__(self, stage):
        self.stage = stage
        stage.fill("small")

    def look(self, what, folder):
        return look(what, folder, self.stage.scale.small, self.stage.patience)

    # --- the first time --------------------------------------------------------------------------

    def first(self):
        for state, prepare in (("warm", self.warm_server), ("cold", self.cool_server)):
            measured = interleave(self.stage.rounds, lambda: self.mailfs_first(prepare),
                                  lambda: self.floor_first(prepare))
            what = f"first `ls`, server's cache {state}"
            yield report.ratio(f"{what}, the `ls` alone", measured["ls"], measured["select + fetch"],
                               "floor, EXAMINE and FETCH", FIRST_GOAL)
            yield report.ratio(f"{what}, with the mount", measured["mount + ls"], measured["total"],
                               "floor, from connect on", FIRST_GOAL)

    def warm_server(self):
        self.stage.fetch("small", items=LISTING)

    def cool_server(self):
        self.stage.cool("small")

    def mailfs_first(self, prepare):
        prepare()
        mount = self.stage.new_mount("small")
        mounting = self.stage.start(mount)
        listing = self.look("ls", f"{mount.path}/{FOLDER}")
        self.stage.discard(mount)
        return {"ls": listing, "mount + ls": mounting + listing}

    def floor_first(self, prepare):
        prepare()
        floor = self.stage.fetch("small", items=LISTING)
        return {"select + fetch": floor.select + floor.fetch, "total": floor.total}

    # --- again -----------------------------------------------------------------------------------

    def again(self):
        mount = self.stage.mount("small")
        folders = {"mailfs": f"{mount.path}/{FOLDER}", "ext4": self.stage.files("small", mount)}

        def warm(what, where):
            self.look(what, folders[where])
            return {where: self.look(what, folders[where])}

        for what in COMMANDS:
            measured = interleave(self.stage.rounds, lambda: warm(what, "mailfs"),
                                  lambda: warm(what, "ext4"))
            yield report.ratio(f"`{what}` again", measured["mailfs"], measured["ext4"], "ext4", AGAIN_GOAL)
        measured = interleave(self.stage.rounds, lambda: self.remounted(mount),
                              lambda: self.dropped(folders["ext4"]))
        yield report.ratio("`ls` after a remount", measured["mailfs"], measured["ext4"],
                           "ext4, caches dropped", REMOUNT_GOAL)
        self.stage.discard(mount)

    def remounted(self, mount):
        mount.unmount()
        drop_caches()
        self.stage.start(mount)
        return {"mailfs": self.look("ls", f"{mount.path}/{FOLDER}")}

    def dropped(self, files):
        drop_caches()
        return {"ext4": self.look("ls", files)}


def first_ls(stage):
    return Listing(stage).first()


def ls(stage):
    return Listing(stage).again()
