"""Every test runs without the hub, in the smoke profile, on one thread (pytest-xdist has the other core)."""

import os

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["FAC_LAB_PROFILE"] = "smoke"
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from hypothesis import settings  # noqa: E402  (the variables above must be set before anything is imported)

# The same examples on every run, and no time limit per example: machines are slow and noisy.
settings.register_profile("fac_lab", deadline=None, derandomize=True)
settings.load_profile("fac_lab")
