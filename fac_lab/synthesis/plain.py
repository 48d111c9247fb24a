"""Plain generation: queries written with no feature in mind, beside which feature-guided ones are put."""

import logging
from pathlib import Path

from fac_lab.annotation.styles import style_of
from fac_lab.chat.client import ChatClient
from fac_lab.digests import digest
from fac_lab.profile import SynthesisSettings
from fac_lab.prompts import load_prompt
from fac_lab.synthesis.queries import instructions, query_request, read_query
from fac_lab.synthesis.samples import Sample, choose, fault, kept, word_limits

log = logging.getLogger(__name__)


def plain(
    n: int,
    *,
    chat: ChatClient,
    settings: SynthesisSettings,
    prompts: str | Path,
    seed: int = 0,
    label: int = 1,
) -> list[Sample]:
    """All candidates in the order of their draws, `n` of them kept if the draws yield as many.

    Sampling, checks and removal of duplicates are those of two-step synthesis, and so is the limit of draws
    per sample; nothing is measured. What is short of `n` after one batch is drawn in the next one. `prompts`
    is a folder with `toxicity_plain`; `seed` is mixed with the settings' own.
    """
    style = style_of(prompts)
    prompt = load_prompt(Path(prompts), "toxicity_plain")
    least, most = word_limits(style)
    messages = prompt.messages(min_words=least, max_words=most)
    lines = instructions(messages, (), style)
    limit = n * (settings.step1_draws + settings.step2_draws)
    drawn: list[Sample] = []
    samples: list[Sample] = []
    while (missing := min(n - len(kept(samples)), limit - len(drawn))) > 0:
        draws = range(len(drawn), len(drawn) + missing)
        seeds = [int(digest("plain", settings.seed, seed, draw), 16) % 2**31 for draw in draws]
        requests = [query_request(messages, settings=settings, style=style, seed=one) for one in seeds]
        for draw, reply in zip(draws, chat.complete(requests), strict=True):
            text, reason = read_query(reply, style)
            reason = reason or fault(text, style, shown=(), instructions=lines)
            made_by = {
                "prompt_version": prompt.version,
                "model": chat.backend.name,
                "seed": reply.request.seed,
            }
            drawn.append(Sample(None, text, label, step=1, draw=draw, reason=reason, **made_by))
        samples = choose(drawn, per_group=n)
    if len(kept(samples)) < n:
        log.warning("plain generation: %d of %d samples after %d draws", len(kept(samples)), n, len(drawn))
    return samples
