"""The stored results of behaviour steering: methods, random directions, curves, and what the switches change."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import pandas as pd
from tqdm import tqdm

from fac_lab.features.stats import FeatureStats
from fac_lab.lab import Lab
from fac_lab.mini.personas import behaviours, draw_items
from fac_lab.studies.main_table import Column, main_table
from fac_lab.studies.methods import METHODS
from fac_lab.studies.steering import (
    ASKED,
    ITEMS,
    UNIT,
    VALUES,
    Reading,
    Source,
    framed_queries,
    lengths,
    measure,
    steering_cell,
    unit_length,
)

RANDOM_DRAWS = 20
FAR = (1.0, 4.0)
"""Multipliers of SCR in units of the common length: the paper's, and further."""
CURVE = (-8.0, -4.0, -2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0, 4.0, 8.0)
SMALL_SETS = 10
"""Draws of a few items each, behind a mean over small sets of items."""


def columns() -> dict[str, Column]:
    """Both behaviours as columns of the main table."""
    return {
        name: Column(name, (VALUES[name],), partial(steering_cell, behaviour=name), most=ASKED) for name in behaviours()
    }


def methods_study(lab: Lab, anchor: FeatureStats, *, sets: Sequence[int]) -> pd.DataFrame:
    """Every method's cells: `behaviour`, `method`, `held_out_set`, `seed`, `added` (samples that the method had),
    `items` (of the vector), `scr`, `robust_plus` and `robust_minus` in percent."""
    cells = main_table(lab, anchor, sets=sets, columns=columns())
    cells["measure"] = cells.measure.replace(dict.fromkeys(VALUES.values(), "scr"))
    keys = ["column", "method", "held_out_set", "seed", "added"]
    wide = cells.pivot(index=keys, columns="measure", values="value").reset_index()
    rank = wide.method.map(list(METHODS).index)
    wide = wide.assign(rank=rank).sort_values(["column", "held_out_set", "rank", "seed"])
    return wide[[*keys, "items", "scr", "robust_plus", "robust_minus"]].rename(columns={"column": "behaviour"})


def random_study(lab: Lab) -> pd.DataFrame:
    """What directions drawn at random do, and what could at best be had: SCR in percent by `behaviour`, `vector`
    ("random"; "persona", what the system's words do to the state; "items", CAA on many framed queries), `draw` and
    `multiplier`, with `robust_plus` and `robust_minus`."""
    rows = []
    for behaviour in tqdm(behaviours(), desc="random vectors", unit="behaviour"):
        for source in _yardsticks(behaviour, draws=RANDOM_DRAWS):
            curve = measure(lab, source, multipliers=_both_ways(FAR))
            what = {"behaviour": behaviour, "vector": source.kind, "draw": source.seed}
            rows += [what | {"multiplier": far} | _scr(curve, far) for far in FAR]
    return pd.DataFrame(rows)


def curves_study(lab: Lab) -> pd.DataFrame:
    """Steering curves in percent (`standard`, `robust`, `robust_other`, `letter_a`, `mean_p`) and the `loss` on talks
    about other things, in nats per token, by `behaviour`, `vector`, `draw` and `multiplier`; `in_residual_norms` is the
    length of what is added in units of the mean state's."""
    unit, norm = unit_length(lab), lengths(lab)["residual"]
    parts = []
    for behaviour in tqdm(behaviours(), desc="steering curves", unit="behaviour"):
        for source in _yardsticks(behaviour, draws=3):
            curve = measure(lab, source, multipliers=CURVE, side_effects=True)
            shares = ["standard", "robust", "robust_other", "letter_a", "mean_p"]
            curve[shares] *= 100
            curve.insert(1, "in_residual_norms", curve.multiplier * unit / norm)
            parts.append(curve.assign(behaviour=behaviour, vector=source.kind, draw=source.seed))
    frame = pd.concat(parts, ignore_index=True)
    return frame[[*(first := ["behaviour", "vector", "draw"]), *(c for c in frame if c not in first)]]


def switches_study(lab: Lab) -> pd.DataFrame:
    """SCR in percent at multiplier 1 as one thing at a time is done otherwise: `switch`, `value`, `behaviour`, `draw`
    (several where few items make a vector), `scr`, `robust_plus`, `robust_minus`."""
    rows = []
    for behaviour in tqdm(behaviours(), desc="switches", unit="behaviour"):
        many = framed_queries(behaviour, *UNIT)
        few = [framed_queries(behaviour, ITEMS, seed=500 + draw) for draw in range(SMALL_SETS)]
        several = tuple(draw_items(behaviour, UNIT[0], seed=40, wordings="train"))
        own = tuple(draw_items(behaviour, UNIT[0], seed=41, wordings="test"))
        changes: list[tuple[str, Any, Sequence, dict]] = [
            ("as in the tables", "", [many], {}),
            ("answer at", "code", [many], {"reading": Reading(answer_at="code")}),
            ("layer", 0, [many], {"reading": Reading(layer=0)}),
            ("layer", 2, [many], {"reading": Reading(layer=2)}),
            ("length", "each its own", [many], {"reading": Reading(same_length=False)}),
            ("items in the wordings of", "the tuning", [several], {}),
            ("items in the wordings of", "the test", [own], {}),
            ("held-out items in the wordings of", "the tuning", [many], {"wordings": "train"}),
            *(("items", n, [items[:n] for items in few], {}) for n in range(1, ITEMS + 1)),
        ]
        for switch, value, sets, options in changes:
            for draw, items in enumerate(sets):
                curve = measure(lab, Source("items", behaviour, tuple(items)), multipliers=(-1.0, 1.0), **options)
                what = {"switch": switch, "value": str(value), "behaviour": behaviour, "draw": draw}
                rows.append(what | _scr(curve, 1.0))
    return pd.DataFrame(rows)


def _yardsticks(behaviour: str, *, draws: int) -> list[Source]:
    items = framed_queries(behaviour, *UNIT)
    drawn = [Source("random", behaviour, seed=draw) for draw in range(draws)]
    return [Source("items", behaviour, items), Source("persona", behaviour, items), *drawn]


def _both_ways(multipliers: Sequence[float]) -> tuple[float, ...]:
    return (*(-far for far in multipliers), *multipliers)


def _scr(curve: pd.DataFrame, multiplier: float) -> dict[str, float]:
    robust = 100 * curve.set_index("multiplier").robust
    plus, minus = robust[multiplier], robust[-multiplier]
    return {"scr": plus - minus, "robust_plus": plus, "robust_minus": minus}
