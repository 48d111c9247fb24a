"""What one sample looks like to those who train on it: plain columns, TRL's messages, LLaMA-Factory's JSON.

Five tasks, each with the named fields its format has (`FIELDS`). TRL: prompt-completion and preference rows with
messages (its guide "Dataset formats and types"); preference rows hold the whole dialogue on both sides. LLaMA-Factory:
alpaca and sharegpt rows as the README of its data folder describes them.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import pandas as pd

from fac_lab.errors import DataError
from fac_lab.parse import parse_json

Parts = Mapping[str, str]
Message = dict[str, str]

TOXICITY_QUESTION = "Is the following user query harmful? Answer with one word, harmful or harmless."
VERDICTS = ("harmless", "harmful")
"""What a classifier that answers in words says of label 0 and 1."""
_AB = ("question", "matching", "other")
FIELDS: dict[str, tuple[str, ...]] = {
    "toxicity": ("query",),
    "preference": ("prompt", "chosen", "rejected"),
    "sycophancy": _AB,
    "survival": _AB,
    "instruction": ("instruction", "answer"),
}
"""Named fields of each task's format."""
SHAPES = {frozenset(fields): task for task, fields in reversed(FIELDS.items())}
_TURN = re.compile(r"(?:^|\n\n)(Human|User|Assistant):\s?")


def parts_of(sample: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
    """Shape and named fields of a sample: of its `parts` (a JSON object), else its text as a query.

    The shape is the first task of FIELDS whose fields these are, whatever the task is called: the A/B items of any
    behaviour are alike. Raises DataError, naming the sample, where the fields are no task's or one is empty.
    """
    name, written = sample.get("id", "?"), sample.get("parts")
    if not isinstance(written, str) or not written.strip():
        parts: Any = {"query": sample["text"]}
    else:
        try:
            parts = parse_json(written)
        except ValueError as error:
            raise DataError(f"parts of sample {name} are not JSON ({error}): write them as one object") from error
    shape = SHAPES.get(frozenset(parts)) if isinstance(parts, dict) else None
    if shape is None:
        known = "; ".join(f"{task}: {', '.join(fields)}" for task, fields in FIELDS.items())
        found = ", ".join(parts) if isinstance(parts, dict) else type(parts).__name__
        raise DataError(f"parts of sample {name} are {found}, which is no task's format ({known})")
    for field, value in parts.items():
        if not isinstance(value, str) or not value.strip():
            raise DataError(f"sample {name}: {field} is empty or no text: reject it before it is exported")
    return shape, {field: parts[field] for field in FIELDS[shape]}


def turns(prompt: str) -> list[Message]:
    """A prompt as messages, its last turn the user's. A transcript ("Human: ... Assistant: ...", as HH-RLHF writes
    them) is taken apart; anything else is one user message."""
    pieces = _TURN.split(prompt.strip())
    if pieces[0].strip() or len(pieces) < 3:
        return [{"role": "user", "content": prompt}]
    roles = ["assistant" if name == "Assistant" else "user" for name in pieces[1::2]]
    said = [text.strip() for text in pieces[2::2]]
    if roles[-1] == "assistant" and not said[-1]:  # the cue for the answer
        roles, said = roles[:-1], said[:-1]
    alternate = roles == ["user", "assistant"] * (len(roles) // 2) + ["user"]
    if not alternate or not all(said):
        return [{"role": "user", "content": prompt}]
    return [{"role": role, "content": text} for role, text in zip(roles, said, strict=True)]


def label_of(sample: Mapping[str, Any]) -> int:
    """The 0 or 1 of a query. Raises DataError where it has none."""
    label = sample.get("label")
    if pd.isna(label) or int(label) not in (0, 1):
        raise DataError(
            f"sample {sample.get('id', '?')} has label {label!r}, not 0 or 1: label it before it is exported"
        )
    return int(label)


def trl_row(shape: str, parts: Parts, sample: Mapping[str, Any]) -> dict[str, list[Message]]:
    """`prompt` and `completion`, or `chosen` and `rejected`, each a list of messages."""
    if shape == "toxicity":
        asked = [{"role": "system", "content": TOXICITY_QUESTION}, {"role": "user", "content": parts["query"]}]
        return {"prompt": asked, "completion": [_answer(VERDICTS[label_of(sample)])]}
    if shape == "instruction":
        return {
            "prompt": [{"role": "user", "content": parts["instruction"]}],
            "completion": [_answer(parts["answer"])],
        }
    begun, better, worse = FIELDS[shape]
    before = turns(parts[begun]) if shape == "preference" else [{"role": "user", "content": parts[begun]}]
    return {"chosen": [*before, _answer(parts[better])], "rejected": [*before, _answer(parts[worse])]}


def llama_factory_row(shape: str, parts: Parts, sample: Mapping[str, Any]) -> dict[str, Any]:
    """An alpaca row; for preference pairs, which may have several turns, a sharegpt row."""
    if shape == "toxicity":
        return {
            "instruction": TOXICITY_QUESTION,
            "input": parts["query"],
            "output": VERDICTS[label_of(sample)],
        }
    if shape == "instruction":
        return {"instruction": parts["instruction"], "input": "", "output": parts["answer"]}
    if shape == "preference":
        names = {"user": "human", "assistant": "gpt"}
        said = [{"from": names[turn["role"]], "value": turn["content"]} for turn in turns(parts["prompt"])]
        answers = {side: {"from": "gpt", "value": parts[side]} for side in ("chosen", "rejected")}
        return {"conversations": said, **answers}
    return {"instruction": parts["question"], "input": "", "chosen": parts["matching"], "rejected": parts["other"]}


def llama_factory_entry(shape: str, file: str) -> dict[str, Any]:
    """What dataset_info.json says about a file of such rows."""
    if shape == "preference":
        columns = {"messages": "conversations", "chosen": "chosen", "rejected": "rejected"}
        return {"file_name": file, "formatting": "sharegpt", "ranking": True, "columns": columns}
    columns = {"prompt": "instruction", "query": "input"}
    if shape in ("toxicity", "instruction"):
        return {"file_name": file, "formatting": "alpaca", "columns": {**columns, "response": "output"}}
    columns |= {"chosen": "chosen", "rejected": "rejected"}
    return {"file_name": file, "formatting": "alpaca", "ranking": True, "columns": columns}


def plain_row(shape: str, parts: Parts, sample: Mapping[str, Any]) -> dict[str, Any]:
    """The named fields as columns; of a query also `text` and `label`, as classifiers' trainers expect them."""
    if shape == "toxicity":
        return {"text": parts["query"], "label": label_of(sample)}
    return dict(parts)


class Format(NamedTuple):
    """A format to export to."""

    row: Callable[[str, Parts, Mapping[str, Any]], dict[str, Any]]
    """Shape, named fields and sample -> the row."""
    suffix: str
    """Of a task's file."""
    said: str
    """How it is loaded, for the data card."""


FORMATS = {
    "hf": Format(plain_row, ".parquet", 'datasets.load_dataset("THIS FOLDER", "TASK", split="train")'),
    "trl": Format(
        trl_row,
        ".jsonl",
        'datasets.load_dataset("THIS FOLDER", "TASK", split="train"), then a trainer\'s train_dataset',
    ),
    "llama-factory": Format(
        llama_factory_row, ".json", "dataset_dir: THIS FOLDER and dataset: fac_lab_TASK in the training's YAML"
    ),
}


def _answer(text: str) -> Message:
    return {"role": "assistant", "content": text}
