"""A plan as text for a terminal: what is needed first, then every assumption behind it."""

import textwrap
from collections.abc import Iterable, Sequence

from fac_lab.planning.estimates import FORMULAS
from fac_lab.planning.plan import Plan

UNKNOWN = "?"
WIDTH = 118


def plan_text(plan: Plan) -> str:
    """All of a plan; sizes that nobody knows are question marks."""
    parts = [
        f"{plan.study} under profile {plan.profile}: an estimate; nothing was loaded, downloaded or asked",
        _downloads(plan),
        _device(plan),
        _chats(plan),
        *(["notes\n" + "\n".join(f"  {note}" for note in plan.notes)] if plan.notes else []),
        _assumptions(plan),
    ]
    return "\n\n".join(parts)


def _downloads(plan: Plan) -> str:
    if not plan.downloads:
        return "downloads: none, everything is on this machine"
    rows = [("downloads, once", "size")]
    rows += [(download.name, _bytes(download.size)) for download in plan.downloads]
    rows.append(("together, weights only", _bytes(plan.download_bytes)))
    gated = [f"accept first, then `hf auth login` or HF_TOKEN: {page}" for page in plan.gated]
    return "\n".join([_table(rows), *(f"  {line}" for line in gated or ["no page to accept"])])


def _device(plan: Plan) -> str:
    device = plan.device
    rows = [(f"on one {device.name}", "tokens", "time", "memory")]
    rows += [(step.what, _count(step.tokens), _time(step.hours), _gigabytes(step.memory_gb)) for step in plan.steps]
    unknown = any(step.hours is None for step in plan.steps)
    rows.append(
        ("together, one step after another" + (" (without what is not known)" if unknown else ""),
         "", _time(plan.hours), _gigabytes(plan.memory_gb))
    )  # fmt: skip
    lines = [_table(rows)]
    if plan.memory_gb > device.memory_gb:
        lines.append(f"  too large for {device.name}: choose another --device, or a smaller batch in the profile")
    return "\n".join(lines)


def _chats(plan: Plan) -> str:
    if not plan.chats:
        return "calls to chat models: none"
    rows = [("calls to chat models", "calls", "prompt tokens", "completion tokens", "at most", "cost")]
    for chat in plan.chats:
        calls = chat.calls
        rows.append(
            (
                f"{chat.role}, {calls.what.replace('_', ' ')}: {chat.model}",
                f"{calls.calls:,}",
                _count(calls.calls * calls.prompt_tokens),
                _count(calls.calls * calls.completion_tokens),
                _count(calls.calls * calls.most_tokens),
                UNKNOWN if chat.cost is None else f"{chat.cost:,.2f}" if chat.cost else "none",
            )
        )
    unpriced = sorted({chat.role for chat in plan.chats if chat.cost is None})
    cost = f"cost {plan.cost:,.2f}" if plan.cost is not None else "cost not known: give " + " and ".join(
        f"--{role}-price PROMPT COMPLETION (per million tokens)" for role in unpriced
    )  # fmt: skip
    paid = (
        f"{plan.paid_calls:,} calls are paid to somebody; {cost}" if plan.paid_calls else "no call is paid to anybody"
    )
    if not plan.paid_calls and plan.cost:
        paid += f"; {cost}"
    return f"{_table(rows)}\n  {paid}"


def _assumptions(plan: Plan) -> str:
    device = plan.device
    entries = [f"{device.name}: {device.tflops:g} TFLOP/s, {device.memory_gb:g} GB ({device.why})"]
    entries += [f"{name} = {value:,.10g}: {why}" for name, value, why in plan.assumed]
    lines = ["by these formulas", *_wrapped(FORMULAS), "", "assumed, in fac_lab/planning/assumptions.yaml"]
    return "\n".join([*lines, *_wrapped(entries)])


def _wrapped(entries: Iterable[str]) -> list[str]:
    return [
        line for entry in entries for line in textwrap.wrap(entry, WIDTH, initial_indent="  ", subsequent_indent="    ")
    ]


def _table(rows: Sequence[Sequence[str]]) -> str:
    """Rows under a head, the first column to the left and the others to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for number, row in enumerate(rows):
        indent = "" if number == 0 else "  "
        first = f"{indent}{row[0]}".ljust(widths[0] + 2)
        rest = (cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))
        lines.append("  ".join([first, *rest]).rstrip())
    return "\n".join(lines)


def _bytes(size: int | None) -> str:
    if size is None:
        return UNKNOWN
    return f"{size / 1e9:.2f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"


def _gigabytes(memory: float | None) -> str:
    return UNKNOWN if memory is None else f"{memory:.1f} GB"


def _time(hours: float | None) -> str:
    if hours is None:
        return UNKNOWN
    if hours >= 1:
        return f"{hours:.1f} h"
    return f"{hours * 60:.1f} min" if hours * 60 >= 1 else f"{hours * 3600:.1f} s"


def _count(tokens: int) -> str:
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if tokens >= size:
            return f"{tokens / size:.1f} {unit}"
    return str(tokens)
