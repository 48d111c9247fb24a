"""The work of a study, counted from a profile's settings: texts to read, questions to ask, detectors to train.

Counts follow the code of `demo`, `audit` and `fac_lab.studies`; what only a run can tell (how many features are in
the anchor's support, how many are missing) is assumed, and can be given instead.
"""

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

from fac_lab import annotation, synthesis
from fac_lab.errors import SettingsError
from fac_lab.plain import nearest
from fac_lab.profile import Profile
from fac_lab.settings import SynthesisSettings

ARMS = 5
"""Arms of the toxicity study; all but "none" add samples."""


class Reading(NamedTuple):
    """Texts that go through the subject and its SAE."""

    what: str
    texts: int
    tokens: int
    """Of all texts together."""


class Calls(NamedTuple):
    """Questions to a chat model."""

    role: str
    """"generator" or "annotator"."""
    what: str
    calls: int
    prompt_tokens: int
    """Of one call."""
    completion_tokens: int
    """Expected of one call."""
    most_tokens: int
    """Completion tokens at which one call is cut."""


class Training(NamedTuple):
    """Detectors that are trained and scored."""

    runs: int
    rows: int
    """Training rows of one run."""
    test_rows: int
    row_tokens: int
    """Of one row."""


class Sizes(NamedTuple):
    """What only a run can tell, where the user knows better; None is assumed."""

    anchor_rows: int | None = None
    seed_rows: int | None = None
    features: int | None = None
    """Features in the anchor's support, which are named and judged."""
    missing: int | None = None
    """Missing features, for which samples are written."""


class Workload(NamedTuple):
    """All the work of a study under a profile."""

    readings: list[Reading]
    calls: list[Calls]
    training: Training | None


Assumed = Callable[[str], float]
"""The value of an assumption by name."""


def workload(profile: Profile, study: str, d_sae: int, sizes: Sizes, assumed: Assumed) -> Workload:
    """The work of one of STUDIES. Raises SettingsError for an unknown one, or one the profile cannot run."""
    if study not in STUDIES:
        raise SettingsError(f"unknown study {study!r}{nearest(study, STUDIES)}; there are: {', '.join(STUDIES)}")
    return STUDIES[study](profile, d_sae, sizes, assumed)


def _demo(profile: Profile, d_sae: int, sizes: Sizes, assumed: Assumed) -> Workload:
    return _arms_over(1, profile, d_sae, sizes, assumed, nulls=1)


def _arms(profile: Profile, d_sae: int, sizes: Sizes, assumed: Assumed) -> Workload:
    return _arms_over(profile.study.held_out_sets, profile, d_sae, sizes, assumed, nulls=0)


def _arms_over(sets: int, profile: Profile, d_sae: int, sizes: Sizes, assumed: Assumed, *, nulls: int) -> Workload:
    study = profile.study
    missing = sizes.missing or round(study.held_out_share * assumed("mini_harmful"))
    anchor, seed = _rows(profile, sizes)
    added = min(missing, study.budget or missing)
    # The random arm writes for four features per sample it needs; all texts of all arms are measured.
    calls = [
        *_annotation(profile, _supported(profile, d_sae, sizes, assumed), assumed),
        *_synthesis(profile, sets * (missing + 4 * added), assumed),
        _plain(profile, sets * added, assumed),
    ]
    mini = round(assumed("tokens_mini"))
    readings = [
        Reading("anchor", anchor, anchor * mini),
        Reading("seeds", (sets + nulls) * seed, (sets + nulls) * seed * mini),
        _candidates(calls, assumed),
    ]
    rows = study.seed_samples + study.safe_samples + added
    runs = sets * ARMS * len(profile.seeds)
    return Workload(readings, calls, Training(runs, rows, round(assumed("mini_test")), mini))


def _recovery(profile: Profile, d_sae: int, sizes: Sizes, assumed: Assumed) -> Workload:
    anchor, seed = _rows(profile, sizes)
    mini = round(assumed("tokens_mini"))
    seeds = 2 * profile.study.held_out_sets * seed
    readings = [Reading("anchor", anchor, anchor * mini), Reading("seeds and their nulls", seeds, seeds * mini)]
    return Workload(readings, [], None)


def _audit(profile: Profile, d_sae: int, sizes: Sizes, assumed: Assumed) -> Workload:
    anchor = sizes.anchor_rows or round(assumed("audit_anchor"))
    seed = sizes.seed_rows or round(assumed("audit_seed"))
    tokens = _text_tokens(profile, assumed)
    readings = [Reading("anchor", anchor, anchor * tokens), Reading("your file", seed, seed * tokens)]
    if profile.annotator is None:
        return Workload(readings, [], None)
    missing = sizes.missing or round(assumed("missing_audit") * _supported(profile, d_sae, sizes, assumed))
    return Workload(readings, _annotation(profile, missing, assumed), None)


def _toxicity(profile: Profile, d_sae: int, sizes: Sizes, assumed: Assumed) -> Workload:
    """The paper's own toxicity task at its sizes: its method once, over all seeds."""
    anchor = sizes.anchor_rows or round(assumed("paper_anchor"))
    seed = sizes.seed_rows or round(assumed("paper_seed"))
    missing = sizes.missing or round(assumed("paper_missing"))
    added = profile.study.budget or round(assumed("paper_budget"))
    tokens = _text_tokens(profile, assumed)
    calls = [
        *_annotation(profile, _supported(profile, d_sae, sizes, assumed), assumed),
        *_synthesis(profile, missing, assumed),
    ]
    readings = [
        Reading("anchor", anchor, anchor * tokens),
        Reading("seed", seed, seed * tokens),
        _candidates(calls, assumed),
    ]
    rows = round(assumed("paper_safe")) + added
    return Workload(readings, calls, Training(len(profile.seeds), rows, round(assumed("paper_test")), tokens))


STUDIES: Mapping[str, Callable[[Profile, int, Sizes, Assumed], Workload]] = {
    "demo": _demo,
    "audit": _audit,
    "recovery": _recovery,
    "arms": _arms,
    "toxicity": _toxicity,
}


def _rows(profile: Profile, sizes: Sizes) -> tuple[int, int]:
    """Rows of anchor and seed of the studies on the world of known concepts."""
    for role in ("anchor", "seed"):
        if role not in profile.corpora or profile.corpora[role].source != "mini":
            raise SettingsError(
                f"profile {profile.name} has no {role} from the mini world, which this study scores against: "
                f"add corpora.{role}, or plan an audit"
            )
    return sizes.anchor_rows or profile.corpora["anchor"].n, sizes.seed_rows or profile.corpora["seed"].n


def _text_tokens(profile: Profile, assumed: Assumed) -> int:
    return min(round(assumed("tokens_text")), profile.subject.max_tokens)


def _supported(profile: Profile, d_sae: int, sizes: Sizes, assumed: Assumed) -> int:
    kind = "absolute" if profile.rule.kind == "absolute" else "relative"
    return sizes.features or round(assumed(f"supported_{kind}") * d_sae)


def _annotation(profile: Profile, features: int, assumed: Assumed) -> list[Calls]:
    from fac_lab.annotation.explain import MAX_TOKENS as MOST_EXPLAIN
    from fac_lab.annotation.relevance import MAX_TOKENS as MOST_JUDGE
    from fac_lab.annotation.styles import style_of
    from fac_lab.annotation.verify import MAX_TOKENS as MOST_VERIFY

    calls = round(features * (1 + assumed("repaired_share")))
    steps = [("explain", "explain", MOST_EXPLAIN), ("verify", "verify", MOST_VERIFY), ("judge", "judge", MOST_JUDGE)]
    if style_of(profile.synthesis.prompts).names_only:
        steps[1] = ("verify", "explain", MOST_EXPLAIN)  # it names once more
    return [
        Calls("annotator", step, calls, _prompt_tokens(profile, file, assumed), round(assumed(f"tokens_{file}")), most)
        for step, file, most in steps
    ]


def _synthesis(profile: Profile, features: int, assumed: Assumed) -> list[Calls]:
    settings = profile.synthesis
    steps = (("one_step", settings.step1_draws), ("two_step", settings.step2_draws))
    return [_query(profile, f"toxicity_{name}", features * draws, assumed) for name, draws in steps]


def _plain(profile: Profile, samples: int, assumed: Assumed) -> Calls:
    return _query(profile, "toxicity_plain", round(samples / assumed("kept_share")), assumed)


def _query(profile: Profile, prompt: str, calls: int, assumed: Assumed) -> Calls:
    most = profile.synthesis.max_tokens
    expected = min(round(assumed("tokens_query")), most)
    return Calls("generator", prompt, calls, _prompt_tokens(profile, prompt, assumed), expected, most)


def _candidates(calls: list[Calls], assumed: Assumed) -> Reading:
    written = [call for call in calls if call.role == "generator"]
    texts = sum(call.calls for call in written)
    return Reading("written samples", texts, sum(call.calls * call.completion_tokens for call in written))


def _prompt_tokens(profile: Profile, name: str, assumed: Assumed) -> int:
    """Tokens of a prompt file of the profile with every place filled as full as it gets."""
    chars = round(assumed("chars_per_token"))
    return round(_prompt_chars(profile.synthesis.prompts, name, profile.collect.span_tokens * chars) / chars)


@cache
def _prompt_chars(style_name: str, name: str, span_chars: int) -> int:
    from fac_lab.annotation.styles import MINI_SPAN_WORDS, style_of
    from fac_lab.prompts import load_prompt
    from fac_lab.synthesis.formats import said_limits
    from fac_lab.synthesis.writer import Writer

    folders = {package: Path(package.__file__).parent / "prompts" / style_name for package in (annotation, synthesis)}
    style = style_of(folders[synthesis])
    span = "x" * span_chars if style.structured else "words " * MINI_SPAN_WORDS
    values = {"spans": [span] * style.spans, "summary": "words " * 20}
    if not name.startswith("toxicity"):
        asked = load_prompt(folders[annotation], name).messages(**values, rubric=_rubric(style_name))
    else:
        writer = Writer(None, SynthesisSettings(prompts=style_name), folders[synthesis])
        _, most = said_limits(writer.form, style)
        pair = {"positive": "words " * most, "negative": "words " * most, "verbatim": False}
        pair |= {"positive_activation": 1.0, "negative_activation": 0.0}
        asked = writer.messages(writer.prompt(name.removeprefix("toxicity_")), **values, **pair)
    return sum(len(turn["content"]) for turn in asked)


def _rubric(style_name: str) -> str:
    home = Path(annotation.__file__).parent
    own = home / "prompts" / style_name / "rubric_toxicity.txt"
    return (own if own.exists() else home / "rubrics" / "toxicity.txt").read_text(encoding="utf-8")
