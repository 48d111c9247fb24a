"""Plain generation: samples written with no feature in mind, beside which feature-guided ones are put."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from fac_lab.chat.client import ChatClient
from fac_lab.settings import SynthesisSettings
from fac_lab.synthesis.complete import complete
from fac_lab.synthesis.samples import Sample, choose, kept
from fac_lab.synthesis.writer import Draft, Writer

log = logging.getLogger(__name__)

Drawing = Callable[[Sequence[int]], Sequence[Draft]]
"""Numbers of draws, from 0 -> their drafts. A draw's number decides its seed, whatever it is drawn with."""


def plain(
    n: int,
    *,
    chat: ChatClient,
    settings: SynthesisSettings,
    prompts: str | Path,
    seed: int = 0,
    label: int = 1,
    task: str = "toxicity",
) -> list[Sample]:
    """All candidates in the order of their draws, `n` of them kept if the draws yield as many.

    Sampling, checks and removal of duplicates are those of two-step synthesis, and so is the limit of draws
    per sample; nothing is measured. `prompts` is a folder with `plain` and the formats of the tasks; `seed` is mixed
    with the settings' own. Models of the mini world know a plain prompt for the first task only: for the others they
    are asked for a query about a feature that nobody could name, which makes them write about anything.
    """
    writer = Writer(chat, settings, Path(prompts), task)
    if writer.style.structured or task == "toxicity":
        prompt = writer.prompt("plain")
        messages = writer.messages(prompt)
    else:
        prompt = writer.prompt("one_step")
        messages = writer.messages(prompt, summary=writer.style.phrase(None))

    def draw(numbers: Sequence[int]) -> list[Draft]:
        seeds = [writer.seed("plain", seed, number) for number in numbers]
        return writer.write([messages] * len(seeds), seeds, [()] * len(seeds))

    return draw_until(n, draw, writer, method="plain", label=label, prompt_version=writer.version(prompt))


def draw_until(
    n: int,
    draw: Drawing,
    writer: Writer,
    *,
    method: str,
    label: int = 1,
    prompt_version: str = "",
    together: int = 1,
) -> list[Sample]:
    """Draw until `n` samples are kept or the draws per sample are used up; all candidates, kept ones complete.

    What is short of `n` after one batch is drawn in the next one. The limit is `draws_allowed`, so that no method
    tries harder than another. With `together`, draws come in groups of so many, of which one is kept at most.
    """
    limit = draws_allowed(n, writer.settings)
    drawn: list[Sample] = []
    samples: list[Sample] = []
    while (groups := min(n - len(kept(samples)), (limit - len(drawn)) // together)) > 0:
        numbers = range(len(drawn), len(drawn) + groups * together)
        for number, draft in zip(numbers, draw(numbers), strict=True):
            drawn.append(writer.sample(draft, label=label, draw=number, method=method, prompt_version=prompt_version))
        samples = choose(drawn, per_group=n)
    samples = complete(samples, writer)
    report_shortage(samples, n, method)
    return samples


def draws_allowed(n: int, settings: SynthesisSettings) -> int:
    """Candidates that `n` samples may cost: those that two-step synthesis writes for as many features."""
    return n * (settings.step1_draws + settings.step2_draws)


def report_shortage(samples: Sequence[Sample], n: int, method: str) -> None:
    """Log a warning where fewer than `n` are kept."""
    if len(kept(samples)) < n:
        log.warning("%s generation: %d of %d samples after %d draws", method, len(kept(samples)), n, len(samples))
