import json
import re

import pytest

from fac_lab.errors import SettingsError
from fac_lab.recipes.catalogue import CATALOGUE, catalogue
from fac_lab.recipes.protocols import Difference, diff_protocols, listing, save_record

HEX40, HEX64 = re.compile(r"[0-9a-f]{40}"), re.compile(r"[0-9a-f]{64}")


def test_pins_have_the_form_of_pins():
    for name, recipe in catalogue().recipes.items():
        assert recipe.revision is None or HEX40.fullmatch(recipe.revision), name
        for file in (*recipe.files, *(recipe.local.files if recipe.local else ())):
            assert file.sha256 is None or HEX64.fullmatch(file.sha256), (name, file.path)
        assert recipe.source and recipe.licence != "unknown", f"{name} says where its facts are from"


def test_the_seed_of_issue_4_has_the_size_the_paper_states():
    known = catalogue()
    mix = known.mixes["hh_tenth"]
    rows = sum(known.recipes[part.recipe].rows for part in mix.parts)
    assert int(mix.share * rows) == 8637
    attempts = known.mixes["hh_tenth_attempts"]
    assert int(0.1 * sum(known.recipes[part.recipe].rows for part in attempts.parts)) == 8279


def test_appendix_k_and_the_authors_answer_swap_anchor_and_seed():
    k, answer = catalogue().protocols["toxicity_appendix_k"], catalogue().protocols["toxicity_issue_4"]
    assert k.roles["anchor"] == answer.roles["seed"] and "seed" in k.open
    differences = {
        difference.key: (difference.a, difference.b)
        for difference in diff_protocols("toxicity_appendix_k", "toxicity_issue_4")
    }
    assert differences["roles.anchor.share"] == (0.1, None)
    assert differences["roles.anchor.parts.helpsteer2"][0] is None
    assert differences["roles.seed"][0] is None and not any(key.startswith("roles.test") for key in differences)


def test_diff_is_empty_only_for_equals_and_is_antisymmetric():
    names = list(catalogue().protocols)
    for a in names:
        for b in names:
            there, back = diff_protocols(a, b), diff_protocols(b, a)
            assert (there == []) == (a == b)
            assert sorted((d.key, str(d.a), str(d.b)) for d in there) == sorted(
                (d.key, str(d.b), str(d.a)) for d in back
            )


def test_the_switches_of_issue_4_differ_in_one_role_each():
    for other, role in (("attempts", "seed"), ("all_rows", "test")):
        keys = [difference.key for difference in diff_protocols("toxicity_issue_4", f"toxicity_issue_4_{other}")]
        assert keys and all(key.startswith(f"roles.{role}.") for key in keys)


def test_a_saved_record_is_compared_with_the_next(tmp_path, caplog):
    record = catalogue().describe("toxicity_issue_4")
    path = tmp_path / "corpora" / "seed.json"
    assert save_record(record, path) == [] and json.loads(path.read_text()) == record
    assert save_record(record, path) == [] and caplog.text == ""
    assert diff_protocols(json.loads(path.read_text()), "toxicity_issue_4") == []
    changed = json.loads(path.read_text())
    changed["roles"]["seed"]["share"] = 0.2
    assert save_record(changed, path) == [Difference("roles.seed.share", 0.1, 0.2)]
    assert "differ from the last run's: roles.seed.share: 0.1 | 0.2" in caplog.text
    path.write_text("{")
    assert save_record(record, path) == [] and "is no record" in caplog.text


def test_unknown_names_are_answered_with_the_nearest():
    with pytest.raises(SettingsError, match="did you mean 'toxicchat_test'"):
        catalogue().recipe("toxicchat_tset")
    with pytest.raises(SettingsError, match="did you mean 'toxicity_issue_4'"):
        diff_protocols("toxicity_issue_5", "sae_corpus")


def test_another_commit_takes_the_hashes_away():
    recipe = catalogue().recipe("sharegpt@" + "c" * 40)
    assert recipe.revision == "c" * 40 and [file.sha256 for file in recipe.files] == [None]
    assert "sharegpt@" + "c" * 40 in catalogue() and "mini" not in catalogue() and "data.csv" not in catalogue()


@pytest.mark.parametrize(
    ("wrong", "right", "said"),
    [
        ("kind: querys", "kind: queries", "recipes.toxicchat_test.*|kind is 'querys'"),
        ("{recipe: sharegtp}", "{recipe: sharegpt}", "mix sae_corpus names no recipe: sharegtp"),
        ("anchor: hh_tenht", "anchor: hh_tenth", "neither a mix nor a recipe: hh_tenht"),
        ("anker: hh_tenth", "anchor: hh_tenth", "'anker' is no role"),
        ("text: user_input, lable: toxicity", "text: user_input, label: toxicity", "'lable' is no field of queries"),
        ("licens: MIT", "licence: MIT", "unknown key recipes.*licens"),
    ],
)
def test_a_catalogue_that_does_not_hold_together_is_refused(tmp_path, wrong, right, said):
    text = CATALOGUE.read_text()
    assert right in text
    (tmp_path / "recipes.yaml").write_text(text.replace(right, wrong, 1))
    with pytest.raises(SettingsError, match=said):
        catalogue(tmp_path / "recipes.yaml")


def test_the_listing_names_everything():
    text = listing()
    known = catalogue()
    assert all(name in text for name in (*known.recipes, *known.mixes, *known.protocols))
    assert "nrimsky/CAA@UNPINNED" in text and "CC-BY-NC-4.0" in text
