"""The workbench's words: what each means, and where it is code."""

import importlib
from functools import reduce
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

ELSEWHERE = "in its task's notebook"


def glossary() -> pd.DataFrame:
    """One row per word: `word`, `meaning`, `in code`, a path of names or ELSEWHERE."""
    entries = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
    rows = [(entry["word"], entry["means"], entry.get("code", ELSEWHERE)) for entry in entries]
    return pd.DataFrame(rows, columns=["word", "meaning", "in code"])


def look_up(path: str) -> Any:
    """What a path of names leads to, such as `fac_lab.coverage.Coverage.fac`; ImportError where to nothing."""
    names = path.split(".")
    for n in range(len(names), 0, -1):
        try:
            return reduce(getattr, names[n:], importlib.import_module(".".join(names[:n])))
        except (ModuleNotFoundError, AttributeError):
            continue
    raise ImportError(f"{path}: there is no such name")
