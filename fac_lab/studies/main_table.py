"""The paper's table 1 at our scale: every method in every column, cell by cell.

    python -m fac_lab.studies.main_table                                   # all of it, and stores it
    python -m fac_lab.studies.main_table --only reward --only "FAC Synthesis"    # one column of one method, shown

A cell is one method, one column, one held-out set and one training seed. Each keeps its own work on disk, so that a
killed run goes on with the cell it was in. In a column all methods may make as many draws and add as many samples:
as many as our method kept, or all that they have where that is less (`added` says how many).
"""

import argparse
import logging
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from tqdm import tqdm

from fac_lab.errors import FacLabError, SettingsError
from fac_lab.features.stats import FeatureStats
from fac_lab.lab import Lab
from fac_lab.plain import nearest
from fac_lab.studies import detection, instruction, reward, steering
from fac_lab.studies.methods import METHODS, matched
from fac_lab.studies.toxicity import Gap, harmful_gap

AT_MOST_SETS = 3
"""Held-out sets of a column: a cell costs some ten seconds, and there are ten methods and five columns of them."""


class Column(NamedTuple):
    """One task of the table and how its cells are filled."""

    task: str
    """Whose samples are written, by the names of `synthesis.formats`."""
    values: tuple[str, ...]
    """The columns of the paper's table that it fills."""
    cell: Callable[..., Mapping[str, float]]
    """(lab, anchor, gap, written, *, arm, held_out_set, seed) -> at least `values`, in percent."""
    gap: Callable[..., Gap] = harmful_gap
    """(lab, anchor, *, held_out_set) -> the seed that the methods start from."""
    sets: int = AT_MOST_SETS
    """Most held-out sets."""
    most: int | None = None
    """Most samples of a method; None is what the profile's budget says, or one for each missing feature."""


COLUMNS: dict[str, Column] = {
    "toxicity": Column(detection.TASK, ("tox_auprc",), detection.toxicity_cell),
    "reward": Column(reward.TASK, ("rm_acc",), reward.reward_cell, sets=reward.AT_MOST_SETS),
    **{
        name: Column(
            task, (steering.VALUES[task],), partial(steering.steering_cell, behaviour=task), most=steering.ASKED
        )
        for name, task in (("sycophancy", "sycophancy"), ("survival", "survival_instinct"))
    },
    "instruction": Column(
        instruction.TASK,
        instruction.VALUES,
        instruction.instruction_cell,
        gap=instruction.instruction_gap,
        sets=2,
        most=instruction.MOST,
    ),
}
"""Tasks by the name that `--only` takes."""


class Cell(NamedTuple):
    """What is to be filled."""

    column: str
    method: str
    held_out_set: int
    seed: int


def main_table(
    lab: Lab,
    anchor: FeatureStats,
    *,
    sets: Sequence[int],
    columns: Mapping[str, Column] = COLUMNS,
    only: Collection[str] = (),
) -> pd.DataFrame:
    """Every cell, or those of the columns and methods named in `only`: `column`, `method`, `held_out_set`, `seed`,
    `added`, `measure` (a column of the paper's table, or what a cell tells beside it) and `value`.

    Raises SettingsError where `only` names neither a column nor a method.
    """
    chosen = _chosen(columns, only)
    cells = [
        Cell(column, method, held_out_set, seed)
        for column in chosen[0]
        for held_out_set in sets[: columns[column].sets]
        for method in chosen[1]
        for seed in lab.profile.seeds
    ]
    return pd.DataFrame(
        _filled(lab, anchor, cells, columns),
        columns=["column", "method", "held_out_set", "seed", "added", "measure", "value"],
    )


def _filled(
    lab: Lab, anchor: FeatureStats, cells: Sequence[Cell], columns: Mapping[str, Column]
) -> Iterator[dict[str, Any]]:
    found: tuple = (None, None)
    with tqdm(cells, desc="main table", unit="cell") as bar:
        for cell in bar:
            bar.set_postfix_str(f"{cell.column}, {cell.method}, set {cell.held_out_set}, seed {cell.seed}")
            column = columns[cell.column]
            # The seeds of a method share its gap and its samples.
            if found[0] != cell[:3]:
                gap = column.gap(lab, anchor, held_out_set=cell.held_out_set)
                arm, options = METHODS[cell.method], {"task": column.task, "most": column.most}
                found = (cell[:3], gap, matched(lab, anchor, gap, arm, cell.held_out_set, **options))
            _, gap, written = found
            where = {"held_out_set": cell.held_out_set, "seed": cell.seed}
            values = column.cell(lab, anchor, gap, written, arm=METHODS[cell.method], **where)
            for measure, value in values.items():
                yield cell._asdict() | {"added": len(written.texts), "measure": measure, "value": value}


def _chosen(columns: Mapping[str, Column], only: Collection[str]) -> tuple[list[str], list[str]]:
    """Columns and methods: those named, or all where none of its kind is."""
    for name in only:
        if name not in columns and name not in METHODS:
            known = [*columns, *METHODS]
            raise SettingsError(
                f"the table has neither a column nor a method {name!r}{nearest(name, known)}; columns: "
                f"{', '.join(columns)}; methods: {', '.join(METHODS)}"
            )
    return (
        [name for name in columns if name in only] or list(columns),
        [name for name in METHODS if name in only] or list(METHODS),
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Fill the table or a part of it; the whole is stored, a part is shown. Returns the exit status."""
    from fac_lab.studies.results import make_result

    parser = argparse.ArgumentParser(prog="fac_lab.studies.main_table", description=__doc__.splitlines()[0])
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="a column or a method; repeatable")
    parser.add_argument("--sets", type=int, default=AT_MOST_SETS, metavar="N", help="held-out sets (%(default)s)")
    parser.add_argument("--profile")
    parser.add_argument("--runs", type=Path, metavar="FOLDER", help="where finished work is kept (runs/PROFILE)")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    try:
        lab = Lab.open(options.profile, out=options.runs)
        if not options.only and options.sets == AT_MOST_SETS and options.runs is None:
            frame = make_result("main_table", lab)
        else:
            anchor = lab.stats(lab.corpus("anchor"), keep_matrix=True)
            sets = range(min(options.sets, lab.profile.study.held_out_sets))
            frame = main_table(lab, anchor, sets=sets, only=options.only)
    except FacLabError as error:
        print(f"main_table: {error}", file=sys.stderr)
        return 2
    means = frame.groupby(["measure", "method"], sort=False).value.agg(["mean", "std", "count"])
    print(means.round(2).to_string())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
