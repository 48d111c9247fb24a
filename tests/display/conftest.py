"""Real servers for pages and notebooks."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Timer

import pytest

import fac_lab

SECONDS = 900
"""After which a server is killed, whatever became of its test."""


@pytest.fixture(scope="session")
def served(tmp_path_factory):
    """`served(*arguments, **environment)`: a Python process that prints an address, until the block ends."""

    @contextmanager
    def serve(*arguments: str, stop: int = signal.SIGINT, **environment: str) -> Iterator[tuple[str, subprocess.Popen]]:
        """The address, and the process; it is told to stop, and has to end well."""
        log = tmp_path_factory.mktemp("served") / "stderr.txt"  # a pipe nobody reads would fill
        with log.open("w", encoding="utf-8") as complaints:
            process = subprocess.Popen(
                [sys.executable, *arguments],
                stdout=subprocess.PIPE,
                stderr=complaints,
                text=True,
                env={**os.environ, "PYTHONPATH": str(Path(fac_lab.__file__).parents[1]), **environment},
            )
        watch = Timer(SECONDS, process.kill)
        watch.start()
        try:
            lines = iter(process.stdout.readline, "")
            address = next(filter(None, (re.search(r"http://\S+", line) for line in lines)), None)
            if address is None:
                pytest.fail(f"it printed no address: {log.read_text(encoding='utf-8')}")
            yield address[0], process
        finally:
            process.send_signal(stop)
            process.communicate(timeout=120)
            watch.cancel()
        assert process.returncode == 0, log.read_text(encoding="utf-8")

    return serve
