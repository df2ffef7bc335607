"""What programs that write files see of the outbox, and what comes of it: a row for each.

`$1` is a file with the letter, `$2` the name in the outbox that it is to have. A letter is sound
(it arrives, whole, exactly once, and leaves the outbox as it was) or has no recipient; the row says
with which status and words a program ends that writes one without, and where that lies then.
"""

import os
import re
import tempfile
import unittest

from integration.outbox import OutboxCase
from lab import process

EINVAL = "Invalid argument"
MV_EINVAL = "mv: cannot move '.*' to a subdirectory of itself"
QUIET = ""  # the program does not hear of it: exit 0 and no word

# name: (script, words of a refusal, where the refused letter lies afterwards)
ROWS = {
    "cp": ('cp "$1" "$2"', "cp: failed to close '.*': " + EINVAL, "failed"),
    "cp_p": ('cp -p "$1" "$2"', "cp: failed to close '.*': " + EINVAL, "failed"),
    "cp_reflink": ('cp --reflink=auto --sparse=auto "$1" "$2"', EINVAL, "failed"),
    "mv": ('cp "$1" "$1.moved" && mv "$1.moved" "$2"', EINVAL, "failed"),
    # mv has words of its own for rename's EINVAL.
    "mv_within": ('cp "$1" outbox/.row && mv outbox/.row "$2"', MV_EINVAL, "draft"),
    "ln": ('cp "$1" outbox/.row && ln outbox/.row "$2" && rm outbox/.row', EINVAL, "draft"),
    "install": ('install -m 640 "$1" "$2"', EINVAL, "failed"),
    "tee": ('tee "$2" < "$1" > /dev/null', EINVAL, "failed"),
    "dd": ('dd if="$1" of="$2" bs=16 status=none', EINVAL, "failed"),
    "dd_fsync": ('dd if="$1" of="$2" conv=fsync status=none', EINVAL, "failed"),
    # dash opens in the shell, bash in the process that becomes cat.
    "cat": ('cat "$1" > "$2"', QUIET, "failed"),
    "cat_bash": ('bash -c \'cat "$0" > "$1"\' "$1" "$2"', EINVAL, "failed"),
    "echo": ('text=$(cat "$1"); echo "$text" > "$2"', QUIET, "failed"),
    "subshell": ('(sed 3q "$1"; sed 1,3d "$1"; :) > "$2"', QUIET, "failed"),
    "append": ('{ sed 3q "$1"; sed 1,3d "$1"; } >> "$2"', QUIET, "failed"),
    "descriptor": ('exec 3> "$2"; sed 3q "$1" >&3; sed 1,3d "$1" >&3; exec 3>&-', QUIET, "failed"),
    "pipe": ('cat "$1" | sh -c \'cat > "$0"\' "$2"', QUIET, "failed"),
    "bash": ('bash -c \'{ sed 3q "$0"; echo "$(sed 1,3d "$0")"; } > "$1"\' "$1" "$2"', QUIET, "failed"),
    "rsync": ('rsync "$1" "$2"', EINVAL, "gone"),
    "rsync_a": ('rsync -a "$1" "$2"', EINVAL, "gone"),
    "rsync_inplace": ('rsync --inplace "$1" "$2"', EINVAL, "failed"),
    "python": ('python3 -c "import sys\nfile = open(sys.argv[2], \'w\')\n'
               'file.write(open(sys.argv[1]).read())\nfile.close()" "$1" "$2"', EINVAL, "failed"),
    "python_fsync": ('python3 -c "import os, sys\nwith open(sys.argv[2], \'wb\') as file:\n'
                     '  file.write(open(sys.argv[1], \'rb\').read()); file.flush()\n'
                     '  os.fsync(file.fileno())" "$1" "$2"', EINVAL, "failed"),
    "python_replace": ('python3 -c "import os, sys, tempfile\n'
                       'file = tempfile.NamedTemporaryFile(dir=\'outbox\', delete=False)\n'
                       'file.write(open(sys.argv[1], \'rb\').read()); file.close()\n'
                       'os.replace(file.name, sys.argv[2])" "$1" "$2"', EINVAL, "failed"),
    "python_dot": ('python3 -c "import os, sys, tempfile\n'
                   'file = tempfile.NamedTemporaryFile(dir=\'outbox\', prefix=\'.\', delete=False)\n'
                   'file.write(open(sys.argv[1], \'rb\').read()); file.close()\n'
                   'os.replace(file.name, sys.argv[2])" "$1" "$2"', EINVAL, "draft"),
    "mmap": ('python3 -c "import mmap, os, sys\ntext = open(sys.argv[1], \'rb\').read()\n'
             'file = open(sys.argv[2], \'w+b\'); file.truncate(len(text))\n'
             'view = mmap.mmap(file.fileno(), len(text)); view[:] = text\n'
             'file.close(); view.close()" "$1" "$2"', EINVAL, "failed"),
    "sendfile": ('python3 -c "import os, sys\nfile = open(sys.argv[1], \'rb\')\n'
                 'out = os.open(sys.argv[2], os.O_WRONLY | os.O_CREAT)\n'
                 'while os.sendfile(out, file.fileno(), None, 1 << 20): pass\n'
                 'os.close(out)" "$1" "$2"', EINVAL, "failed"),
    "sort": ('sort -s -k99 -o "$2" "$1"', EINVAL, "failed"),
    "sed_i": ('cp "$1" outbox/.row && sed -i "s/^line/line/" outbox/.row && mv outbox/.row "$2"',
              EINVAL, "draft"),
}


def text_of(word, recipient=True):
    head = "To: bob@example.org" if recipient else "From: alice@example.org"
    lines = "".join(f"line {number} of {word}\n" for number in range(300))
    return f"{head}\nSubject: {word}\n\n{lines}"


class WritersCase(OutboxCase):
    _shared = None

    def shared(self):
        """One mount for all tests of the class that do not need their own."""
        if type(self)._shared is None:
            type(self)._shared = self.new_mount(of_class=True, send_delay=1)
            self._shared.start()
        return self._shared

    def tearDown(self):
        if self._shared is not None:
            self._shared.sh("rm -f outbox/.[!.]* outbox/failed/*")

    def letters(self, user, word):
        """As Dovecot stored them, with plain line ends: asked often, so without a session each time."""
        found = []
        for folder in "new", "cur":
            directory = os.path.join(self.dovecot.maildir(user), "INBOX", folder)
            for name in os.listdir(directory) if os.path.isdir(directory) else []:
                with open(os.path.join(directory, name), "rb") as file:
                    found.append(file.read().replace(b"\r\n", b"\n"))
        return [content for content in found if f"\nSubject: {word}\n".encode() in content]

    def source(self, mount, text):
        handle, path = tempfile.mkstemp(dir=mount.directory)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def assert_arrives(self, word, text=None):
        [letter] = self.arrived("bob", word)
        self.assertEqual(letter.partition(b"\n\n")[2].decode(),
                         (text or text_of(word)).partition("\n\n")[2])


class Writers(WritersCase):
    def check_sound(self, name, script):
        mount, word = self.shared(), f"row-{name}"
        done = mount.sh(script, self.source(mount, text_of(word)), f"outbox/{name}", check=False)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assert_arrives(word)
        process.wait_until(lambda: mount.ls("outbox") == ["failed"], 20,
                           lambda: f"an empty outbox: {mount.ls('outbox')}")
        self.assertEqual(mount.ls("outbox/failed"), [])

    def check_refused(self, name, script, words, lies):
        mount = self.shared()
        source = self.source(mount, text_of(f"none-{name}", recipient=False))
        done = mount.sh(script, source, f"outbox/{name}", check=False)
        if words == QUIET:
            self.assertEqual((done.returncode, done.stderr), (0, ""))
        else:
            self.assertRegex(done.stderr, words)
            self.assertNotEqual(done.returncode, 0)
        if lies == "failed":
            process.wait_until(lambda: mount.ls("outbox/failed"), 10, "a letter in failed/")
            self.assertEqual(len(mount.ls("outbox/failed")), 2)
            self.assertEqual(mount.ls("outbox"), ["failed"])
            [failed] = [entry for entry in mount.ls("outbox/failed") if not entry.endswith(".error")]
            self.assertEqual(mount.read(f"outbox/failed/{failed}").decode(),
                             text_of(f"none-{name}", recipient=False))
        else:
            self.assertEqual(mount.ls("outbox/failed"), [])
            names = mount.ls("outbox")
            names.remove("failed")
            self.assertEqual([entry[0] for entry in names], ["."] if lies == "draft" else [])


def add_row(name, script, words, lies):
    def test(self):
        self.check_sound(name, script)
        self.check_refused(name, script, words, lies)

    setattr(Writers, f"test_{name}", test)


for row, columns in ROWS.items():
    add_row(row, *columns)


if __name__ == "__main__":
    unittest.main()
