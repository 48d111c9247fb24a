"""Synthesis by itself, for `killing.py`: what `Lab.synthesise` writes for features that a small data set misses."""

import sys
from collections.abc import Sequence

import pandas as pd

from fac_lab.corpora import Corpus, Row
from fac_lab.coverage import cover
from fac_lab.lab import Lab
from fac_lab.settings import CoverageRule
from fac_lab.world import queries

FEATURES = 8


def main(arguments: Sequence[str]) -> int:
    """Write samples into the store of a folder: the first features that 20 queries miss of what 120 show."""
    lab = Lab.open(out=arguments[0])
    anchor, seed = (
        lab.stats(
            Corpus.from_rows(f"{n} queries", [Row(str(i), text) for i, (_, text) in enumerate(queries(n, seed=n))])
        )
        for n in (120, 20)
    )
    coverage = cover(anchor, seed, CoverageRule())
    features = coverage.missing[:FEATURES].tolist()
    # The name is the strongest span: naming is the annotator's, and not what is killed here.
    summaries = [f"requests about {anchor.spans(feature)[0].text.lower()}" for feature in features]
    labels = pd.DataFrame({"feature": features, "summary": summaries, "relevant": True})
    samples = lab.synthesise(labels, anchor, coverage.delta)
    return 0 if len(samples) else 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
