import re
from pathlib import Path

import pandas as pd
import pytest

from fac_lab.display import effects
from fac_lab.display.choices import CHOICES, Choice, as_markdown, link
from fac_lab.display.effects import EFFECTS
from fac_lab.display.glossary import ELSEWHERE, glossary, look_up
from fac_lab.errors import ArtifactError
from fac_lab.profile import load_profile, project_root
from fac_lab.recipes.protocols import diff_protocols
from fac_lab.studies.stored import read_result, results_folder

PARTS = ("corpora", "rule", "synthesis", "collect", "study")


def test_every_one_of_the_seven_points_has_a_choice():
    assert sorted({choice.point for choice in CHOICES}) == list(range(1, 8))
    assert [choice.point for choice in CHOICES] == sorted(choice.point for choice in CHOICES)


def test_settings_exist():
    profile, found = load_profile("mini"), 0
    for choice in CHOICES:
        for part, name in re.findall(rf"\b({'|'.join(PARTS)})\.(\w+)", choice.setting):
            holder = getattr(profile, part)
            assert name in holder if isinstance(holder, dict) else hasattr(holder, name), choice.setting
            found += 1
        for name in re.findall(r"\btoxicity_\w+", choice.setting):
            diff_protocols(name, name)
            found += 1
        for path in re.findall(r"\bstudies\.[\w.]+", choice.setting):
            look_up(f"fac_lab.{path}")
            found += 1
    assert found > 15


def test_effects_are_read_and_move_with_what_is_stored(tmp_path, monkeypatch):
    for choice in CHOICES:
        effect = choice.measured()
        absent = re.search(r"studies\.results (\w+)", effect) if effect.startswith("not stored") else None
        assert absent is None or not (results_folder() / f"{absent[1]}.csv").exists(), effect
        assert len(effect) > 20 and "nan" not in effect.split(), effect
    frame, _ = read_result("switches")
    kept = frame.groupby("switch").kept.mean()
    said = next(choice for choice in CHOICES if choice.setting == "synthesis.features").measured()
    assert f"samples kept {kept['paper']:.0f} → {kept['features']:.0f}" in said
    # Another table, another sentence.
    other = frame.assign(kept=frame.kept + 1000)
    monkeypatch.setattr(effects, "read_result", lambda name: (other, {}))
    moved = next(choice for choice in CHOICES if choice.setting == "synthesis.features").measured()
    assert f"samples kept {kept['paper'] + 1000:.0f}" in moved


def test_no_number_is_typed_into_an_effect():
    source = Path(effects.__file__).read_text(encoding="utf-8")
    texts = re.findall(r'f?"([^"]*)"', source.partition("def ")[2])
    outside = [re.sub(r"\{[^}]*\}", "", text) for text in texts]
    assert not [text for text in outside if re.search(r"\d\.\d\d|\d{3,}", text)], "measured values come from tables"


def test_what_is_not_stored_says_how_to_make_it(monkeypatch):
    def absent():
        raise ArtifactError("there is no result x in y; run: python -m fac_lab.studies.results x")

    monkeypatch.setitem(EFFECTS, "absent", absent)
    choice = Choice(1, "?", "this", "rule.kind", "00_start_here", "absent")
    assert choice.measured() == "not stored here: run: python -m fac_lab.studies.results x"


def test_links():
    assert link("05_two_step_synthesis 10") == "[05 · two step synthesis, section 10](05_two_step_synthesis.ipynb)"
    assert link("12_transfer") == "[12 · transfer](12_transfer.ipynb)"
    text = as_markdown(6)
    assert (
        text.count("\n- **") + 1 == sum(choice.point == 6 for choice in CHOICES) and "_two_step_synthesis.ipynb" in text
    )


@pytest.mark.parametrize("choice", [c for c in CHOICES if " " in c.notebook], ids=lambda choice: choice.notebook)
def test_sections_exist(choice):
    stem, _, section = choice.notebook.partition(" ")
    source = project_root() / "notebooks" / f"{stem}.py"
    assert re.search(rf"^# ## {section} ", source.read_text(encoding="utf-8"), re.MULTILINE)


def test_every_word_of_the_glossary_is_what_it_says():
    words = glossary()
    assert words.word.is_unique and len(words) > 25
    assert all(look_up(path) is not None for path in words["in code"] if path != ELSEWHERE)
    with pytest.raises(ImportError, match="no such name"):
        look_up("fac_lab.coverage.Coverage.nothing")


def test_the_answer_of_steering_by_hand(monkeypatch):
    frame = pd.DataFrame(
        [
            ("as in the tables", "", "calm", 40.0),
            ("answer at", "code", "calm", 10.0),
            ("answer at", "code", "calm", 20.0),
            ("layer", "0", "calm", 99.0),
        ],
        columns=["switch", "value", "behaviour", "scr"],
    )
    monkeypatch.setattr(effects, "read_result", lambda name: (frame, {}))
    said = next(choice for choice in CHOICES if "answer_at" in choice.setting).measured()
    assert said == "SCR at the letter and behind the token: calm 40 % and 15 %"


def test_the_protocols_by_hand(monkeypatch):
    rows = [
        (variant, rule, active, 0.5, 30 + active, 1, 0.25)
        for rule in ("profile", "paper")
        for active, variant in enumerate(("paper", "top_k", "prefix", "code"))
    ]
    names = ["variant", "rule", "active", "silent", "n_missing", "n_missing_null", "jaccard"]
    monkeypatch.setattr(effects, "read_result", lambda name: (pd.DataFrame(rows, columns=names), {}))
    said = next(choice for choice in CHOICES if "collect.protocol" in choice.setting).measured()
    assert "without Top-K: 1 active features in the median text, 50% of texts without any, 31 missing (null 1)" in said
