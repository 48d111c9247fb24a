"""Times and memory: ways take turns in one run, so that what else the machine does meets all of them."""

from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch


def in_turns(ways: Mapping[str, Callable[[], object]], rounds: int, *, warm: bool = True) -> dict[str, np.ndarray]:
    """Seconds of each way, `[rounds]`; every round runs each way once, after one run of each that is not counted
    (left out without `warm`)."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1) if warm else range(1, rounds + 1):
        for name, run in ways.items():
            began = perf_counter()
            run()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            if number:
                seconds[name].append(perf_counter() - began)
    return {name: np.array(times) for name, times in seconds.items()}


def spread(values: np.ndarray) -> tuple[float, float, float]:
    """Median, smallest and largest."""
    return float(np.median(values)), float(values.min()), float(values.max())


def shown(values: np.ndarray, digits: int = 2) -> str:
    """`median (smallest to largest)`."""
    middle, low, high = spread(values)
    return f"{middle:,.{digits}f} ({low:,.{digits}f} to {high:,.{digits}f})"


def alone(run: Callable[..., Any], *arguments: Any) -> tuple[Any, float]:
    """What `run` returns in a process of its own, and the most memory that process had, in GB."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), max_tasks_per_child=1) as pool:
        return pool.submit(_watched, run, *arguments).result()


def _watched(run: Callable[..., Any], *arguments: Any) -> tuple[Any, float]:
    result = run(*arguments)
    return result, peak_gb()


def peak_gb() -> float:
    """The most memory that this process had so far, in GB. (`ru_maxrss` would begin with that of its parent.)"""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024 / 1e9
