"""Puts mail straight into a user's Maildir, as fast as the disk takes it, and names folders as IMAP
does. For use before the server looks, or while it runs (each message is renamed into place)."""

import base64
import os
import pwd


def encode_utf7(name):
    """Modified UTF-7 (RFC 3501 5.1.3) of one folder name."""
    out, pending = [], ""

    def flush():
        nonlocal pending
        if pending:
            word = base64.b64encode(pending.encode("utf-16-be")).decode().rstrip("=")
            out.append("&" + word.replace("/", ",") + "-")
            pending = ""

    for character in name:
        if " " <= character <= "~":
            flush()
            out.append("&-" if character == "&" else character)
        else:
            pending += character
    flush()
    return "".join(out)


def decode_utf7(name):
    """The reverse, for names that are right."""
    parts = name.split("&")
    out = [parts[0]]
    for part in parts[1:]:
        word, _, rest = part.partition("-")
        word = word.replace(",", "/")
        out.append(base64.b64decode(word + "=" * (-len(word) % 4)).decode("utf-16-be") if word else "&")
        out.append(rest)
    return "".join(out)


class Maildir:
    """A user's mail on disk; `path` is what Dovecot.maildir(user) says."""

    def __init__(self, path):
        self.path = path
        self._owner = pwd.getpwnam("mail")
        self._count = 0

    def folder(self, name):
        """Makes the folder of that (decoded) name with its parents; returns its directory."""
        return self.raw_folder(os.fsencode(
            "/".join(encode_utf7(part) for part in name.split("/"))))

    def raw_folder(self, name):
        """The same for a name given as the bytes on the wire, right or wrong."""
        parts = name.split(b"/")
        for depth in range(len(parts) + 1):
            self._directory(os.path.join(os.fsencode(self.path), *parts[:depth]))
        directory = os.path.join(os.fsencode(self.path), *parts)
        for inner in (b"cur", b"new", b"tmp"):
            self._directory(os.path.join(directory, inner))
        return os.fsdecode(directory)

    def _directory(self, path):
        if not os.path.isdir(path):
            os.mkdir(path)
            os.chown(path, self._owner.pw_uid, self._owner.pw_gid)

    def put(self, directory, sample):
        """Adds one message; Dovecot gives UIDs in the order of these calls."""
        self._count += 1
        size = len(sample.content)
        virtual = size + sample.content.count(b"\n") - sample.content.count(b"\r\n")
        base = f"{sample.date}.M{self._count:06d}P{os.getpid()}.lab,S={size},W={virtual}"
        temporary = os.path.join(directory, "tmp", base)
        with open(temporary, "wb", buffering=0) as file:
            file.write(sample.content)
            os.fchown(file.fileno(), self._owner.pw_uid, self._owner.pw_gid)
        os.utime(temporary, (sample.date, sample.date))
        os.rename(temporary, os.path.join(directory, "cur", f"{base}:2,{sample.flags}"))

    def put_all(self, folder, samples):
        directory = self.folder(folder)
        for sample in samples:
            self.put(directory, sample)
