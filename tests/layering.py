#!/usr/bin/env python3
"""The staircase holds: tools -> fs -> cache -> net, and no include turns back.

Beside that: only fs/ knows FUSE, only net/wire.c knows libcurl, and a protocol engine (imap, pop3,
smtp) touches no file. The rules are first shown to catch an offender each; then the sources are
held against them.
"""

import os
import re
import sys

STAIRS = ["net", "cache", "fs", "tools"]
FILE_CALLS = ("open|openat|creat|fopen|fdopen|stat|lstat|fstat|unlink|rename|mkdir|opendir|"
              "g_file_[a-z_]+|g_open|g_fopen|g_stat|g_unlink|g_mkdir[a-z_]*")
INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]', re.MULTILINE)
FILE_CALL = re.compile(rf"(?<![\w>.])(?:{FILE_CALLS})\s*\(")
ENGINE = re.compile(r"net/(imap|pop3|smtp)\w*\.[ch]$")
COMMENT_OR_STRING = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"', re.DOTALL)


def offences(path, text):
    """What is wrong with one source file, in words."""
    room = path.split("/")[0]
    for include in INCLUDE.findall(text):
        target = include.split("/")[0]
        if target in STAIRS and STAIRS.index(target) > STAIRS.index(room):
            yield f"{path}: {room} includes {include}, which is above it"
        if target in STAIRS and not include.endswith(".h"):
            yield f"{path}: includes {include}, which is not a header"
        if re.match(r"fuse", include) and room != "fs":
            yield f"{path}: only fs/ may include {include}"
        if "curl" in include and path != "net/wire.c":
            yield f"{path}: only net/wire.c may include {include}"
    if ENGINE.match(path):
        for call in FILE_CALL.findall(COMMENT_OR_STRING.sub("", text)):
            yield f"{path}: a protocol engine calls {call.rstrip('( ')}"


OFFENDERS = [
    ("net/imap.c", '#include "cache/index.h"\n'),
    ("cache/store.c", '#include "fs/tree.h"\n'),
    ("fs/ops.c", '#include "tools/config.h"\n'),
    ("cache/body.c", "#include <fuse_lowlevel.h>\n"),
    ("tools/mailfs.c", "#include <fuse3/fuse.h>\n"),
    ("net/smtp.c", "#include <curl/curl.h>\n"),
    ("net/imap.c", "f = fopen(path, mode);\n"),
    ("net/pop3.c", "if (!g_file_get_contents(path, &text, NULL, error)) return false;\n"),
    ("cache/fetch.c", '#include "cache/body.c"\n'),
]
INNOCENT = [
    ("tools/mailfs.c", '#include "net/account.h"\n#include "fs/filesystem.h"\n'),
    ("net/wire.c", "#include <curl/curl.h>\n"),
    ("fs/ops.c", "#include <fuse_lowlevel.h>\n"),
    ("net/imap.c", '// open() a folder\nmailbox_open(a); self->open(b); g_debug("stat(%s)", c);\n'),
]


def sources(root):
    for room in STAIRS:
        for directory, _, names in os.walk(os.path.join(root, room)):
            for name in names:
                if name.endswith((".c", ".h")):
                    path = os.path.join(directory, name)
                    with open(path, encoding="utf-8") as file:
                        yield os.path.relpath(path, root), file.read()


def main():
    for path, text in OFFENDERS:
        assert list(offences(path, text)), f"not caught: {path}: {text}"
    for path, text in INNOCENT:
        assert not list(offences(path, text)), f"wrongly caught: {path}: {text}"
    files = dict(sources(sys.argv[1]))
    assert files, "no sources found"
    found = [offence for path, text in files.items() for offence in offences(path, text)]
    print("\n".join(found))
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
