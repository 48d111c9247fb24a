"""Texts in batches."""

from fac_lab.features.batches import batches


def test_batches_hold_every_text_once_within_the_budget():
    lengths = [3, 50, 1, 7, 7, 200, 0, 12]
    found = list(batches(lengths, 60))
    assert sorted(index for batch in found for index in batch) == list(range(len(lengths)))
    longest = [max(lengths[index] for index in batch) for batch in found]
    assert longest == sorted(longest, reverse=True)
    for batch, width in zip(found, longest, strict=True):
        assert len(batch) * width <= 60 or len(batch) == 1
    assert len(found) == 4  # 200 | 50 | 12 7 7 3 1 | 0, because 60 // 12 = 5
