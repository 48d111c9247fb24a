import pandas as pd

from fac_lab.studies.label_noise import NOISE


def test_settings_are_those_of_table_6_and_change_what_they_should():
    labels = pd.DataFrame(
        {
            "feature": range(40),
            "summary": [f"requests about thing {i}" for i in range(40)],
            "verdict": ["Yes"] * 20 + ["No"] * 20,
            "relevant": [True] * 20 + [False] * 20,
            "reason": "",
        }
    )
    assert NOISE["original", 0] is None
    for (setting, percent), disturb in NOISE.items():
        if disturb is None:
            continue
        noisy = disturb(labels, seed=42, among=None)
        reversed_ = int((noisy.relevant != labels.relevant).sum())
        reworded = int((noisy.summary != labels.summary).sum())
        expected = {"mislabel": (2 * percent / 5, 0), "mislabel_any": (2 * percent / 5, 0)}.get(setting, (0, 8))
        assert (reversed_, reworded) == expected
