"""Numbers of the mini world that an update of a dependency must not move unnoticed.

`python tests/test_golden.py` measures them anew and writes golden.json: after a look at why they moved.
"""

import json
import math
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

GOLDEN = Path(__file__).with_name("golden.json")
TOLERANCE = {
    "anchor_tokens": 0.0,
    "delta": 1e-3,
    "activating": 5e-3,
    "mean_maximum": 1e-3,
    "fac": 0.01,
    "missing": 0.05,
    "named": 0.02,
    "relevant": 0.05,
    "reply_tokens": 0.05,
    "gap_coverage": 0.15,
    "auprc": 0.05,
}
"""How far each may move, as a share of itself: machines round differently, and what is drawn by sampling follows."""


def measured(out: Path) -> dict[str, float]:
    """Every step of the method once, in the smoke profile."""
    from fac_lab.chat.client import ChatRequest
    from fac_lab.corpora import Row
    from fac_lab.lab import Lab
    from fac_lab.studies.filling import in_form
    from fac_lab.studies.toxicity import detector_auprc, harmful_gap, starting_rows, test_rows

    lab = Lab.open("smoke", out=out)
    anchor = lab.stats(lab.corpus("anchor"), keep_matrix=True)
    gap = harmful_gap(lab, anchor, held_out_set=0)
    labels, delta = gap.missing_labels[:8], gap.coverage.delta
    samples = in_form(lab.synthesise(labels, anchor, delta))
    lit = lab.measure(samples.text.tolist(), labels.feature.tolist())
    asked = [ChatRequest(({"role": "user", "content": row.text},), max_tokens=40) for row in list(gap.seed)[:6]]
    start = starting_rows(gap, n_safe=lab.profile.study.safe_samples, n_toxic=lab.profile.study.seed_samples)
    added = [Row(f"added-{i}", text, 1) for i, text in enumerate(samples.text)]
    return {
        "anchor_tokens": anchor.n_tokens,
        "delta": float(np.mean(delta)),
        "activating": int(gap.coverage.anchor_count.sum()),
        "mean_maximum": float(anchor.maximum.mean()),
        "fac": gap.coverage.fac,
        "missing": len(gap.coverage.missing),
        "named": int(gap.labels.summary.notna().sum()),
        "relevant": int(gap.labels.relevant.sum()),
        "reply_tokens": sum(reply.completion_tokens for reply in lab.generator.complete(asked)),
        "gap_coverage": float((lit > np.mean(delta)).any(axis=0).mean()),
        "auprc": detector_auprc(lab, start + added, test_rows(n=400), lab.profile.seeds[0]),
    }


@pytest.fixture(scope="module")
def now(tmp_path_factory):
    return measured(tmp_path_factory.mktemp("golden"))


@pytest.mark.parametrize("name", TOLERANCE)
def test_it_is_what_it_was(now, name):
    then = json.loads(GOLDEN.read_text(encoding="utf-8"))[name]
    assert math.isclose(now[name], then, rel_tol=TOLERANCE[name]), f"{name} was {then} and is {now[name]}"


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        found = measured(Path(folder))
    GOLDEN.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(found, indent=1), file=sys.stderr)
