"""Resident memory of the daemon after it listed a folder that is far larger than that."""

from bench import report
from bench.million import Million
from bench.rows_list import look

GOAL_MIB = 64


def memory(stage):
    rows = stage.scale.rows
    with Million(rows) as server:
        mount = stage.new_mount("alice", imap=f"imap://alice@localhost:{server.port}", tls="off",
                                ca_file=None)
        for what in ("first `ls`", "`ls` after a remount"):
            stage.start(mount)
            seconds = look("ls", f"{mount.path}/INBOX", rows, stage.patience)
            peak = mount.peak_memory() / (1 << 20)
            yield report.Line(f"peak memory, {rows:,} messages, {what}",
                              f"{peak:.1f} MiB", f"took {report.seconds([seconds])}", "",
                              f"≤ {GOAL_MIB} MiB", peak <= GOAL_MIB)
            mount.unmount()
        stage.discard(mount)
