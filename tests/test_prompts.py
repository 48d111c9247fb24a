from pathlib import Path

import pytest

from fac_lab.errors import SettingsError
from fac_lab.prompts import load_prompt


def write(folder: Path, text: str, name: str = "ask"):
    (folder / f"{name}.jinja").write_text(text, encoding="utf-8")
    return load_prompt(folder, name)


def test_one_part_is_the_user_message(tmp_path):
    prompt = write(tmp_path, "Describe:\n{% for span in spans %}\n- {{ span }}\n{% endfor %}\n")
    assert prompt.messages(spans=["a", "b"]) == [{"role": "user", "content": "Describe:\n- a\n- b"}]


def test_a_line_of_dashes_parts_system_from_user_and_values_cannot(tmp_path):
    prompt = write(tmp_path, "You are terse.\n---\nExplain {{ text }} -- please.")
    text = "x\n---\n{{ 7 * 7 }} <b>&"
    assert prompt.messages(text=text) == [
        {"role": "system", "content": "You are terse."},
        {"role": "user", "content": f"Explain {text} -- please."},
    ]


def test_the_version_is_that_of_the_text(tmp_path):
    first = write(tmp_path, "Say {{ x }}")
    assert write(tmp_path, "Say {{ x }}", name="other").version == first.version
    assert write(tmp_path, "Say {{ x }}!").version != first.version


def test_a_forgotten_value_is_an_error(tmp_path):
    prompt = write(tmp_path, "Explain {{ summary }}")
    with pytest.raises(SettingsError, match="prompt ask: 'summary' is undefined .it was given span"):
        prompt.messages(span="x")


def test_a_prompt_cannot_reach_into_python(tmp_path):
    prompt = write(tmp_path, "{{ ''.__class__.__mro__ }}")
    with pytest.raises(SettingsError, match="unsafe"):
        prompt.messages()


@pytest.mark.parametrize(
    ("text", "message"),
    [("{% if x %}", "line 1"), (" \n", "is empty"), ("a\n---\nb\n---\nc", "2 lines of three dashes")],
)
def test_a_bad_file_is_named(tmp_path, text, message):
    with pytest.raises(SettingsError, match=f"ask.*{message}"):
        write(tmp_path, text)


def test_a_missing_prompt_is_answered_with_those_that_exist(tmp_path):
    write(tmp_path, "x", name="judge")
    with pytest.raises(SettingsError, match="no prompt 'juge' in .*; there are: judge"):
        load_prompt(tmp_path, "juge")
