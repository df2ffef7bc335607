"""The demo: a private Dovecot and Postfix, some hundred sample messages, a mount at ./demo-mail.

What it started is written to .demo/state.json before it is started, so that `stop` finds it whatever
happened in between. The servers' files lie in the system's temporary directory, because Dovecot's
and Postfix's own users may not enter the home directory that this repository may lie in.
"""

import fcntl
import json
import os
import signal
import subprocess
import sys
import tempfile
import time

from lab import process, samples
from lab.dovecot import PASSWORD, Dovecot
from lab.imap_truth import ImapTruth
from lab.mailbox import Maildir
from lab.postfix import Postfix

ROOT = os.getcwd()
STATE = os.path.join(ROOT, ".demo")
STATE_FILE = os.path.join(STATE, "state.json")
MOUNT = os.path.join(ROOT, "demo-mail")
MAILFS = os.path.join(ROOT, "build", "tools", "mailfs")
USER = "alice@example.org"
USERS = {"alice": PASSWORD, "bob": PASSWORD, "carol": PASSWORD}
FOLDERS = {"INBOX": 120, "Archive/2024": 80, "Archive/2025": 80, "Lists/announce": 60, "Sent": 20,
           "Entwürfe/é & co": 10}

CONFIG = """[demo]
imap={imap}
smtp={smtp}
ca_file={ca}
password_file={password}
refresh=1
send_delay=0
"""

# What to try: the command, and what it should show. `--check` runs these very lines.
TRIES = [
    ("ls demo-mail demo-mail/Archive", "folders, nested as on the server, and the outbox"),
    ("ls -l demo-mail/INBOX | head -5", "messages: sorted by date, with their true sizes and dates"),
    ("head -8 demo-mail/INBOX/*,1.eml", "the server's exact bytes"),
    ("grep -rl needle0000007 demo-mail", "search all mail for a word"),
    ("ls 'demo-mail/Entwürfe/é & co' demo-mail/Curiosities", "odd folders, and mail that means harm"),
    ("getfattr -d demo-mail/INBOX/*,1.eml", "flags and headers as extended attributes"),
    ("rsync -a demo-mail/Archive .demo/backup", "a backup of a folder"),
    ("rsync -ai demo-mail/Archive .demo/backup", "once more: nothing left to copy"),
    ("printf 'To: alice@example.org\\nBcc: bob@example.org\\nSubject: Hello\\n\\nIt works.\\n' "
     "> demo-mail/outbox/hello", "send a letter"),
    ("grep -rl 'It works' demo-mail/INBOX", "a moment later it has arrived"),
    ("printf 'To: refused@example.org\\nSubject: No\\n\\nOh.\\n' > demo-mail/outbox/no",
     "a letter that the server refuses"),
    ("cat demo-mail/outbox/failed/*.error", "... and why, in words"),
    ("df -h demo-mail", "a file system like any other"),
]


class Surprise(Exception):
    """The demo did not show what it should."""


# --- starting and ending --------------------------------------------------------------------------


def start():
    if is_running():
        print("The demo is running already.\n")
        return
    stop()
    if os.path.isdir(MOUNT) and os.listdir(MOUNT):
        raise Surprise("./demo-mail exists and is not empty: not touching it")
    os.mkdir(STATE, 0o700)
    servers = tempfile.mkdtemp(prefix="mailfs-demo-")
    os.chmod(servers, 0o711)
    write_state({"servers": servers})
    print("Making sample mail ...")
    dovecot = Dovecot(servers, USERS)
    fill(Maildir(dovecot.maildir("alice")))
    print("Starting Dovecot and Postfix ...")
    dovecot.start()
    postfix = Postfix(servers, dovecot).start()
    write_state({"servers": servers, "dovecot": dovecot.ports, "postfix": postfix.ports})
    print("Mounting ...")
    configure(dovecot, postfix)
    os.makedirs(MOUNT, exist_ok=True)
    mounted = subprocess.run([MAILFS, "demo", MOUNT], env=environment(), timeout=60, check=False,
                             stdin=subprocess.DEVNULL)
    if mounted.returncode != 0:
        raise Surprise(f"mailfs ended with exit code {mounted.returncode}")


def fill(maildir):
    author = samples.Author(seed=2026)
    for folder, count in FOLDERS.items():
        maildir.put_all(folder, (author.write() for _ in range(count)))
    maildir.put_all("Curiosities", samples.hostile().values())
    maildir.put_all("Archive/Large", [samples.big(5_000_000)])


def configure(dovecot, postfix):
    password = os.path.join(STATE, "password")
    write_private(password, PASSWORD + "\n")
    directory = os.path.join(STATE, "config", "mailfs")
    os.makedirs(directory)
    write_private(os.path.join(directory, "config"), CONFIG.format(
        imap=dovecot.url("imaps", USER), smtp=postfix.url("smtp", USER), password=password,
        ca=dovecot.certificates.ca))


def environment():
    """mailfs keeps all it writes below .demo."""
    return {**os.environ, **{f"XDG_{kind}_HOME": os.path.join(STATE, kind.lower())
                             for kind in ("CONFIG", "CACHE", "STATE")}}


def write_private(path, text):
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w",
              encoding="utf-8") as file:
        file.write(text)


def write_state(state):
    write_private(STATE_FILE + ".new", json.dumps(state))
    os.rename(STATE_FILE + ".new", STATE_FILE)


def read_state():
    try:
        with open(STATE_FILE, encoding="utf-8") as file:
            return json.load(file)
    except FileNotFoundError:
        return {}


def mailfs_pids():
    """Daemons that keep their state below .demo, however they were started."""
    mark = f"XDG_STATE_HOME={os.path.join(STATE, 'state')}".encode()
    found = []
    for pid in process.processes():
        try:
            with open(f"/proc/{pid}/environ", "rb") as environ:
                is_ours = mark in environ.read().split(b"\0")
            if is_ours and os.path.basename(os.readlink(f"/proc/{pid}/exe")).startswith("mailfs"):
                found.append(pid)
        except OSError:
            continue
    return found


def is_running():
    """All of it: the servers answer, and the mount is served."""
    state = read_state()
    ports = [*state.get("dovecot", {}).values(), *state.get("postfix", {}).values()]
    return bool(ports and all(map(process.is_listening, ports)) and mailfs_pids()
                and process.mounts_below(MOUNT))


def stop():
    """Ends and removes whatever is there of a demo; nothing there is fine. True: there was some."""
    was_there = os.path.isdir(STATE) or bool(process.mounts_below(MOUNT))
    if process.mounts_below(MOUNT):
        # Lazily only where somebody stands in the mount: the orderly way lets mailfs finish.
        orderly = process.run(["fusermount3", "-u", MOUNT], check=False)
        if orderly.returncode != 0:
            process.run(["fusermount3", "-uz", MOUNT], check=False)
    end_mailfs()
    servers = read_state().get("servers")
    if servers:
        process.kill_inside(servers)
        process.remove(servers)
    if os.path.isdir(STATE):
        process.remove(STATE)
    if os.path.isdir(MOUNT) and not os.listdir(MOUNT):
        os.rmdir(MOUNT)
    return was_there


def end_mailfs():
    for number in (signal.SIGTERM, signal.SIGKILL):
        process.send_signal(mailfs_pids(), number)
        try:
            process.wait_until(lambda: not mailfs_pids(), 10, "the end of mailfs")
            return
        except process.LabError:
            continue
    raise Surprise(f"mailfs does not end: {mailfs_pids()}")


# --- trying ---------------------------------------------------------------------------------------


def explain():
    print("Your mail is at ./demo-mail. Try:\n")
    for command, purpose in TRIES:
        print(f"  {command}\n      # {purpose}")
    print("\nThe configuration is in .demo/config/mailfs/config.\n"
          "tools/demo --check tries all this by itself; tools/demo stop ends it.")


def shell(command, timeout=60):
    return subprocess.run(["sh", "-c", command], cwd=ROOT, timeout=timeout, text=True, check=False,
                          stdin=subprocess.DEVNULL, capture_output=True)


def patiently(command):
    """Repeats a command that waits for mail: it takes a moment to arrive."""
    deadline = time.monotonic() + 20
    done = shell(command)
    while done.returncode != 0 and time.monotonic() < deadline:
        time.sleep(0.25)
        done = shell(command)
    return done


def check():
    """Runs every line of TRIES, then compares all bytes with what the server says it holds."""
    for command, purpose in TRIES:
        print(f"$ {command}    # {purpose}")
        waits = "It works" in command or "failed/" in command
        done = patiently(command) if waits else shell(command)
        shown = done.stdout.splitlines()
        print("".join(f"    {line}\n" for line in shown[:6])
              + (f"    ... {len(shown)} lines\n" if len(shown) > 6 else ""), end="")
        if done.returncode != 0 or done.stderr:
            raise Surprise(f"`{command}` ended with {done.returncode}: {done.stderr}")
        look_closer(command, done.stdout)
    compare()
    compare_bcc()
    print("ok: the demo shows what it should")


def look_closer(command, output):
    """What must be in the output of a try."""
    expected = {
        "ls demo-mail demo-mail/Archive": ("INBOX", "outbox", "2024", "Entwürfe"),
        "head": ("Message-ID:",),
        "grep -rl needle": ("demo-mail/",),
        "grep -rl 'It works'": ("Hello",),
        "getfattr": ("user.mailfs.uid", "user.mailfs.subject"),
        "cat demo-mail/outbox/failed": ("550",),
        "df": ("demo-mail",),
    }
    for start_of_command, words in expected.items():
        if command.startswith(start_of_command):
            for word in words:
                if word not in output:
                    raise Surprise(f"`{command}` does not show {word!r}")
    if command.startswith("rsync -ai") and output:
        raise Surprise("the second rsync copied something")


def compare():
    """Every message's bytes on the mount against the server's."""
    dovecot = running_dovecot()
    with ImapTruth(dovecot, USER, PASSWORD) as truth:
        held = {(folder, uid): message.sha256 for folder, messages in truth.everything().items()
                for uid, message in messages.items()}
    done = shell("cd demo-mail && find . -path ./outbox -prune -o -type f -print0 | xargs -0 sha256sum -z",
                 timeout=300)
    if done.returncode != 0:
        raise Surprise(f"reading everything failed: {done.stderr}")
    seen = {}
    for line in filter(None, done.stdout.split("\0")):
        folder, _, name = line[66:].removeprefix("./").rpartition("/")
        seen[folder, int(name.removesuffix(".eml").rpartition(",")[2])] = line[:64]
    if seen != held:
        differing = sorted(key for key in seen.keys() | held.keys() if seen.get(key) != held.get(key))
        raise Surprise(f"not the server's bytes: {differing[:10]}")
    print(f"ok: {len(seen)} messages in {len({folder for folder, _ in seen})} folders, "
          "each byte as the server has it")


def compare_bcc():
    """The letter reached its blind recipient and does not say so."""
    with ImapTruth(running_dovecot(), "bob", PASSWORD) as truth:
        process.wait_until(lambda: truth.contents("INBOX"), 20, "the letter at its Bcc recipient")
        if any(b"bcc:" in letter.lower() for letter in truth.contents("INBOX")):
            raise Surprise("a letter was sent with its Bcc")
    print("ok: the Bcc recipient has the letter, without the Bcc")


def running_dovecot():
    state = read_state()
    dovecot = Dovecot(state["servers"], USERS)
    dovecot.ports = state["dovecot"]
    return dovecot


# --- the command ----------------------------------------------------------------------------------


def interrupted(*_):
    raise KeyboardInterrupt


def run(arguments):
    if arguments == ["stop"]:
        print("The demo is ended." if stop() else "There is no demo running.")
        return
    was_running = is_running()
    try:
        start()
        if not arguments:
            explain()
            return
        check()
    except BaseException:
        if not was_running:
            stop()
        raise
    if not was_running:
        stop()


def main():
    sys.stdout.reconfigure(line_buffering=True)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupted)
    try:
        # One at a time; the lock ends with this process.
        with open(__file__, encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            run(sys.argv[1:])
    except BlockingIOError:
        sys.exit("tools/demo: another tools/demo is at work")
    except (Surprise, process.LabError, subprocess.TimeoutExpired) as error:
        sys.exit(f"tools/demo: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
