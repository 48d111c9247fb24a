"""The shapes that annotations state are those that arrays have: the tests of the pure functions, run under a checker.

jaxtyping and beartype hold every argument and result of MODULES against its annotation. That has to happen before a
module is imported, so it is done in a process of its own, and nothing of it is in any other test or in production.
"""

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("jaxtyping")
pytest.importorskip("beartype")

TESTS = Path(__file__).parent
MODULES = (
    "fac_lab.bounds",
    "fac_lab.coverage",
    "fac_lab.diversity.inputs",
    "fac_lab.diversity.vectors",
    "fac_lab.features.encoder",
    "fac_lab.features.matching",
    "fac_lab.features.stats",
    "fac_lab.support",
    "fac_lab.weighted",
)
QUICK = (
    "test_bounds.py",
    "test_support.py",
    "test_weighted.py",
    "diversity/test_vectors.py",
    "features/test_matching.py",
)
THOROUGH = ("test_correlation.py", "test_coverage.py", "features/test_encoder.py", "features/test_stats.py")
REFUSED = "test_bounds.py::test_what_is_no_distribution[p0-q0-different outcomes]"
"""Asks what `bounds` itself says of a wrong shape, of which the checker complains first."""
CHECKED = """
import sys, types
import beartype, jaxtyping, numpy
# It is about arrays: a whole number will do for a float, and NumPy's numbers for Python's.
numbers = {{float: float | int | numpy.number, int: int | numpy.integer, bool: bool | numpy.bool}}
checker = types.ModuleType("shape_checker")
checker.check = beartype.beartype(conf=beartype.BeartypeConf(hint_overrides=beartype.BeartypeHintOverrides(numbers)))
sys.modules["shape_checker"] = checker
jaxtyping.install_import_hook({modules!r}, "shape_checker.check")
"""
WRONG = """
import numpy as np
from fac_lab.coverage import gap_coverage
from fac_lab.bounds import kl
assert gap_coverage(np.array([0, 2]), np.array([0, 1, 5])) == 0.5
for call in (
    lambda: gap_coverage(np.array([0, 2]), np.zeros((3, 3), int)),
    lambda: gap_coverage(np.array([0.0, 2.0]), np.array([0, 1, 5])),
    lambda: kl(np.full(2, 1 / 2), np.full(3, 1 / 3)),
):
    try:
        call()
    except jaxtyping.TypeCheckError:
        continue
    raise SystemExit("a wrong shape was taken")
"""


def checked(script: str, *arguments: str) -> subprocess.CompletedProcess:
    script = CHECKED.format(modules=list(MODULES)) + script
    return subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, cwd=TESTS.parent)


def test_a_wrong_shape_is_refused():
    done = checked(WRONG)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("files", [QUICK, pytest.param(THOROUGH, marks=pytest.mark.slow)], ids=["quick", "thorough"])
def test_shapes_are_those_that_are_written(files):
    paths = [str(TESTS / file) for file in files]
    # jaxtyping brings a plugin for pytest, which is imported too late to be rewritten, and need not be.
    options = ["-q", "-p", "no:cacheprovider", "-m", "not slow", "-W", "ignore::pytest.PytestAssertRewriteWarning"]
    options += ["--deselect", f"tests/{REFUSED}"]
    done = checked("import pytest; sys.exit(pytest.main(sys.argv[1:]))", *options, *paths)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]


def test_elsewhere_annotations_are_plain_types():
    plain = """
import sys
import numpy as np
from fac_lab.bounds import kl
assert kl.__annotations__["p"] is np.ndarray and not {"jaxtyping", "beartype"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", plain], check=True, cwd=TESTS.parent)
