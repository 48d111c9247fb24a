"""Dictionaries and layers compared, on small dictionaries trained for it."""

import pytest

from fac_lab.studies.sae_sensitivity import REFERENCE, SAES, layer_study, quality_of, sae_study
from fac_lab.studies.scrutiny import with_dictionary


def test_the_reference_is_the_profiles_own_and_the_ratios_are_as_said():
    assert SAES[0] == REFERENCE and len(set(SAES)) == len(SAES)
    widths = {width / REFERENCE[0] for width, k in SAES if k == REFERENCE[1]}
    assert widths == {0.25, 1.0, 2.0}


@pytest.mark.slow
def test_every_dictionary_is_measured_and_the_detector_stays(truthful):
    lab, _ = truthful
    frame = sae_study(lab, sets=[0], saes=((64, 2), (96, 2)), drafts=24)
    names = frame.drop_duplicates("name").set_index("name")
    assert names.index.tolist() == ["none", "the profile's", "64 features, K 2", "96 features, K 2"]
    small = names.loc["64 features, K 2"]
    assert small.d_sae == 64 and small.l0 == pytest.approx(2, abs=0.01) and 0 < small.unexplained < 1
    assert names.tokens["the profile's"] > small.tokens == names.tokens["96 features, K 2"]
    assert names.auprc["none"] == frame.auprc[frame.kept == 0].iloc[0]


@pytest.mark.slow
def test_another_layer_is_another_subject_with_the_same_detector(truthful):
    lab, _ = truthful
    other = with_dictionary(lab, 64, 2, layer=0)
    assert other.subject.layer == 0 and lab.subject.layer == 1 and other.subject.digest != lab.subject.digest
    assert quality_of(other)["unexplained"] != quality_of(with_dictionary(lab, 64, 2))["unexplained"]
    frame = layer_study(lab, sets=[0], layers=(0, 1), drafts=24)
    assert frame.name.unique().tolist() == ["none", "layer 0", "layer 1"] and (frame.k.dropna() == 3).all()
