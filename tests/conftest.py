"""Every test runs without the hub, in the smoke profile, on one thread (pytest-xdist has the other core)."""

import os

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["FAC_LAB_PROFILE"] = "smoke"
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
