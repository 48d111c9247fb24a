"""The package and its help have to answer at once: nothing heavy may be imported on the way."""

import subprocess
import sys
import time

import pytest

SECONDS = 0.5
HEAVY = {
    "torch",
    "transformers",
    "sae_lens",
    "transformer_lens",
    "pandas",
    "plotly",
    "sklearn",
    "numpy",
    "scipy",
}
HELP = "from fac_lab.cli import main\ntry:\n    main(['--help'])\nexcept SystemExit: pass\n"


@pytest.mark.parametrize("script", ["import fac_lab", HELP], ids=["import fac_lab", "fac-lab --help"])
def test_it_answers_at_once(script):
    fastest = float("inf")
    for _ in range(3):  # the least of three, because other work on the machine only ever adds
        started = time.perf_counter()
        subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)
        fastest = min(fastest, time.perf_counter() - started)
    assert fastest < SECONDS


@pytest.mark.parametrize("script", ["import fac_lab", HELP], ids=["import fac_lab", "fac-lab --help"])
def test_nothing_heavy_is_imported(script):
    asked = f"{script}\nimport sys\nprint('MODULES', *sys.modules)"
    output = subprocess.run([sys.executable, "-c", asked], check=True, capture_output=True, text=True).stdout
    modules = set(output.split("MODULES", 1)[1].split())
    assert "fac_lab" in modules and not modules & HEAVY
