"""What every row stands on: mailboxes, their server, the long line, mounts, files on ext4.

A stage lies in one directory. Mailboxes and the files they are compared with are made when a row
first asks for them, and may be kept for the next run; all else is gone with close().
"""

import contextlib
import fcntl
import hashlib
import inspect
import os
import shutil
import subprocess
import tempfile

from bench import corpus, disk, floor
from bench.proxy import Proxy
from bench.timing import clock, drop_caches
from lab import process, samples
from lab.dovecot import PASSWORD, Dovecot
from lab.mount import MAILFS, Mount, message_of

DELAY_MS = 25
ROUND_TRIP = 2 * DELAY_MS / 1000


def kept_directory(name):
    """One that a later run finds again, of this user alone, in use by one run at a time."""
    path = os.path.join(tempfile.gettempdir(), f"mailfs-bench-{name}")
    with contextlib.suppress(FileExistsError):
        os.mkdir(path)
    if os.path.islink(path) or os.stat(path).st_uid != os.getuid():
        raise process.LabError(f"{path} is somebody else's")
    return path


def lock(directory):
    """Held until it is closed."""
    file = open(os.path.join(directory, "lock"), "w", encoding="ascii")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.close()
        raise process.LabError(f"another run uses {directory}") from error
    return file


class Stage:
    def __init__(self, scale, rounds, kept=None, own_disk=True):
        """`kept`: the name of a directory that is kept; None: nothing is."""
        if not os.access(MAILFS, os.X_OK):
            raise process.LabError(f"no program to measure at {MAILFS} (MAILFS=... names it)")
        self.scale, self.rounds, self.patience = scale, rounds, scale.patience
        self.is_kept = kept is not None
        self._base = kept_directory(kept) if kept else tempfile.mkdtemp(prefix="mailfs-bench-")
        os.chmod(self._base, 0o711)
        self._lock = lock(self._base)
        self._far = {}
        self._mounts = []
        disk.end(self._base)  # of a run before that was killed
        self.disk = disk.Disk(self._base, scale.disk if own_disk else None)
        self.directory = self.disk.path
        self._run = os.path.join(self.directory, "run")
        self._filled = os.path.join(self.directory, "filled")
        for left in (self._run, os.path.join(self.directory, "dovecot", "run")):
            shutil.rmtree(left, ignore_errors=True)
        for directory in (self._run, self._filled):
            os.makedirs(directory, exist_ok=True)
        self.dovecot = Dovecot(self.directory, dict.fromkeys(corpus.USERS, PASSWORD))
        try:
            self.dovecot.start()
        except BaseException:
            self.close()
            raise
        self.port = self.dovecot.ports["imaps"]

    def close(self):
        """Everything that was started ends."""
        self.clear()
        for proxy in self._far.values():
            proxy.stop()
        if self.is_kept:
            self.dovecot.stop()  # with its indexes in order
        self.disk.end()
        self._lock.close()
        if not self.is_kept:
            process.remove(self._base)

    # --- the server ------------------------------------------------------------------------------

    def far(self, protocol="imaps"):
        """The port at the other end of the long line to the server's port for the protocol."""
        if protocol not in self._far:
            self._far[protocol] = Proxy(self.dovecot.ports[protocol], self._run, DELAY_MS)
        return self._far[protocol].port

    def fetch(self, user, folder=corpus.FOLDER, items=floor.BODIES, port=None):
        return floor.fetch(self.dovecot, user, port or self.port, folder, items, self.patience)

    def fetch_pop3(self, user, port=None):
        return floor.fetch_pop3(self.dovecot, user, port or self.dovecot.ports["pop3s"], self.patience)

    def warm(self, user):
        """All bodies of the user's folder are in memory, on the server's side and as files."""
        folder = corpus.folder_of(user)
        for path in (os.path.join(self.dovecot.maildir(user), folder, "cur"),
                     os.path.join(self.reference(user), folder)):
            process.run(["find", path, "-type", "f", "-exec", "cat", "{}", "+"], self.patience,
                        stdout=subprocess.DEVNULL)

    def cool(self, user):
        """The server knows the user's mail no more than if it had come by file: no index, nothing of
        it in memory. UIDs stay."""
        self.dovecot.stop()
        for directory, _, names in os.walk(self.dovecot.maildir(user)):
            for name in names:
                if name.startswith("dovecot.index"):
                    os.unlink(os.path.join(directory, name))
        drop_caches()
        self.dovecot.start()

    # --- mail ------------------------------------------------------------------------------------

    def fill(self, user):
        """The user's mailbox is there and the server has read it."""
        mark = os.path.join(self._filled, user)
        made_by = hashlib.sha256("".join(
            [repr(self.scale), inspect.getsource(corpus), inspect.getsource(samples)]).encode())
        with contextlib.suppress(FileNotFoundError), open(mark, encoding="ascii") as file:
            if file.read() == made_by.hexdigest():
                return
        shutil.rmtree(self.reference(user), ignore_errors=True)
        shutil.rmtree(self.dovecot.maildir(user), ignore_errors=True)
        corpus.fill(self.dovecot.maildir(user), user, self.scale)
        for folder in corpus.USERS[user](self.scale):
            for items in (floor.LISTING, floor.BODIES):
                self.fetch(user, folder, items)
        with open(mark, "w", encoding="ascii") as file:
            file.write(made_by.hexdigest())

    def forget(self, user):
        """The next fill() begins anew: for mailboxes that a row changes."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(self._filled, user))

    def reference(self, user):
        return os.path.join(self.directory, "reference", user)

    def files(self, user, mount):
        """The same messages as files of this file system, under the names that `mount` shows; returns
        the path that corresponds to the mount's folder."""
        folder = corpus.folder_of(user)
        path = os.path.join(self.reference(user), folder)
        if os.path.isdir(path):
            return path
        making = path + ".new"
        shutil.rmtree(making, ignore_errors=True)
        os.makedirs(making)
        sources = corpus.files_by_id(self.dovecot.maildir(user), folder)
        for name in mount.ls(folder, timeout=self.patience):
            shutil.copy2(sources.pop(message_of(name)), os.path.join(making, name))
        if sources:
            raise process.LabError(f"{len(sources)} messages are not listed by the mount")
        os.sync()
        os.rename(making, path)
        return path

    # --- mounts and scratch space ----------------------------------------------------------------

    def scratch(self):
        return tempfile.mkdtemp(dir=self._run)

    def new_mount(self, user, port=None, **options):
        """Not started, nothing in its cache."""
        mount = Mount(self.scratch(), **{
            "imap": f"imaps://{user}@localhost:{port or self.port}", "password": PASSWORD,
            "ca_file": self.dovecot.certificates.ca, **options})
        self._mounts.append(mount)
        return mount

    def start(self, mount):
        """Returns the seconds until mailfs returned."""
        return clock(lambda: mount.start(timeout=self.patience))

    def mount(self, user, port=None, **options):
        mount = self.new_mount(user, port, **options)
        self.start(mount)
        return mount

    def clear(self):
        """No mount is left, also of a row that failed."""
        while self._mounts:
            self.discard(self._mounts[-1])

    def discard(self, mount):
        self._mounts.remove(mount)
        mount.clean_up()
        shutil.rmtree(mount.directory, ignore_errors=True)
