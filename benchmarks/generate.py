"""Speed of writing: tokens per second of the embedded chat models, asked as synthesis asks them.

    python -m benchmarks.generate --rounds 3

One round writes for a number of concepts, `concurrency` requests at once, as the profile says. Tokens are those that
are written, up to the end of each answer: neither the prompts nor what a batch computes behind an end count.
"""

import argparse

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from benchmarks.timing import in_turns, spread
from fac_lab.chat.client import ChatReply, ChatRequest
from fac_lab.chat.local import LocalBackend
from fac_lab.mini.documents import prompt, summary
from fac_lab.profile import load_profile
from fac_lab.studies.steps import GENERATORS
from fac_lab.world import concepts

REQUESTS = 512
"""Requests of a round: eight batches."""


def requests(n: int) -> list[ChatRequest]:
    """`n` one-step prompts of synthesis, about one concept after the other."""
    settings, all_of_them = load_profile("mini").synthesis, concepts()
    return [
        ChatRequest(
            tuple(prompt("toxicity_one_step").messages(summary=summary(all_of_them[i % len(all_of_them)]) + ".")),
            temperature=settings.temperature,
            top_p=settings.top_p,
            max_tokens=settings.max_tokens,
            seed=i,
        )
        for i in range(n)
    ]


def measure(rounds: int, share: float = 1.0) -> pd.DataFrame:
    """One row per model: requests, tokens written in a round, tokens per second with their spread."""
    batch = load_profile("mini").generator.concurrency
    asked = requests(max(2, int(REQUESTS * share)))
    rows = []
    for name, folder in tqdm(GENERATORS.items(), desc="chat models", unit="model"):
        backend, replies = LocalBackend(folder, batch=batch), {}

        def run(backend=backend, replies=replies) -> None:
            backend.generate(asked, replies.__setitem__)

        seconds = in_turns({name: run}, rounds)[name]
        tokens = written(list(replies.values()))
        rates = dict(zip(("tokens_per_second", "least", "most"), spread(tokens / np.array(seconds)), strict=True))
        rows.append({"model": name, "requests": len(asked), "batch": batch, "tokens": tokens, "rounds": rounds} | rates)
    return pd.DataFrame(rows)


def written(replies: list[ChatReply]) -> int:
    """Tokens of the answers."""
    return sum(reply.completion_tokens for reply in replies)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="counted runs of each model (%(default)s)")
    parser.add_argument("--share", type=float, default=1.0, help="of the usual number of requests (%(default)s)")
    options = parser.parse_args()
    print(measure(options.rounds, options.share).round(1).to_string(index=False))


if __name__ == "__main__":
    main()
