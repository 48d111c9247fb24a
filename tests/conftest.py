"""Every test runs without the hub and in the smoke profile, unless it says otherwise."""

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("FAC_LAB_PROFILE", "smoke")
