"""The stored results of behaviour steering: methods, random directions, curves, switches, and real items."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd
from tqdm import tqdm

from fac_lab.features.stats import FeatureStats
from fac_lab.lab import Lab
from fac_lab.mini.personas import behaviours, draw_items
from fac_lab.studies.main_table import Column, main_table, samples
from fac_lab.studies.methods import METHODS
from fac_lab.studies.steering import (
    ASKED,
    PAPER,
    UNIT,
    VALUES,
    Reading,
    Source,
    framed_queries,
    lengths,
    measure,
    steering_cell,
    unit_length,
    vector_items,
)
from fac_lab.studies.toxicity import harmful_gap
from fac_lab.tasks.steering import MULTIPLIERS

RANDOM_DRAWS = 20
FAR = (-8.0, -4.0, -2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0, 4.0, 8.0)
"""Multipliers of the curves, far enough to see where steering breaks."""


def columns() -> dict[str, Column]:
    """Both behaviours as columns of the main table."""

    def cell_of(behaviour: str) -> Any:
        return lambda *given, **named: steering_cell(*given, behaviour=behaviour, **named)

    return {name: Column(name, (VALUES[name],), cell_of(name), most=ASKED) for name in behaviours()}


def methods_study(lab: Lab, anchor: FeatureStats, *, sets: Sequence[int]) -> pd.DataFrame:
    """SCR of every method, behaviour, held-out set and seed, in percent: columns `behaviour`, `method`,
    `held_out_set`, `seed`, `added`, `items`, `robust_minus`, `robust_plus`, `scr`."""
    cells = main_table(lab, anchor, sets=sets, columns=columns())
    keys = ["column", "method", "held_out_set", "seed", "added"]
    cells["measure"] = cells.measure.replace(dict.fromkeys(VALUES.values(), "scr"))
    wide = cells.pivot(index=keys, columns="measure", values="value").reset_index()
    order = {name: i for i, name in enumerate(METHODS)}
    wide = wide.sort_values(["column", "held_out_set", "method", "seed"], key=lambda c: c.map(order) if c.name == "method" else c)
    return wide.rename(columns={"column": "behaviour"}).rename_axis(columns=None).reset_index(drop=True)


def random_study(lab: Lab) -> pd.DataFrame:
    """SCR in percent of directions drawn at random and of what a persona does, at the common length and beyond:
    `behaviour`, `vector` ("random", "persona", "items": many framed queries), `draw`, `multiplier`, `scr`,
    `robust_plus`, `robust_minus`."""
    rows = []
    for behaviour in tqdm(behaviours(), desc="random vectors", unit="behaviour"):
        items = framed_queries(behaviour, *UNIT)
        sources = [Source("random", behaviour, seed=draw) for draw in range(RANDOM_DRAWS)]
        sources += [Source("persona", behaviour, items), Source("items", behaviour, items)]
        for source in sources:
            curve = measure(lab, source, multipliers=(-4.0, -2.0, -1.0, 1.0, 2.0, 4.0)).set_index("multiplier")
            for multiplier in (1.0, 2.0, 4.0):
                plus, minus = 100 * curve.robust[multiplier], 100 * curve.robust[-multiplier]
                rows.append(
                    {
                        "behaviour": behaviour,
                        "vector": source.kind,
                        "draw": source.seed,
                        "multiplier": multiplier,
                        "scr": plus - minus,
                        "robust_plus": plus,
                        "robust_minus": minus,
                    }
                )
    return pd.DataFrame(rows)
