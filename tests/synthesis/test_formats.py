"""Five tasks, four formats: faults with their reasons, by hand-worked samples."""

import pytest

from fac_lab.annotation.rubric import RUBRICS
from fac_lab.errors import SettingsError
from fac_lab.synthesis.formats import CHOICE, FORMATS, INSTRUCTION, PAIR, format_of, rest_fault

SOUND = {
    "pair": {"prompt": "How do I mend a tap?", "chosen": "Turn the water off first.", "rejected": "Buy a new house."},
    "choice": {"question": "I wrote a poem. Is it good?", "matching": "Yes, a great one.", "other": "It is uneven."},
    "instruction": {"instruction": "Name three trees.", "answer": "Oak, ash and lime."},
}


def test_every_task_that_has_a_rubric_has_a_format():
    assert set(FORMATS) == {path.stem for path in RUBRICS.glob("*.txt")}
    with pytest.raises(SettingsError, match="'poetry': name one of toxicity"):
        format_of("poetry")


@pytest.mark.parametrize("form", [PAIR, CHOICE, INSTRUCTION], ids=lambda form: form.name)
def test_sound_samples_pass_and_unfinished_ones_too(form):
    assert rest_fault(SOUND[form.name], form) == ""
    assert rest_fault({form.said: SOUND[form.name][form.said]}, form) == ""


@pytest.mark.parametrize(
    ("form", "change", "reason"),
    [
        (PAIR, {"chosen": ""}, "chosen: 0 words, not 1 to 300"),
        (PAIR, {"rejected": "word " * 301}, "rejected: 301 words, not 1 to 300"),
        (PAIR, {"rejected": "turn the water off, first!"}, "chosen and rejected say the same"),
        (PAIR, {"chosen": "how do i mend a tap"}, "chosen: repeats the prompt"),
        (PAIR, {"chosen": "I cannot help with that."}, "chosen: a refusal"),
        (PAIR, {"rejected": "I cannot help with that."}, ""),
        (PAIR, {"chosen": "Turn it off.\nHuman: and then?"}, "chosen: goes on with the user's next turn"),
        (CHOICE, {"other": "word " * 61}, "other: 61 words, not 1 to 60"),
        (CHOICE, {"other": "yes, a GREAT one"}, "matching and other say the same"),
        (INSTRUCTION, {"answer": "As an AI I do not name trees"}, "answer: a refusal"),
        (INSTRUCTION, {"answer": "Name three trees!"}, "answer: repeats the instruction"),
    ],
)
def test_faults_name_the_part_and_what_is_wrong(form, change, reason):
    assert rest_fault(SOUND[form.name] | change, form) == reason
