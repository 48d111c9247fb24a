"""The card of an exported data set, as Markdown: what it covers, under which rule, and what chance would explain."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

CAUTION = (
    "Every row passed automatic checks only (length, refusals, copies, duplicates, and where a feature was asked for "
    "the re-measured activation); no person has read them. Labels of written samples follow the feature "
    "they were written for, labels of selected ones are their pool's. Coverage is that of one model's features under "
    "one rule: compare it only with coverage measured the same way. Sets about toxicity hold harmful requests, for "
    "training and testing detectors."
)
BEHAVIOURS = (
    "In A/B items `matching` is the option that shows the behaviour and `other` the one that does not; where a format "
    "has chosen and rejected, chosen is `matching`. That says which option is which, not which is better."
)


def card_markdown(facts: Mapping[str, Any]) -> str:
    """The card that `facts` (see `export.card_facts`) make, with the head that Hugging Face reads."""
    tasks = ", ".join(f"{n} {task}" for task, n in facts["rows"].items())
    head = [*_front(facts), "", f"# Samples made for missing features ({tasks})", ""]
    made = [
        ("format", facts["format"]),
        ("load with", f"`{facts['loaded']}`"),
        ("rows", ", ".join(f"{task}: {n}" for task, n in facts["rows"].items())),
        ("labels", _counted(facts["labels"])),
        ("made by", _counted(facts["method"])),
        ("written by", _counted(facts["model"])),
        *((f"features: {part}", name) for part, name in (facts["read_by"] or {}).items()),
        ("prompt versions", _counted(facts["prompt_version"])),
        ("licence", facts["licence"] or "none was chosen; see below"),
    ]
    body = _table(("", ""), made)
    body += ["", "## Coverage", "", *_coverage(facts["coverage"])]
    body += ["", "## What was not kept", ""]
    body += [f"{facts['candidates'] - sum(facts['rows'].values())} of {facts['candidates']} candidates.", ""]
    body += _table(("reason", "candidates"), facts["rejected"].items()) if facts["rejected"] else []
    body += ["", "## Licence", "", _licence(facts["licence"])]
    body += ["", "## Before you use it", "", CAUTION]
    if not {"sycophancy", "survival"}.isdisjoint(facts["shapes"].values()):
        body += ["", BEHAVIOURS]
    body += ["", "`ledger/` follows each sample from its feature to its effect; `card.json` holds these facts as data."]
    return "\n".join([*head, *body]) + "\n"


def _front(facts: Mapping[str, Any]) -> list[str]:
    """The YAML head: which file is which configuration, so that nothing else in the folder is taken for data."""
    suffix = {"hf": ".parquet", "trl": ".jsonl", "llama-factory": ".json"}[facts["format"]]
    lines = ["---", "tags: [synthetic, feature-activation-coverage]", "configs:"]
    for place, task in enumerate(facts["rows"]):
        lines += [f"- config_name: {task}"]
        lines += ["  default: true"] if place == 0 else []
        lines += ["  data_files:", "  - split: train", f"    path: {task}{suffix}"]
    return [*lines, "---"]


def _coverage(facts: Mapping[str, Any] | None) -> list[str]:
    if facts is None:
        return ["No coverage was stored beside these samples, so nothing can be said about what they cover."]
    delta = "one per feature" if facts["delta"] is None else f"{facts['delta']:.4g}"
    quantile = "" if facts["quantile"] is None else f" {facts['quantile']:g}"
    own = f"{facts['own_features']} of {facts['missing']}"
    null = "not measured" if facts["missing_null"] is None else facts["missing_null"]
    rows = [
        ("anchor", f"{', '.join(facts['anchor']) or 'unnamed'}, {facts['n_anchor']} samples"),
        ("seed", f"{', '.join(facts['seed']) or 'unnamed'}, {facts['n_seed']} samples"),
        ("rule", f"{facts['rule']}{quantile}"),
        ("threshold delta", delta),
        ("support m (anchor samples a feature needs)", facts["m"]),
        ("relevant features", facts["relevant"]),
        ("of these in the anchor's support", facts["support"]),
        ("missing from the seed", facts["missing"]),
        ("missing under the null, a seed that lacks nothing", null),
        ("missing to be expected if anchor and seed were of one source", facts["expected_missing"]),
        ("FAC before", _share(facts["fac_before"])),
        ("FAC with the kept samples, each counted for its own feature", _share(facts["fac_after_own"])),
        ("gap coverage by features' own samples", f"{_share(facts['gap_coverage_own'])} ({own})"),
        ("model and SAE (digests)", f"{facts['subject']}, {facts['sae']}"),
    ]
    lines = _table(("", ""), rows)
    if arms := facts.get("arms"):
        lines += ["", "By any sample, over what each arm of the run added:", ""]
        lines += _table(arms[0], ([_cell(value) for value in arm.values()] for arm in arms))
    return lines


def _licence(licence: str | None) -> str:
    if licence:
        return _text(licence)
    return (
        "No licence was chosen for this export. Samples that a model wrote fall under that model's terms, rows that "
        "were selected from a pool keep the pool's licence; say which applies before you pass it on."
    )


def _table(header: Iterable[str], rows: Iterable[Sequence[Any]]) -> list[str]:
    header = list(header)
    lines = [" | ".join(["", *map(_text, header), ""]).strip(), "|" + "---|" * len(header)]
    return lines + [" | ".join(["", *(_text(_cell(cell)) for cell in row), ""]).strip() for row in rows]


def _cell(value: Any) -> str:
    return f"{value:.3f}" if isinstance(value, float) else "–" if value is None else str(value)


def _text(value: Any) -> str:
    """One line of Markdown that means only itself: control characters out, bars and markup escaped."""
    line = re.sub(r"[\x00-\x1f\x7f\u2028\u2029]+", " ", str(value)).strip()
    return line if line.startswith("`") else re.sub(r"([|<>\[\]\\])", r"\\\1", line)


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} ({n})" for name, n in counts.items()) or "not recorded"


def _share(value: float | None) -> str:
    return "not defined" if value is None else f"{value:.3f}"
