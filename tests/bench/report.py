"""The table: what was measured, against what, and whether the goal is met."""

import os
import platform
import statistics
import subprocess
import time
from dataclasses import dataclass

from lab.mount import MAILFS

HEAD = "| work | mailfs | against | ratio | goal | met |\n| --- | --- | --- | --- | --- | --- |"


def seconds(values):
    """The median and, of several, the range."""
    unit, factor = ("s", 1) if statistics.median(values) >= 0.1 else ("ms", 1000)
    scaled = [value * factor for value in values]
    text = f"{figure(statistics.median(scaled))} {unit}"
    if len(values) > 1:
        text += f" ({figure(min(scaled))}-{figure(max(scaled))})"
    return text


def figure(value):
    """Three digits that count."""
    return f"{value:.0f}" if value >= 100 else f"{value:.{1 if value >= 10 else 2}f}"


@dataclass
class Line:
    """One row of the table; texts as they are printed."""

    work: str
    mailfs: str
    against: str = ""
    ratio: str = ""
    goal: str = ""
    is_met: bool | None = None  # None: no goal was set

    def markdown(self):
        met = {True: "yes", False: "**no**", None: ""}[self.is_met]
        return f"| {self.work} | {self.mailfs} | {self.against} | {self.ratio} | {self.goal} | {met} |"


def ratio(work, ours, theirs, whose, goal=None):
    """A line of medians of seconds; `goal` is the greatest ratio wanted."""
    quotient = statistics.median(ours) / statistics.median(theirs)
    return Line(work, seconds(ours), f"{whose}: {seconds(theirs)}", f"{quotient:.2f} x",
                f"≤ {goal} x" if goal else "", quotient <= goal if goal else None)


def unmeasured(name, reason):
    return Line(name, "**not measured**", " ".join(str(reason).split())[:200].replace("|", "/"))


def circumstances(rounds, disk):
    """Where and when: a figure without it says nothing."""
    tree = os.path.dirname(os.path.realpath(MAILFS))

    def git(*arguments):
        done = subprocess.run(["git", "-C", tree, *arguments], capture_output=True, text=True,
                              check=False, timeout=30)
        return done.stdout.strip() if done.returncode == 0 else "unknown"

    changed = " and changes" if git("status", "--porcelain", "--untracked-files=no") else ""
    return (f"{time.strftime('%Y-%m-%d')}, commit {git('rev-parse', '--short', 'HEAD')}{changed}, "
            f"{os.cpu_count()} cores, Linux {platform.release()}, {disk}, medians of {rounds} rounds")


def table(lines):
    return "\n".join([HEAD, *(line.markdown() for line in lines)])


def write(path, circumstances_line, lines):
    with open(path, "w", encoding="utf-8") as file:
        file.write(f"# Results of `tests/bench/run`\n\n{circumstances_line}.\n"
                   f"What each row means is told in [README.md](README.md).\n\n{table(lines)}\n")
