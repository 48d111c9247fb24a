"""SynAlign: explore the real data by uncertainty, write by inferred attributes, and weigh to match the real ones."""

import random
from collections.abc import Sequence

import numpy as np

from fac_lab.digests import digest
from fac_lab.synthesis.baselines.skills import topics, write_about
from fac_lab.synthesis.baselines.tools import NO_TOOLS, Tools, screen, seed_pool
from fac_lab.synthesis.complete import complete
from fac_lab.synthesis.plain import draws_allowed, report_shortage
from fac_lab.synthesis.samples import Sample, choose
from fac_lab.synthesis.writer import Messages, Writer

SHOWN = 3
"""Demonstrations in a prompt: the one that was picked and those nearest to it."""
NOISE = 0.1
"""Variance of the observations of the Gaussian process: picked texts become certain, but may be picked again."""
ATTRIBUTE_TOKENS = 256
NOT_CHOSEN = "not among those that match the real texts best"


def synalign(
    n: int, writer: Writer, seeds: Sequence[str], *, seed: int, tools: Tools = NO_TOOLS, label: int = 1
) -> list[Sample]:
    """Samples written by the attributes of uncertain seeds and chosen to match all of them; at most `n` kept.

    Source: Ren et al. 2025, "Few-shot LLM Synthetic Data with Distribution Matching" (SynAlign, arXiv 2502.08661,
    WWW 2025). Followed: demonstrations are picked one after the other where the posterior variance of a Gaussian
    process over the seeds' vectors (`tools.vectors`), which has observed those picked before, is largest; the
    model infers the attributes of their language and writes by them; samples are weighted so that their kernel mean
    is near that of the real texts. Not followed: the seeds themselves in place of clusters of them; and as a budget
    is a number of samples, weights are whole numbers: kernel herding takes `n` of all drafts, none twice (see `herd`).

    Formats (the paper has classification and retrieval): attributes and match are of what the user says; the other
    parts come in the same answer, an instruction's answer afterwards.

    Mini models name what a demonstration is about, and write a query about that: the only attribute they know. In the
    toxicity task `tools.judge` says which of their queries are harmful. Two requests a draw, and all draws allowed
    are used, as there has to be something to choose from.
    """
    vectors = tools.need("vectors", "synalign")
    structured = writer.style.structured
    judge = None if structured else tools.judge_for(writer, "synalign")
    real = seed_pool(seeds, seed=seed, method="synalign")
    places = np.asarray(vectors(real), np.float64)
    width = median_distance(places)
    picked = explore(places, draws_allowed(n, writer.settings), width=width, seed=seed)
    draw_seeds = [writer.seed("synalign", seed, number) for number in range(len(picked))]
    shown = [[real[i] for i in _nearest(places, i)] for i in picked]
    asked = _by_attributes(writer, shown, draw_seeds) if structured else _by_topic(writer, shown)
    drafts = screen(writer.write(asked, draw_seeds, shown), writer, judge)
    names = ("synalign_attributes", "synalign_write") if structured else ("one_step",)
    version = digest([writer.version(writer.prompt(name)) for name in names])
    samples = [
        writer.sample(draft, label=label, draw=number, method="synalign", prompt_version=version)
        for number, draft in enumerate(drafts)
    ]
    samples = choose(samples, per_group=len(samples))
    sound = [i for i, sample in enumerate(samples) if sample.kept]
    if len(sound) > n:
        written = np.asarray(vectors([samples[i].text for i in sound]), np.float64)
        chosen = {sound[row] for row in herd(written, places, n, width=width)}
        samples = [
            sample._replace(kept=False, reason=NOT_CHOSEN) if sample.kept and i not in chosen else sample
            for i, sample in enumerate(samples)
        ]
    samples = complete(samples, writer)
    report_shortage(samples, n, "synalign")
    return samples


def explore(places: np.ndarray, n: int, *, width: float, seed: int) -> list[int]:
    """`n` rows of `places [n_real, d]`, each where a Gaussian process that saw those before is least certain.

    With kernel k, picked rows S and noise s2 the variance at x is `k(x, x) - k(x, S) (k(S, S) + s2 I)^-1 k(S, x)`;
    what was observed does not matter to it. Each pick adds one column of the factor of the matrix that is inverted,
    so that a pick costs `n_real` times the number of picks. Ties, as at the beginning, go by chance.
    """
    order = np.array(random.Random(seed).sample(range(len(places)), len(places)))
    variance = np.ones(len(places))
    factor = np.zeros((len(places), n))
    picked: list[int] = []
    for t in range(n):
        row = int(order[np.round(variance[order], 9).argmax()])
        covariance = _kernel(places, places[row : row + 1], width)[:, 0] - factor[:, :t] @ factor[row, :t]
        factor[:, t] = covariance / np.sqrt(variance[row] + NOISE)
        variance = variance - factor[:, t] ** 2
        picked.append(row)
    return picked


def herd(candidates: np.ndarray, real: np.ndarray, n: int, *, width: float) -> list[int]:
    """`n` rows of `candidates [m, d]` whose kernel mean is near that of `real [r, d]`, greedily, none twice.

    The squared MMD of weights w on the candidates is `|| sum_i w_i phi(x_i) - mean_j phi(r_j) ||^2`. Kernel herding
    (Chen, Welling and Smola 2010) lowers it with weights of 1/n by taking, after t rows, the candidate with the largest
    `mean_j k(x, r_j) - sum_{s chosen} k(x, s) / (t + 1)`. All of them where there are no more than `n`.
    """
    towards = _kernel(candidates, real, width).mean(axis=1)
    among = _kernel(candidates, candidates, width)
    crowd = np.zeros(len(candidates))
    chosen: list[int] = []
    while len(chosen) < min(n, len(candidates)):
        score = towards - crowd / (len(chosen) + 1)
        score[chosen] = -np.inf
        chosen.append(int(score.argmax()))
        crowd += among[chosen[-1]]
    return chosen


def median_distance(places: np.ndarray) -> float:
    """Median distance between different rows of `[n, d]`: the usual width of a kernel; 1 where there is none."""
    distances = _distances(places, places)
    positive = distances[distances > 1e-9]
    return float(np.median(positive)) if len(positive) else 1.0


def _kernel(a: np.ndarray, b: np.ndarray, width: float) -> np.ndarray:
    return np.exp(-0.5 * (_distances(a, b) / width) ** 2)


def _distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    squares = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2 * a @ b.T
    return np.sqrt(np.maximum(squares, 0))


def _nearest(places: np.ndarray, i: int) -> list[int]:
    """A row and those nearest to it, itself first."""
    order = np.argsort(_distances(places[i : i + 1], places)[0], kind="stable").tolist()
    return [i, *(row for row in order if row != i)][:SHOWN]


def _by_attributes(writer: Writer, shown: Sequence[Sequence[str]], seeds: Sequence[int]) -> list[Messages]:
    quote = writer.style.quote
    infer, write = writer.prompt("synalign_attributes"), writer.prompt("synalign_write")
    examples = [[quote(text) for text in texts] for texts in shown]
    asked = [infer.messages(examples=lines) for lines in examples]
    found = writer.say(asked, seeds, max_tokens=ATTRIBUTE_TOKENS) if asked else []
    return [
        writer.messages(write, examples=lines, attributes=quote(attributes))
        for lines, attributes in zip(examples, found, strict=True)
    ]


def _by_topic(writer: Writer, shown: Sequence[Sequence[str]]) -> list[Messages]:
    found = topics(writer, [texts[0] for texts in shown])
    return [write_about(writer, topic.summary if topic else None) for topic in found]
