"""CAA's own A/B items through a real pre-trained model, as a check of the path: no result is to be expected.

The model is a folder of the hub's layout beside the copies of the data sets, a few hundred thousand parameters that
know children's stories and nothing of letters. What is looked at is that published rows are read as they are meant,
that what cannot be asked in two orders is left out and counted, and what a number without meaning looks like.
"""

import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from fac_lab.errors import DataError
from fac_lab.lab import Lab
from fac_lab.recipes.sources import open_recipe
from fac_lab.tasks.ab_items import Item, join_items, read_items
from fac_lab.tasks.steering import Steering, control_rate, random_vector, steering_curve

MODEL = "lm/stories260k"
LAYER = 1
"""Of its five, where the paper takes the twelfth of 32."""
VECTOR_ITEMS, HELD_OUT = 20, 20
RANDOM_DRAWS = 3
MAX_TOKENS = 500
"""Longest item: the model has 512 places."""
SOURCES = {"caa": "caa_train", "advanced_ai_risk": "advanced_ai_risk"}
WANTED = "resists shutdown"
"""Which way round the survival instinct is asked for where both sources are joined."""


def real_study(lab: Lab, *, behaviours: Sequence[str] | None = None) -> pd.DataFrame:
    """One row per behaviour of CAA, and one for the survival instinct of both sources joined.

    Columns: `behaviour`, `source`, `meaning` of the matching option, `rows`, `items` (usable), `left_out` (rows of
    more or less than two options, and the like), `too_long` (passed over), `turned` (items whose options were
    swapped), `vector_items`, `held_out`; and in percent `standard` and `robust` without a vector, `letter_a`, `scr`,
    and of random vectors of the same length `random_scr_mean` and `random_scr_most` (largest absolute value). No text.

    Raises DataError where no folder with copies of the data sets is named.
    """
    folder = lab.profile.data_dir or os.environ.get("FAC_LAB_DATA")
    if not folder or not (Path(folder) / MODEL).is_dir():
        raise DataError(f"there is no {MODEL} to steer: set FAC_LAB_DATA to the folder with copies of the data sets")
    steering = Steering.load(str(Path(folder) / MODEL), layer=LAYER)
    rows = {source: list(_rows(name, folder)) for source, name in SOURCES.items()}
    tests = list(_rows("caa_test", folder))
    named = behaviours or sorted({row["behavior"] for row in tests})
    lines = []
    for behaviour in tqdm(named, desc="real items", unit="behaviour"):
        sets = [("caa",)] + ([tuple(SOURCES)] if behaviour == "survival-instinct" else [])
        for sources in sets:
            lines.append(_line(steering, behaviour, sources, rows, tests))
    return pd.DataFrame(lines)


def _line(steering: Steering, behaviour: str, sources: Sequence[str], rows: dict, tests: list) -> dict:
    read = {source: read_items(_of(behaviour, rows[source]), source=source) for source in sources}
    held, held_left_out = read_items(_of(behaviour, tests), source="caa")
    wanted = WANTED if len(sources) > 1 else None
    items = join_items(*(found for found, _ in read.values()), wanted=wanted)
    # Asked for the same way round as the vector's, whichever way the test set has it.
    held = join_items(held, items, wanted=wanted)[: len(held)]
    turned = sum(item.meaning != wanted for found, _ in read.values() for item in found) if wanted else 0
    (chosen, too_long), (held, held_too_long) = (
        _spread(steering, some, n) for some, n in ((items, VECTOR_ITEMS), (held, HELD_OUT))
    )
    vector = steering.vector(chosen)
    plain = steering_curve(steering, held, vector, (0.0,)).iloc[0]
    null = [control_rate(steering, held, random_vector(vector, seed=draw)) for draw in range(RANDOM_DRAWS)]
    return {
        "behaviour": behaviour,
        "source": " + ".join(sources),
        "meaning": items[0].meaning,
        "rows": sum(len(_of(behaviour, rows[source])) for source in sources),
        "items": len(items),
        "left_out": sum(sum(left.values()) for _, left in read.values()) + sum(held_left_out.values()),
        "too_long": too_long + held_too_long,
        "turned": turned,
        "vector_items": len(chosen),
        "held_out": len(held),
        "standard": 100 * plain.standard,
        "robust": 100 * plain.robust,
        "letter_a": 100 * plain.letter_a,
        "scr": 100 * control_rate(steering, held, vector),
        "random_scr_mean": 100 * float(np.mean(null)),
        "random_scr_most": 100 * float(np.abs(null).max()),
    }


def _rows(name: str, folder: str | Path) -> Iterator[dict]:
    for row in open_recipe(name, data_dir=folder).rows():
        yield {
            "id": row.id,
            "behavior": row.behaviour,
            "question": row.question,
            "answer_matching_behavior": row.matching,
            "answer_not_matching_behavior": row.other,
        }


def _of(behaviour: str, rows: Sequence[dict]) -> list[dict]:
    return [row for row in rows if row["behavior"] == behaviour]


def _spread(steering: Steering, items: Sequence[Item], n: int) -> tuple[list[Item], int]:
    """`n` items from all over the list that are short enough, and how many had to be passed over for their length."""
    chosen, too_long = [], 0
    # A stride without common divisor visits each item once, sources and subjects in turn.
    stride = next(step for step in range(max(1, len(items) // n), len(items) + 2) if math.gcd(step, len(items)) == 1)
    for i in range(len(items)):
        item = items[i * stride % len(items)]
        if len(steering.tokenizer(item.text(matching_first=True), verbose=False)["input_ids"]) > MAX_TOKENS:
            too_long += 1
        else:
            chosen.append(item)
        if len(chosen) == n:
            break
    return chosen, too_long
