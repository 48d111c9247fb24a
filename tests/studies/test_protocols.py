import pytest

from fac_lab.collect_protocol import NAMED, CollectProtocol
from fac_lab.lab import Lab
from fac_lab.studies.protocols import VARIANTS, protocols_study
from fac_lab.studies.results import RESULTS


def test_each_variant_turns_one_switch_to_what_the_code_does():
    assert "protocols" in RESULTS
    both = {key for key in NAMED["paper"] if NAMED["paper"][key] != NAMED["code"][key]}
    for name, switches in VARIANTS.items():
        made = CollectProtocol(**switches)
        turned = {key for key in NAMED["paper"] if getattr(made, key) != NAMED["paper"][key]}
        assert turned == {"paper": set(), "code": both}.get(name, {name})
        assert all(getattr(made, key) == NAMED["code"][key] for key in turned)
    assert set(VARIANTS) - {"paper", "code"} <= set(NAMED["paper"])


@pytest.mark.slow
def test_the_study_in_small():
    found = protocols_study(Lab.open("smoke"), n_anchor=60, n_seed=90).set_index(["variant", "rule"])
    assert len(found) == 2 * len(VARIANTS)
    assert (found.jaccard.xs("paper").dropna() == 1).all()
    assert found.active["top_k", "paper"] > found.active["paper", "paper"], "Top-K keeps a few per token"
    assert found.silent["prefix", "paper"] > found.silent["paper", "paper"], "short queries lose all their tokens"
