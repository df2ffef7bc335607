"""The bench's own programs, built by meson beside mailfs."""

import os

from lab import process
from lab.mount import REPOSITORY

DIRECTORY = os.path.abspath(os.environ.get(
    "MAILFS_BENCH_PROGRAMS", os.path.join(REPOSITORY, "build", "tests", "bench")))



def program(name):
    """Path of `delay`, `floor` or `floor_pop3`."""
    path = os.path.join(DIRECTORY, name)
    if not os.access(path, os.X_OK):
        raise process.LabError(f"{path} is not built (MAILFS_BENCH_PROGRAMS=... names its directory)")
    return path
