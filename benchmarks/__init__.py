"""Measured speed. `python -m benchmarks` prints every table; none of this is part of the tests."""
