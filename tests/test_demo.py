import pandas as pd
import pytest

from fac_lab.demo import run_demo
from fac_lab.profile import load_profile
from fac_lab.studies.toxicity import ARMS


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def result(folder):
    return run_demo("smoke", out=folder)


def test_every_arm_adds_the_same_number_and_is_run_with_every_seed(result):
    after = result.after.set_index("arm")
    assert list(after.index) == list(ARMS)
    assert after.added["none"] == 0
    assert after.added[["random", "fac", "oracle"]].nunique() == 1 and after.added["fac"] > 0
    assert len(result.runs) == len(ARMS) * len(load_profile("smoke").seeds)
    assert result.runs.auprc.between(0, 1).all()


def test_coverage_rises_with_what_is_added(result):
    after = result.after.set_index("arm")
    before = result.gap.coverage.fac
    assert after.fac["none"] == before
    assert (after.fac >= before).all()
    assert after.gap_coverage["fac"] > 0


def test_the_null_and_both_rules_stand_beside_the_result(result):
    assert len(result.naming) == 2 and "n_missing_null" in result.naming
    assert result.null.n_seed == result.gap.coverage.n_seed
    assert (result.null.relevant == result.gap.coverage.relevant).all()


def test_every_sample_carries_where_it_comes_from(result):
    kept = result.samples[result.samples.kept]
    assert set(kept.feature) <= set(result.gap.coverage.missing)
    assert (kept.activation > result.gap.coverage.delta).all()
    assert kept[["prompt_version", "model", "seed"]].notna().all(axis=None)
    assert (result.samples[~result.samples.kept].reason != "").all()


def test_the_report_is_one_file_that_asks_for_nothing(result):
    page = result.report.read_text(encoding="utf-8")
    assert "Less is enough" in page and "default-src 'none'" in page
    for arm in ARMS:
        assert arm in page


def test_a_second_run_reads_what_the_first_computed(result, folder):
    runs = (folder / "runs.csv").read_bytes()
    again = run_demo("smoke", out=folder)
    assert again.seconds < result.seconds / 2
    assert (folder / "runs.csv").read_bytes() == runs
    pd.testing.assert_frame_equal(again.after, result.after)
    assert str(again).splitlines()[0] == str(result).splitlines()[0]
