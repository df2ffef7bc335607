"""One message from a server 50 ms away: how many round trips does it cost?"""

import statistics
import time

from bench import report
from bench.stage import ROUND_TRIP
from bench.timing import timed

PAUSE = 0.5  # for what goes on behind, so that the next read is measured alone


def cat(stage):
    stage.fill("few")
    measured = {}
    for _ in range(stage.rounds):
        for name, value in reads(stage).items():
            measured.setdefault(name, []).append(value)
    for name, goal in (("the first after the mount", None), ("folder selected", 1), ("not selected", 2)):
        trips = statistics.median(measured[name]) / ROUND_TRIP
        yield report.Line(f"cold `cat` at 50 ms, {name}", report.seconds(measured[name]),
                          "round trips on the wire", f"{trips:.1f}", f"{goal}" if goal else "",
                          trips < goal + 0.5 if goal else None)


def reads(stage):
    """Seconds of three messages that no read-ahead would guess. All was listed before."""
    mount = stage.mount("few", stage.far())
    names = {folder: sorted(mount.ls(folder, timeout=stage.patience)) for folder in ("Far", "Near")}
    count = stage.scale.few

    def read(folder, number):
        time.sleep(PAUSE)
        path = f"{mount.path}/{folder}/{names[folder][number]}"
        return timed("cat", path, timeout=stage.patience, text=False)[0]

    measured = {"the first after the mount": read("Near", count // 4),
                "folder selected": read("Near", count * 3 // 4),
                "not selected": read("Far", count // 2)}
    stage.discard(mount)
    return measured
