"""A world in which features are words: a text activates a feature as often as it holds the feature's word."""

import json

import numpy as np
import pytest

from fac_lab.chat.client import ChatReply

WORDS = ("leak", "lock", "exam", "refund", "bread", "moon")
FILLERS = ("quietly", "at home", "before noon", "for my aunt", "once more", "in the rain", "by hand", "again")


class World:
    """Counts what it measures; feature `i` is the word `WORDS[i]`."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []

    def measure(self, texts, features) -> np.ndarray:
        self.calls.append(list(texts))
        return np.array([[float(text.split().count(WORDS[i])) for i in features] for text in texts]).reshape(
            len(texts), len(features)
        )


class Writer:
    """Writes a query about the word it is told, as a function of the request alone; better with a pair in view.

    `says` overrides its answer: a function of (word, step, seed) that returns a text, a reply's error as an
    Exception, or None for the usual answer.
    """

    def __init__(self, says=None, structured: bool = False) -> None:
        self.name = "writer"
        self.says = says or (lambda word, step, seed: None)
        self.structured = structured
        self.calls = []

    def generate(self, requests, done):
        self.calls.append(list(requests))
        for i, request in enumerate(requests):
            prompt = request.messages[0]["content"]
            word = next((word for word in WORDS if f"about {word}" in prompt), "thing")
            step = 2 if ("Good:" in prompt or "strong_example" in prompt) else 1
            said = self.says(word, step, request.seed)
            if isinstance(said, Exception):
                done(i, ChatReply.failed(request, str(said)))
                continue
            text = said if said is not None else self.usual(word, step, request.seed)
            text = json.dumps({"query": text}) if self.structured else text
            done(i, ChatReply(request, text, "stop"))

    @staticmethod
    def usual(word: str, step: int, seed: int) -> str:
        times = 1 + (step == 2) + seed % 2
        return f"help me {FILLERS[seed % 8]} {f'{word} and ' * times}{FILLERS[seed // 8 % 8]} number {seed}"

    @property
    def prompts(self) -> list[list[str]]:
        return [[request.messages[0]["content"] for request in call] for call in self.calls]


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture(scope="session")
def writer_type() -> type[Writer]:
    return Writer
