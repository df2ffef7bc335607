"""One mailfs mount of a test: its configuration, cache and state in directories of its own.

Nothing here touches the mount point from the test's own process: a daemon that hangs would take
the test with it. Every look is a command with a time-out.
"""

import glob
import os
import signal
import subprocess

from lab import process

REPOSITORY = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
MAILFS = os.environ.get("MAILFS", os.path.join(REPOSITORY, "build", "tools", "mailfs"))
SANITIZED = os.environ.get("MAILFS_SANITIZED") == "1"
PATIENCE = 4 if SANITIZED else 1  # sanitizers cost that much time

# One record a file, fields and records ended by NUL: names hold no NUL, whatever else they hold.
FIND_FORMAT = r"%P\0%y\0%i\0%s\0%T@\0%C@\0%n\0%m\0%b\0"


def message_of(name):
    """What the name of a message ends in: its UID, a number; over POP3 its ID, which is longer than
    any number of that size."""
    text = name.removesuffix(".eml").rpartition(",")[2]
    return text if len(text) >= 16 else int(text)


class Entry:
    """One line of Mount.tree."""

    def __init__(self, path, kind, inode, size, mtime, ctime, links, mode, blocks):
        self.path, self.kind = path, kind
        self.inode, self.size, self.links, self.blocks = map(int, (inode, size, links, blocks))
        self.mtime, self.ctime = float(mtime), float(ctime)
        self.mode = int(mode, 8)

    @property
    def name(self):
        return os.path.basename(self.path)

    @property
    def uid(self):
        return message_of(self.name)


class Mount:
    """`options` are keys of the configuration file (SPEC 1); None leaves one out."""

    def __init__(self, directory, **options):
        self.directory = directory
        self.path = os.path.join(directory, "mnt")
        self.other = os.path.join(directory, "other")
        self.account = "lab"
        self.environment = {
            "PATH": os.environ["PATH"], "HOME": directory, "LANG": "C.UTF-8",
            **{f"XDG_{kind}_HOME": os.path.join(directory, kind.lower())
               for kind in ("CONFIG", "CACHE", "STATE")},
        }
        self._reports = os.path.join(directory, "sanitizer")
        if SANITIZED:
            for kind in ("ASAN", "UBSAN", "TSAN"):
                given = os.environ.get(f"{kind}_OPTIONS", "")
                self.environment[f"{kind}_OPTIONS"] = f"{given}:log_path={self._reports}"
            self.environment["G_SLICE"] = "always-malloc"
        self.config_file = os.path.join(directory, "config", "mailfs", "config")
        os.makedirs(os.path.dirname(self.config_file), exist_ok=True)
        os.makedirs(self.path, exist_ok=True)
        self.configure(**options)

    # --- configuration ---------------------------------------------------------------------------

    def configure(self, **options):
        if "password" in options:
            options["password_file"] = self._password_file(options.pop("password"))
        lines = [f"{key}={value}\n" for key, value in options.items() if value is not None]
        self.write_config(f"[{self.account}]\n{''.join(lines)}")

    def write_config(self, text, mode=0o600):
        with open(self.config_file, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(self.config_file, mode)

    def _password_file(self, password):
        path = os.path.join(self.directory, "password")
        with open(path, "w", encoding="utf-8") as file:
            file.write(password + "\n")
        os.chmod(path, 0o600)
        return path

    @property
    def cache(self):
        return os.path.join(self.environment["XDG_CACHE_HOME"], "mailfs")

    @property
    def state(self):
        return os.path.join(self.environment["XDG_STATE_HOME"], "mailfs")

    # --- mounting --------------------------------------------------------------------------------

    def mailfs(self, *arguments, timeout=30, **options):
        """Runs the program itself and returns what it said and its exit code."""
        return process.run([MAILFS, *arguments], timeout * PATIENCE, check=False,
                           env=self.environment, **options)

    def program(self, name, *arguments, timeout=30, check=True, **options):
        """mailfsctl or mailfs-sendmail, as the user of this mount."""
        path = os.path.join(os.path.dirname(MAILFS), name)
        return process.run([path, *arguments], timeout * PATIENCE, check=check,
                           **{"env": self.environment, **options})

    def ctl(self, *arguments, **options):
        return self.program("mailfsctl", *arguments, **options)

    def sendmail(self, text, *arguments, **options):
        return self.program("mailfs-sendmail", *arguments, input=text, **options)

    def try_start(self, *options, timeout=30):
        return self.mailfs(*options, self.account, self.path, timeout=timeout)

    def start(self, *options, timeout=30):
        """Mounts; what is returned is the output of a success."""
        done = self.try_start(*options, timeout=timeout)
        if done.returncode != 0:
            raise process.LabError(f"mailfs ended with {done.returncode}: {done.stderr}")
        if not self.is_mounted():
            raise process.LabError(f"mailfs said success and mounted nothing: {done.stderr}")
        return done

    def launch(self, *arguments, stderr=subprocess.PIPE):
        """The program itself, running; with PIPE, communicate() gives what it said."""
        return subprocess.Popen([MAILFS, *arguments], env=self.environment, text=True,
                                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=stderr)

    def launch_second(self):
        """The same account and directories once more, at the mount point `other`."""
        os.makedirs(self.other, exist_ok=True)
        return self.launch(self.account, self.other)

    def is_mounted(self):
        return self.path in process.mounts_below(self.path)

    def pids(self):
        """The daemon, known by its program and its environment. Normally one."""
        mark = f"XDG_STATE_HOME={self.environment['XDG_STATE_HOME']}".encode()
        found = []
        for pid in process.processes():
            try:
                with open(f"/proc/{pid}/environ", "rb") as environ:
                    is_ours = mark in environ.read().split(b"\0")
                program = os.readlink(f"/proc/{pid}/exe").removesuffix(" (deleted)")
                if is_ours and program == os.path.realpath(MAILFS):
                    found.append(pid)
            except OSError:
                continue
        return found

    def unmount(self):
        """fusermount3 -u, and the daemon's end."""
        process.run(["fusermount3", "-u", self.path])
        self.wait_gone()

    def terminate(self, number=signal.SIGTERM):
        process.send_signal(self.pids(), number)
        self.wait_gone()

    def wait_gone(self, timeout=15):
        """A daemon that a sanitizer ended leaves its mount behind: its report is shown then, not
        that the mount is still there."""
        process.wait_until(lambda: not self.pids(), timeout * PATIENCE,
                           lambda: self._reported() or f"end of the daemon; left: {self.pids()}")
        self.check_sanitizer()
        process.wait_until(lambda: not self.is_mounted(), timeout * PATIENCE, "end of the mount")

    def check_sanitizer(self):
        report = self._reported()
        if report:
            raise process.LabError(report)

    def _reported(self):
        """What a sanitizer found in this mount's programs, or "". A daemon has no terminal: it lies
        in files."""
        found = []
        for path in sorted(glob.glob(glob.escape(self._reports) + ".*")):
            with open(path, encoding="utf-8", errors="replace") as report:
                found.append(report.read()[:10_000])
        return "\n".join(found)

    def crash(self):
        """kill -9, then what a user does with the dead mount point."""
        process.send_signal(self.pids(), signal.SIGKILL)
        process.wait_until(lambda: not self.pids(), 10, "the daemon's end")
        process.run(["fusermount3", "-uz", self.path], check=False)

    def clean_up(self):
        """Whatever the test left: an orderly end if that can be had, the end in any case."""
        try:
            self.check_sanitizer()
            if SANITIZED and self.is_mounted():
                self.terminate()
            self.check_sanitizer()
        finally:
            for point in {self.path, self.other} & set(process.mounts_below(self.directory)):
                process.run(["fusermount3", "-uz", point], check=False)
            process.send_signal(self.pids(), signal.SIGKILL)

    def peak_memory(self):
        """VmHWM of the daemon in bytes."""
        [pid] = self.pids()
        with open(f"/proc/{pid}/status", encoding="ascii") as status:
            line = next(line for line in status if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024

    # --- looking ---------------------------------------------------------------------------------

    def run(self, *command, timeout=30, check=True, **options):
        """A command with the mount as its working directory."""
        return process.run(command, timeout * PATIENCE, check=check, cwd=self.path,
                           env={**os.environ, "LC_ALL": "C.UTF-8"}, **options)

    def popen(self, *command):
        """A command in the mount, running; Ctrl-C (SIGINT) ends it, wherever the tests were started
        from. communicate() gives what it said."""
        return subprocess.Popen(["env", "--default-signal=INT", *command], cwd=self.path, text=True,
                                env={**os.environ, "LC_ALL": "C.UTF-8"}, stdin=subprocess.PIPE,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def as_nobody(self, *command, **options):
        """A command as a user who has nothing to do with this mount."""
        return self.run("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", *command,
                        **options)

    def sh(self, script, *arguments, **options):
        return self.run("sh", "-c", script, "sh", *arguments, **options)

    def python(self, script, *arguments, **options):
        return self.run("/usr/bin/python3", "-c", script, *arguments, **options)

    def attribute(self, path, name, check=True):
        """user.mailfs.NAME of a file; without `check`, empty where it has none. getfattr asks for the
        length first, and dies of a value that grew in between."""
        return self.python("import os, sys; sys.stdout.buffer.write(os.getxattr(*sys.argv[1:]))",
                           path, f"user.mailfs.{name}", check=check).stdout

    def ls(self, folder=".", **options):
        return self.run("ls", "-1A", "--", folder, **options).stdout.splitlines()

    def tree(self, folder=".", timeout=60):
        """Every entry below `folder` as find sees it, in the order of the directories."""
        out = self.run("find", f"./{folder}", "-mindepth", "1", "-printf", FIND_FORMAT, timeout=timeout,
                       text=False).stdout.decode("utf-8", "surrogateescape").split("\0")[:-1]
        width = FIND_FORMAT.count("%")
        return [Entry(*out[i:i + width]) for i in range(0, len(out), width)]

    def messages(self, folder, timeout=60):
        """{uid: Entry} of one folder, without its subfolders."""
        return {entry.uid: entry for entry in self.tree(folder, timeout)
                if entry.kind == "f" and "/" not in entry.path}

    def hashes(self, folder=".", timeout=120):
        """{path: SHA-256} of all files below `folder`."""
        out = self.sh('cd -- "$1" && find . -type f -print0 | xargs -0r sha256sum -z', folder,
                      timeout=timeout, text=False).stdout.decode("utf-8", "surrogateescape")
        return {line[66:].removeprefix("./"): line[:64] for line in out.split("\0") if line}

    def read(self, path, timeout=30):
        return self.run("cat", "--", path, timeout=timeout, text=False).stdout

    def first(self, folder="INBOX"):
        """Path of one message of a folder."""
        return f"{folder}/{sorted(self.ls(folder))[0]}"
