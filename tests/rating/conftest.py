from pathlib import Path

import pytest

from fac_lab.features.spans import Span
from fac_lab.rating.answers import Ratings
from fac_lab.rating.sheet import feature_sheet, load_questions

RUBRIC = "the user means to deceive or to harm."


def spans(feature: int) -> list[Span]:
    return [Span(feature, 9.0 - i, f"id-{feature}-{i}", f"piece {i} of {feature}", (0, 5)) for i in range(12)]


def labels(n: int) -> list[dict]:
    verdicts = ["Yes", "No"]
    return [
        {"feature": i, "summary": f"topic {i}", "verdict": verdicts[i % 2], "relevant": i % 2 == 0, "arm": "SECRETARM"}
        for i in range(n)
    ]


@pytest.fixture
def sheet():
    return feature_sheet("tests", labels(6), spans, load_questions(["sound", "relevant"], rubric=RUBRIC), seed=3)[0]


@pytest.fixture
def ratings(sheet, tmp_path: Path) -> Ratings:
    return Ratings(tmp_path / "ratings", sheet)
