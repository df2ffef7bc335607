"""What programs that write files see of the outbox, and what comes of it: a row for each.

`$1` is a file with the letter, `$2` the name in the outbox that it is to have. A letter is sound
(it arrives, whole, exactly once, and leaves the outbox as it was) or has no recipient; the row says
with which status and words a program ends that writes one without, and where that lies then.
"""

import contextlib
import os
import signal
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
              EINVAL, "draft, and its copy"),
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
            # sed removes its copy as soon as its closing failed: before or after it was found unfit.
            copies = [entry for entry in mount.ls("outbox/failed") if entry.startswith("sed")]
            self.assertEqual(mount.ls("outbox/failed"), copies if lies == "draft, and its copy" else [])
            names = mount.ls("outbox")
            names.remove("failed")
            self.assertEqual([entry[0] for entry in names], ["."] if "draft" in lies else [])


def add_row(name, script, words, lies):
    def test(self):
        self.check_sound(name, script)
        self.check_refused(name, script, words, lies)

    setattr(Writers, f"test_{name}", test)


for row, columns in ROWS.items():
    add_row(row, *columns)



class Specials(WritersCase):
    """What needs more than one row."""

    def state(self, mount, name):
        return mount.run("getfattr", "--only-values", "-n", "user.mailfs.state", f"outbox/{name}",
                         check=False).stdout

    def wait_state(self, mount, name, state):
        process.wait_until(lambda: self.state(mount, name) == state, 20,
                           lambda: f"{name} {state}; it is {self.state(mount, name)}")

    def writer(self, mount, name, script, word):
        """A python that has opened a new letter, written half of it and goes on with `script` as
        soon as it is written to."""
        running = mount.popen(
            "python3", "-c", "import os, signal, sys, time\n"
            "file = open(sys.argv[1], 'wb', 0)\n"
            "file.write(sys.argv[2].encode())\n"
            "print('written', flush=True)\n"
            "sys.stdin.readline()\n" + script, f"outbox/{name}", text_of(word))
        self.addCleanup(running.communicate)
        self.assertEqual(running.stdout.readline(), "written\n")
        return running

    def go_on(self, running):
        running.stdin.write("\n")
        running.stdin.flush()

    def sentinel(self, mount):
        """A letter that was written after all others has arrived."""
        word = f"sentinel-{self._testMethodName}"
        mount.sh('cp "$1" outbox/.sentinel && mv outbox/.sentinel outbox/sentinel',
                 self.source(mount, text_of(word)))
        self.assert_arrives(word)

    def assert_not_sent(self, mount, word):
        self.sentinel(mount)
        self.assertEqual(self.letters("bob", word), [])

    # --- writers that end too early --------------------------------------------------------------

    def assert_failed_killed(self, mount, name, word):
        self.assertIn("was killed before it had finished", self.wait_failed(mount, name))
        self.assertEqual(mount.read(f"outbox/failed/{name}").decode(), text_of(word))
        self.assert_not_sent(mount, word)

    def test_sigkill(self):
        # kill -9 of the writer: what there is lies in failed/, with the reason.
        mount = self.shared()
        running = self.writer(mount, "sigkill", "", "sigkill-test")
        running.kill()
        self.assert_failed_killed(mount, "sigkill", "sigkill-test")

    def test_ctrl_c(self):
        # Ctrl-C reaches the whole foreground group: shell, subshell and what it runs.
        mount = self.shared()
        path = self.source(mount, text_of("sigint-test"))
        running = mount.popen("setsid", "--wait", "sh", "-c",
                              'echo $$; (cat "$1"; sleep 100) > outbox/sigint', "sh", path)
        self.addCleanup(running.communicate)
        group = int(running.stdout.readline())
        process.wait_until(lambda: mount.sh("cat outbox/sigint", check=False).stdout
                           == text_of("sigint-test"), 10, "half a letter")
        os.killpg(group, signal.SIGINT)
        self.assert_failed_killed(mount, "sigint", "sigint-test")

    def test_sigpipe(self):
        # tee ends by SIGPIPE when nobody reads what it passes on: half a letter, not sent.
        mount = self.shared()
        running = mount.popen("sh", "-c", "tee outbox/sigpipe | head -n 1")
        self.addCleanup(running.communicate)
        half = text_of("sigpipe-test")
        running.stdin.write(half)
        running.stdin.flush()
        process.wait_until(lambda: mount.sh("cat outbox/sigpipe", check=False).stdout == half, 10,
                           "half a letter")
        running.stdin.write("and more\n")
        running.stdin.flush()
        self.assertIn("was killed before it had finished", self.wait_failed(mount, "sigpipe"))
        self.assert_not_sent(mount, "sigpipe-test")

    def test_killed_before_its_rename(self):
        # A dot-file whose writer was killed is no letter by another name, nor is it from failed/.
        mount = self.shared()
        for name in ".half", "half":
            running = self.writer(mount, name, "", "killed-rename-test")
            running.kill()
            running.wait()
        self.wait_failed(mount, "half")
        process.wait_until(lambda: self.state(mount, ".half") == "draft", 10, "a draft")
        for old in ".half", "failed/half":
            done = mount.run("mv", f"outbox/{old}", "outbox/renamed", check=False)
            self.assertIn("Operation canceled", done.stderr)
        self.assert_not_sent(mount, "killed-rename-test")

    def test_ulimit(self):
        # The signal of ulimit -f ends cat, and the shell closes the file: half a letter, not sent.
        mount = self.shared()
        done = mount.sh('ulimit -f 8; env --default-signal=XFSZ cat "$1" > outbox/ulimit; exit $?',
                        self.source(mount, text_of("ulimit-test") * 9), check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("was killed before it had finished", self.wait_failed(mount, "ulimit"))
        self.assert_not_sent(mount, "ulimit-test")

    def test_attributes(self):
        # chmod, chown and utimens after close, by path: kept as far as umask= lets them, and the letter
        # goes once.
        mount = self.mount(send_delay=60)
        mount.sh('cp "$1" outbox/letter; chmod 640 outbox/letter; chown $(id -u) outbox/letter;'
                 "touch -m -d @1000000000 outbox/letter", self.source(mount, text_of("attributes-test")))
        self.assertEqual(mount.run("stat", "-c", "%a %Y %h", "outbox/letter").stdout, "600 1000000000 1\n")
        mount.unmount()
        mount.start("-o", "send_delay=0")
        self.assert_arrives("attributes-test")

    def test_touch(self):
        # A new name stays an empty file; a letter within the delay is sent, once.
        mount = self.shared()
        mount.run("touch", "outbox/touched")
        mount.sh('cp "$1" outbox/letter; touch outbox/letter; touch -d 2026-01-05 outbox/letter',
                 self.source(mount, text_of("touch-test")))
        self.assert_arrives("touch-test")
        process.wait_until(lambda: mount.ls("outbox") == ["failed", "touched"], 20, "only the empty file")
        self.assertEqual(self.state(mount, "touched"), "draft")
        mount.run("rm", "outbox/touched")

    def test_exec_with_an_open_file(self):
        # exec closes a file of the outbox while the kernel holds the process's lock: nobody hangs.
        mount = self.shared()
        mount.python("import os, sys\n"
                     "file = os.open('outbox/exec', os.O_WRONLY | os.O_CREAT)\n"
                     "os.write(file, sys.argv[1].encode())\n"
                     "if os.fork() == 0: os.execvp('true', ['true'])\n"
                     "os.wait(); os.close(file)\n", text_of("exec-test"), timeout=10)
        self.assert_arrives("exec-test")

    # --- one name, two letters -------------------------------------------------------------------

    # rsync would take a letter of the same size and second for the same; its rename commits at once.
    WAYS = ('cp "$1" "$2"', 'cat "$1" > "$2"', 'cp "$1" "$1.moved"; mv "$1.moved" "$2"',
            'install -m 600 "$1" "$2"', 'cp --remove-destination "$1" "$2"',
            'dd if="$1" of="$2" status=none', 'tee "$2" < "$1" > /dev/null',
            # These open what is there as it is, and empty it then.
            'sort -s -k99 -o "$2" "$1"', 'truncate -s 0 "$2"; cat "$1" >> "$2"',
            'rsync -I "$1" "$2"')

    def write_all_ways(self, mount, word, ways):
        for number, way in enumerate(ways):
            done = mount.sh(way, self.source(mount, text_of(f"{word}-{number}.")), "outbox/same", check=False)
            self.assertEqual((done.returncode, done.stderr), (0, ""), way)

    def assert_all_arrive(self, mount, word, ways):
        for number in range(len(ways)):
            self.assert_arrives(f"{word}-{number}.")
        process.wait_until(lambda: mount.ls("outbox") == ["failed"], 20, "an empty outbox")
        self.assertEqual(mount.ls("outbox/failed"), [])

    def test_one_name_within_the_delay(self):
        # Whatever writes a name that the letter before still has: all letters go, each as written.
        ways = self.WAYS * 2
        mount = self.mount(send_delay=60)
        self.write_all_ways(mount, "delay", ways)
        mount.unmount()
        mount.start("-o", "send_delay=0")
        self.assert_all_arrive(mount, "delay", ways)

    def test_one_name_while_the_server_is_down(self):
        # The same, where the letters before are on their way already.
        ways = self.WAYS * 2
        mount = self.mount(send_delay=0, smtp=f"smtp://alice@localhost:{process.free_port()}")
        self.write_all_ways(mount, "down", ways)
        mount.unmount()
        mount.start("-o", f"smtp={self.postfix.url('smtp', 'alice')}")
        self.assert_all_arrive(mount, "down", ways)

    def test_changing_what_is_on_its_way(self):
        # What would change a letter that waits for the server, or cut off a closed one by its path,
        # is refused where its caller sees it; the letter goes as it is.
        mount = self.mount(send_delay=0, smtp=f"smtp://alice@localhost:{process.free_port()}")
        mount.sh('cp "$1" outbox/letter', self.source(mount, text_of("change-test")))
        process.wait_until(lambda: self.state(mount, "letter") == "queued", 10, "a letter that waits")
        for way in ("echo more >> outbox/letter", "truncate -s 10 outbox/letter",
                    "echo X | dd of=outbox/letter conv=notrunc status=none",
                    "python3 -c 'import os; os.truncate(\"outbox/letter\", 0)'"):
            done = mount.sh(way, check=False)
            self.assertNotEqual(done.returncode, 0, way)
            self.assertIn("busy", done.stderr, way)
        mount.run("touch", "outbox/letter")
        mount.unmount()
        mount.start("-o", f"smtp={self.postfix.url('smtp', 'alice')}")
        self.assert_arrives("change-test")

    def test_rename_over_a_letter(self):
        # The letter that has the name goes on; so does the one that takes it.
        mount = self.mount(send_delay=60)
        mount.sh('cp "$1" outbox/mail; cp "$2" outbox/.mail; mv outbox/.mail outbox/mail',
                 self.source(mount, text_of("over-first")), self.source(mount, text_of("over-second")))
        self.assert_arrives("over-second")
        self.assertEqual(sorted(mount.ls("outbox")), ["failed", "mail+1"])
        mount.unmount()
        mount.start("-o", "send_delay=0")
        self.assert_arrives("over-first")

    # --- open files ------------------------------------------------------------------------------

    def test_an_unlinked_open_file(self):
        # Removed while it is written: it can be written on and is never sent.
        mount = self.shared()
        running = self.writer(mount, "unlinked", "print(os.fstat(file.fileno()).st_nlink)\n"
                              "file.write(b'more')\nfile.close()\n", "unlinked-test")
        mount.run("rm", "outbox/unlinked")
        said, _ = running.communicate("\n", timeout=20)
        self.assertEqual((said, running.returncode), ("0\n", 0))
        self.assert_not_sent(mount, "unlinked-test")

    def test_a_rename_while_it_is_written(self):
        # It is committed at its close, under its new name.
        mount = self.shared()
        running = self.writer(mount, ".open", "file.write(b'more\\n')\nfile.close()\n", "moved-test")
        mount.run("mv", "outbox/.open", "outbox/moved")
        self.assert_not_sent(mount, "moved-test")
        self.assertEqual(self.state(mount, "moved"), "writing")
        self.go_on(running)
        self.assert_arrives("moved-test", text_of("moved-test") + "more\n")

    def test_mv_onto_what_is_written(self):
        # mv from another file system removes what has the name; that goes on all the same.
        mount = self.shared()
        running = self.writer(mount, "mv", "file.write(b'end\\n')\nfile.close()\n", "mv-open")
        mount.run("mv", self.source(mount, text_of("mv-other")), "outbox/mv")
        self.assertIn("mv+1", mount.ls("outbox"))
        self.assert_arrives("mv-other")
        self.go_on(running)
        self.assert_arrives("mv-open", text_of("mv-open") + "end\n")

    def test_a_file_that_stays_open(self):
        # However long it takes: what is open is not sent, and holds nobody up.
        mount = self.shared()
        running = self.writer(mount, "long", "file.write(b'end\\n')\nfile.close()\n", "long-test")
        for _ in range(3):
            mount.sh('cp "$1" outbox/other', self.source(mount, text_of("long-other")))
            process.wait_until(lambda: mount.ls("outbox") == ["failed", "long"], 20, "the others")
        # Postfix has them; Dovecot will in a moment.
        process.wait_until(lambda: len(self.letters("bob", "long-other")) == 3, 20, "three letters")
        self.assertEqual(self.letters("bob", "long-test"), [])
        self.go_on(running)
        self.assert_arrives("long-test", text_of("long-test") + "end\n")

    def test_two_processes_append(self):
        # One letter with what both wrote, sent when the second closes it.
        mount = self.shared()
        append = 'exec >> outbox/both; while read -r line; do echo "$line"; done'
        writers = [mount.popen("sh", "-c", append) for _ in range(2)]
        lines = text_of("both-test").splitlines(keepends=True)
        for number, line in enumerate(lines[:40]):
            running = writers[number % 2]
            running.stdin.write(line)
            running.stdin.flush()
            written = "".join(lines[:number + 1])
            process.wait_until(lambda written=written: mount.sh("cat outbox/both", check=False).stdout
                               == written, 10, "a line")
        for running in writers:
            running.communicate(timeout=20)
        self.assert_arrives("both-test", "".join(lines[:40]))

    # --- touch, truncate, attributes -------------------------------------------------------------

    def test_truncate(self):
        # One's own to nothing: no letter any more. A new name, of NULs: refused, as the caller sees.
        mount = self.shared()
        mount.python("import sys\nwith open('outbox/emptied', 'w') as file:\n"
                     "  file.write(sys.argv[1]); file.flush(); file.truncate(0)\n",
                     text_of("truncate-test"))
        done = mount.sh("truncate -s 100 outbox/nuls", check=False)
        self.assertIn(EINVAL, done.stderr)
        self.wait_failed(mount, "nuls")
        self.assert_not_sent(mount, "truncate-test")
        mount.run("rm", "outbox/emptied")

    # --- links -----------------------------------------------------------------------------------

    def test_links(self):
        # Refusals of ln; and one file with two names until one of them is written to.
        mount = self.mount(send_delay=60)
        source = self.source(mount, text_of("links-test"))
        mount.sh('cp "$1" outbox/.one; cp "$1" outbox/held; ln outbox/.one outbox/.two', source)
        for names, words in ((("outbox/.one", "outbox/held"), "File exists"),
                             (("outbox/held", "outbox/other"), "not permitted"),
                             ((source, "outbox/other"), "cross-device"),
                             (("outbox/.one", "INBOX/other"), "cross-device"),
                             (("outbox/.one", "outbox/other.error"), EINVAL),
                             (("outbox/.one", "outbox/failed/other"), "not permitted")):
            with self.subTest(names):
                self.assertIn(words, mount.run("ln", *names, check=False).stderr)
        shown = mount.sh("stat -c '%i %h' outbox/.one outbox/.two").stdout.splitlines()
        self.assertEqual(shown[0], shown[1])
        self.assertTrue(shown[0].endswith(" 2"))
        mount.run("ln", "outbox/.one", "outbox/sent")
        mount.run("rm", "outbox/.one")
        self.assert_arrives("links-test")
        mount.sh("echo x >> outbox/.two")
        self.assertEqual(mount.run("stat", "-c", "%h", "outbox/.two").stdout, "1\n")

    def test_a_message_is_copied(self):
        # cp from a folder of the same mount, which asks the kernel for a copy: arrives as any other.
        mount = self.shared()
        text = text_of("within-test").encode()
        with self.session("alice") as truth:
            truth.append("INBOX", text)
        process.wait_until(lambda: mount.sh("grep -l within-test INBOX/*", check=False).stdout, 30, "the message")
        mount.sh('cp "$(grep -l within-test INBOX/*)" outbox/copied')
        self.assert_arrives("within-test")

    # --- names -----------------------------------------------------------------------------------

    def test_names(self):
        # Any name that is not ours is a label, sent and in failed/.
        mount = self.shared()
        sound, broken = (self.source(mount, text) for text in
                         (text_of("names-test"), text_of("names-none", recipient=False)))
        names = ["with two  spaces", "n" * 255, b"not-utf8-\xff\xfe", "-dash", "%41", "*"]
        for name in names:
            name = name if isinstance(name, bytes) else name.encode()
            self.assertEqual(mount.run("cp", sound, b"outbox/" + name).stderr, "")
        self.arrived("bob", "names-test", len(names))
        process.wait_until(lambda: mount.ls("outbox") == ["failed"], 20, "an empty outbox")
        for name in names:
            name = name if isinstance(name, bytes) else name.encode()
            self.assertIn(EINVAL, mount.run("cp", broken, b"outbox/" + name, check=False).stderr)
        process.wait_until(lambda: mount.ls("outbox") == ["failed"], 20, "an empty outbox")
        listed = mount.run("find", "outbox/failed", "-type", "f", "-printf", "%f\\0",
                           text=False).stdout.split(b"\0")[:-1]
        self.assertEqual(len(listed), 2 * len(names))
        self.assertIn(b"not-utf8-\xff\xfe.error", listed)
        self.assertIn(b"n" * 249 + b".error", listed)
        mount.sh("mv outbox/failed/with* outbox/", check=False)

    def test_names_that_are_refused(self):
        # Ours, those with control characters and too long ones: nothing is made.
        mount = self.shared()
        sound = self.source(mount, text_of("refused-name"))
        for name, words in (("a.error", EINVAL), (".error", EINVAL), ("a\nb", EINVAL), ("a\tb", EINVAL),
                            ("a\x7f", EINVAL), ("n" * 256, "too long"), ("failed/x", "not permitted")):
            with self.subTest(name):
                self.assertIn(words, mount.run("cp", sound, f"outbox/{name}", check=False).stderr)
        self.assert_not_sent(mount, "refused-name")

    # --- a full disk -----------------------------------------------------------------------------

    def test_a_full_disk(self):
        # Nothing more goes in: every program sees ENOSPC; what it wrote is not sent.
        disk = os.path.join(self.directory, "disk")
        os.mkdir(disk)
        process.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", disk])
        self.addCleanup(process.run, ["umount", "-l", disk])
        mount = self.mount(state_dir=disk)
        path = self.source(mount, text_of("full-test") + "x\n" * 20_000)
        mount.sh('cp "$1" outbox/.draft', path)
        with open(os.path.join(disk, "filler"), "wb", 0) as filler:
            with contextlib.suppress(OSError):
                while True:
                    filler.write(bytes(4096))
        for way in ('cp "$1" outbox/cp', 'cat "$1" > outbox/cat', 'rsync "$1" outbox/rsync',
                    'ln outbox/.draft outbox/ln'):
            with self.subTest(way):
                done = mount.sh(way, path, check=False)
                self.assertIn("No space left", done.stderr)
                self.assertNotEqual(done.returncode, 0)
        os.unlink(os.path.join(disk, "filler"))
        self.assert_not_sent(mount, "full-test")
        mount.run("ln", "outbox/.draft", "outbox/ln")
        self.assert_arrives("full-test", text_of("full-test") + "x\n" * 20_000)

    # --- editors and mail programs ---------------------------------------------------------------

    def vim(self, mount, name, keys):
        """vim on a terminal, with these keys."""
        script = self.source(mount, keys)
        return mount.run("script", "-qec", f"vim -Nu NONE -s {script} 'outbox/{name}'", "/dev/null")

    def test_vim(self):
        # A first :w is held back until vim ends; what is sent is what the last :w wrote.
        mount = self.shared()
        first, second = self.source(mount, text_of("vim-first")), self.source(mount, text_of("vim-second"))
        self.vim(mount, "vim", f":r {first}\n:1d\n:w\n:!ls -A outbox > {first}.ls\n"
                 f":!getfattr --only-values -n user.mailfs.state outbox/vim > {first}.state\n"
                 f":%d\n:r {second}\n:1d\n:w\n:q\n")
        self.assert_arrives("vim-second")
        self.assertEqual(self.letters("bob", "vim-first"), [])
        with open(f"{first}.state", encoding="ascii") as state:
            self.assertEqual(state.read(), "draft")
        process.wait_until(lambda: mount.ls("outbox") == ["failed"], 20, "an empty outbox")

    def test_vim_quits(self):
        # :q! without :w sends nothing; after a :w, what that wrote.
        mount = self.shared()
        path = self.source(mount, text_of("vim-quit"))
        self.vim(mount, "quit", f":r {path}\n:1d\n:q!\n")
        self.assert_not_sent(mount, "vim-quit")
        self.vim(mount, "quit", f":r {path}\n:1d\n:w\n:%d\n:q!\n")
        self.assert_arrives("vim-quit")

    def test_vim_is_told(self):
        # :w of a letter without a recipient is refused in vim, and nothing is sent.
        mount = self.shared()
        path = self.source(mount, text_of("vim-none", recipient=False))
        seen = os.path.join(mount.directory, "seen")
        self.vim(mount, "none", f":r {path}\n:1d\n:redir! > {seen}\n:w\n:redir END\n:q!\n")
        with open(seen, encoding="utf-8") as messages:
            self.assertRegex(messages.read(), "E[0-9]+: ")
        self.wait_failed(mount, "none")

    def test_git_format_patch(self):
        # Each patch is a letter, if it has a recipient.
        mount = self.shared()
        mount.sh('mkdir "$1" && cd "$1" && git init -q && git config user.name A &&'
                 "git config user.email alice@example.org && git commit -q --allow-empty -m root &&"
                 "for i in 1 2; do echo $i > file; git add file; git commit -q -m patch-test-$i; done",
                 os.path.join(mount.directory, "repository"))
        patch = 'GIT_DIR="$1/.git" git format-patch -q -o outbox -2'
        mount.sh(patch + " --to=bob@example.org", os.path.join(mount.directory, "repository"))
        for number in 1, 2:
            self.arrived("bob", f"[PATCH {number}/2] patch-test-{number}")
        mount.sh(patch, os.path.join(mount.directory, "repository"), check=False)
        for number in 1, 2:
            self.wait_failed(mount, f"000{number}-patch-test-{number}.patch")

    def test_sed_on_a_letter(self):
        # sed -i within the delay: the letter that is replaced goes as it stood, as does the new one.
        mount = self.mount(send_delay=60)
        mount.sh('cp "$1" outbox/letter; sed -i s/sed-old/sed-new/ outbox/letter',
                 self.source(mount, text_of("sed-old")))
        self.assertEqual(sorted(mount.ls("outbox")), ["failed", "letter", "letter+1"])
        mount.unmount()
        mount.start("-o", "send_delay=0")
        self.assert_arrives("sed-old")
        self.assert_arrives("sed-new")


if __name__ == "__main__":
    unittest.main()
