"""Seconds of commands, and variants measured in turn so that a slow minute hits all of them alike."""

import os
import time

from lab import process

ENVIRONMENT = {**os.environ, "LC_ALL": "C"}


def clock(work):
    """The seconds that a call takes."""
    started = time.monotonic()
    work()
    return time.monotonic() - started


def timed(*command, timeout=600, check=True, **options):
    """A command's seconds and what it printed."""
    started = time.monotonic()
    done = process.run(command, timeout, check=check, env=ENVIRONMENT, **options)
    return time.monotonic() - started, done.stdout


def interleave(rounds, *variants):
    """Runs all variants once a round, each round in another order. A variant is a function that
    returns {name: measured}; the result is {name: [measured, one a round]}."""
    measured = {}
    for number in range(rounds):
        first = number % len(variants)
        for variant in variants[first:] + variants[:first]:
            os.sync()  # what the one before wrote is not written at the expense of the next
            for name, value in variant().items():
                measured.setdefault(name, []).append(value)
    return measured


def drop_caches():
    """The kernel forgets all file contents, names and attributes."""
    os.sync()
    with open("/proc/sys/vm/drop_caches", "w", encoding="ascii") as switch:
        switch.write("3")
