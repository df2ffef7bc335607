#!/usr/bin/env python3
"""Tells when a folder grows, by a clock that all processes share.

    watch.py idle PORT CA USER PASSWORD FOLDER    as a bare IMAP client in IDLE is told
    watch.py files DIRECTORY                      as a listing shows it, looked at every millisecond

Prints "COUNT SECONDS" (CLOCK_MONOTONIC) at the start and whenever there are more.
"""

import os
import re
import socket
import ssl
import sys
import time


def tell(count):
    print(count, time.clock_gettime(time.CLOCK_MONOTONIC), flush=True)


def idle(port, ca, user, password, folder):
    context = ssl.create_default_context(cafile=ca)
    with context.wrap_socket(socket.create_connection(("127.0.0.1", int(port))),
                             server_hostname="localhost") as line, line.makefile("rb") as lines:
        lines.readline()
        for command in (f'LOGIN "{user}" "{password}"', f'EXAMINE "{folder}"', "IDLE"):
            line.sendall(f"w {command}\r\n".encode())
            for answer in lines:
                exists = re.match(rb"\* (\d+) EXISTS", answer)
                if exists:
                    tell(int(exists[1]))
                if answer.startswith(b"w ") and command != "IDLE":
                    break


def files(directory):
    most = -1
    while True:
        count = len(os.listdir(directory))
        if count > most:
            tell(count)
        most = max(most, count)
        time.sleep(0.001)


if __name__ == "__main__":
    {"idle": idle, "files": files}[sys.argv[1]](*sys.argv[2:])
