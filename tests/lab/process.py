"""Processes and ports of one private directory.

Everything a lab starts has its working directory (or its root) below the lab's own directory, and
that is how it is found again: by a later run, after a crash, and without trusting a stale pid file.
"""

import errno
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import time

# Below Linux's default range for outgoing connections: a client that keeps trying a port of that
# range while its server is down can end up connected to itself.
PORTS = range(20000, 32000)


class LabError(Exception):
    """Something the lab needs did not happen; the text says what, and quotes the log."""


def free_port():
    """A loopback port nobody listens on at this moment."""
    while True:
        port = random.SystemRandom().choice(PORTS)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise


def run(command, timeout=30, check=True, **options):
    """subprocess.run with a time-out, no input, and both outputs captured as text."""
    options = {
        "stdin": subprocess.DEVNULL,
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
        "text": "input" not in options or isinstance(options["input"], str),
        **options,
    }
    if "input" in options:
        del options["stdin"]
    done = subprocess.run([os.fspath(word) for word in command], timeout=timeout, **options)
    if check and done.returncode != 0:
        raise LabError(f"{command} ended with {done.returncode}: {done.stderr}")
    return done


def wait_until(condition, timeout, what):
    """Asks `condition` until it answers something true, and returns that."""
    deadline = time.monotonic() + timeout
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > deadline:
            what = what() if callable(what) else what
            raise LabError(f"not within {timeout} s: {what}")
        time.sleep(0.02)


def is_listening(port):
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def tail(path, lines=15):
    try:
        with open(path, encoding="utf-8", errors="replace") as log:
            return "".join(log.readlines()[-lines:])
    except OSError as error:
        return str(error)


def processes():
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def pids_inside(directory):
    """The processes whose working directory or root lies in `directory`."""
    directory = os.path.realpath(directory)
    found = []
    for pid in processes():
        for link in ("cwd", "root"):
            try:
                place = os.readlink(f"/proc/{pid}/{link}").removesuffix(" (deleted)")
            except OSError:
                continue
            if place == directory or place.startswith(directory + "/"):
                found.append(pid)
                break
    return [pid for pid in found if pid != os.getpid()]


def state(pid):
    """The letter of proc(5): R, S, D, Z, T...; None: there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:
            return stat.read().rpartition(")")[2].split()[0]
    except OSError:
        return None


def is_running(pid):
    return state(pid) not in (None, "Z")


def is_stopped(pid):
    return state(pid) in (None, "Z", "T", "t")


def waits_in_open(pid):
    """True while the process waits for a FUSE file system to answer its open()."""
    try:
        with open(f"/proc/{pid}/stack", encoding="ascii", errors="replace") as stack:
            frames = stack.read()
    except OSError:
        return False
    return "request_wait_answer" in frames and "fuse_open" in frames


def send_signal(pids, number):
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass


def kill_inside(directory):
    """Ends what runs inside `directory` at once."""
    def remaining():
        pids = pids_inside(directory)
        send_signal(pids, signal.SIGKILL)
        return [pid for pid in pids if is_running(pid)]

    wait_until(lambda: not remaining(), 10, lambda: f"the end of {remaining()}")


def end_inside(directory):
    """Ends a server in an orderly way; what does not listen is killed."""
    send_signal(pids_inside(directory), signal.SIGTERM)
    try:
        wait_until(lambda: not pids_inside(directory), 5, "the end of a server")
    except LabError:
        kill_inside(directory)


def mounts_below(directory):
    """Mount points at or below `directory`, the deepest first. Asks only the kernel's table."""
    directory = os.path.realpath(directory)
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as mounts:
        points = [unescape(line.split()[4]) for line in mounts]
    return sorted((point for point in points
                   if point == directory or point.startswith(directory + "/")), reverse=True)


def unescape(field):
    """mountinfo writes space, tab, newline and backslash in octal."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), field)


def remove(directory):
    """Deletes a lab's directory, unmounting first: rm must never walk into somebody's mail."""
    for point in mounts_below(directory):
        run(["fusermount3", "-uz", point])
    if mounts_below(directory):
        raise LabError(f"something is still mounted below {directory}")
    shutil.rmtree(directory, ignore_errors=True)
