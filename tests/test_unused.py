"""Nothing in the package is there for its tests alone; `[tool.vulture]` names what is for libraries and users."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
@pytest.mark.skipif(find_spec("vulture") is None, reason="vulture is not installed: pip install -e '.[test]'")
def test_everything_is_used():
    done = subprocess.run([sys.executable, "-m", "vulture"], cwd=ROOT, capture_output=True, text=True)
    # Notebooks have exercises, in which readers use what is unused.
    unused = [line for line in done.stdout.splitlines() if not line.startswith("notebooks/")]
    assert not unused and not done.stderr, "\n".join(unused) + done.stderr
