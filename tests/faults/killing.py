"""Runs a command again and again, killed at random: `python killing.py OUT PAID KILLS SECONDS SEED COMMAND ...`.

Each run is a fork of this process, which has imported everything before, so that what is killed is work and not the
start of Python. With KILLS 0 the command runs once, undisturbed. A run that ends before its time begins anew in an
empty folder, until it was killed KILLS times; the last one is left alone. Prints the seconds of the last run.
"""

import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path

import fac_lab.audit
import fac_lab.demo
import fac_lab.studies.results
import fac_lab.synthesis.two_step
import fac_lab.tasks.toxicity  # noqa: F401
from fac_lab.chat.local import LocalBackend
from fac_lab.cli import main
from fac_lab.digests import digest


def count_answers(paid: Path) -> None:
    """Write down each answer behind the moment in which it was kept: one in flight may be paid again."""
    generate = LocalBackend.generate

    def counted(self, requests, done):
        def kept(i, reply):
            done(i, reply)
            with paid.open("a") as file:
                file.write(digest(self.name, requests[i]) + "\n")

        return generate(self, requests, kept)

    LocalBackend.generate = counted


def start(command: list[str]) -> int:
    """The process that runs a command: of `fac-lab`, or a module with its arguments."""
    if process := os.fork():
        return process
    # A group of its own, so that what it starts dies with it.
    os.setsid()
    try:
        if command[0] == "-m":
            from importlib import import_module

            code = import_module(command[1]).main(command[2:])
        else:
            code = main(command)
    except BaseException as error:
        print(repr(error), file=sys.stderr)
        code = 1
    os._exit(code)


def ended(process: int, within: float) -> bool:
    """Whether it ended in time, without an error."""
    until = time.monotonic() + within
    while time.monotonic() < until:
        found, status = os.waitpid(process, os.WNOHANG)
        if found:
            if os.waitstatus_to_exitcode(status):
                sys.exit(f"exit status {os.waitstatus_to_exitcode(status)}")
            return True
        time.sleep(0.01)
    return False


def run(out: Path, paid: Path, kills: int, longest: float, seed: int, command: list[str]) -> None:
    dice, done = random.Random(seed), 0
    count_answers(paid)
    while done < kills:
        process = start(command)
        if ended(process, dice.uniform(0, longest)):
            shutil.rmtree(out)
            paid.unlink(missing_ok=True)
        else:
            os.killpg(process, signal.SIGKILL)
            os.waitpid(process, 0)
            done += 1
    began = time.monotonic()
    if not ended(start(command), 3600):
        sys.exit("not over within an hour")
    print(time.monotonic() - began)


if __name__ == "__main__":
    out, paid, kills, longest, seed, *command = sys.argv[1:]
    run(Path(out), Path(paid), int(kills), float(longest), int(seed), command)
