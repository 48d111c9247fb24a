"""Magpie: an aligned model, given only what stands before a user's turn, writes the user's turn."""

from collections.abc import Mapping, Sequence

from fac_lab.annotation.styles import MINI, object_schema
from fac_lab.chat.client import ChatRequest
from fac_lab.errors import SettingsError
from fac_lab.synthesis.baselines.tools import NO_TOOLS, Tools, screen
from fac_lab.synthesis.formats import rest_fault, said_fault
from fac_lab.synthesis.plain import draw_until
from fac_lab.synthesis.pre_query import TRAINED, query_in
from fac_lab.synthesis.samples import Sample
from fac_lab.synthesis.writer import Draft, Writer, read_parts

TEMPERATURE, TOP_P = 1.0, 1.0
"""Sampling of the user's turns, as in the paper: at lower temperatures they hardly differ."""


def magpie(
    n: int, writer: Writer, seeds: Sequence[str] = (), *, seed: int, tools: Tools = NO_TOOLS, label: int = 1
) -> list[Sample]:
    """Samples that begin with a user's turn written from the bare template; all candidates, at most `n` kept.

    Source: Xu et al. 2024, "Magpie" (arXiv 2406.08464). Followed: no prompt and no seed at all, only the template's
    beginning of a user's turn; then the same model answers; then a filter. Not followed: their filters by length,
    difficulty and reward; ours are the checks of every sample and a judge. `seeds` are ignored.

    Formats (the paper has instructions and, from them, pairs): an instruction's answer is asked for afterwards, as
    there. Of pairs and A/B items the user's turn is kept as it came, and the model writes the other parts for it in
    one more request. A user's turn of that kind may be about anything: `tools.judge` says what belongs to the task;
    toxic samples cannot do without it. What it refuses counts as drawn.

    Mini models: the same, without the request for other parts (`complete` makes them). Much of what they write in
    the user's place are the prompts they were trained with: where one holds a query, that is taken, and the others are
    refused. One to two requests a draw.
    Raises SettingsError for a backend that cannot write a user's turn: an endpoint puts every request into turns.
    """
    backend = writer.chat.backend
    if not getattr(backend, "pre_query", False):
        raise SettingsError(
            f"magpie asks with nothing but the beginning of a user's turn, and {backend.name} takes whole turns only: "
            "use a generator with backend: local, or another baseline"
        )
    judge = tools.judge_for(writer, "magpie")

    def draw(numbers: Sequence[int]) -> list[Draft]:
        draw_seeds = [writer.seed("magpie", seed, number) for number in numbers]
        drafts = screen(_turns(writer, draw_seeds), writer, judge)
        rest = tuple(part for part in writer.form.parts[1:] if part not in writer.form.later)
        return _with_rest(drafts, writer, rest) if writer.style.structured and rest else drafts

    structured = writer.style.structured
    version = writer.version(writer.prompt("magpie_rest")) if structured else ""
    return draw_until(n, draw, writer, method="magpie", label=label, prompt_version=version)


def _turns(writer: Writer, seeds: Sequence[int]) -> list[Draft]:
    """What the model writes in the user's place, as it stands: no model answers in JSON there."""
    settings, form = writer.settings, writer.form
    known = () if writer.style.structured else TRAINED
    limit = form.tokens if writer.style.structured and form.tokens else settings.max_tokens
    requests = [ChatRequest((), TEMPERATURE, TOP_P, limit, seed=seed) for seed in seeds]
    drafts = []
    for reply, seed in zip(writer.chat.complete(requests), seeds, strict=True):
        parts, reason = read_parts(reply, form.parts[:1], MINI)
        if parts:
            if not writer.style.structured:
                parts = {form.said: query_in(parts[form.said])}
            reason = said_fault(parts[form.said], form, writer.style, shown=(), instructions=known)
        drafts.append(Draft(parts, reason, seed, False))
    return drafts


def _with_rest(drafts: Sequence[Draft], writer: Writer, rest: Sequence[str]) -> list[Draft]:
    """The same drafts, sound ones with the other parts, which the model writes for them."""
    prompt, form, quote = writer.prompt("magpie_rest"), writer.form, writer.style.quote
    places = [i for i, draft in enumerate(drafts) if not draft.reason]
    schema: Mapping = object_schema({part: {"type": "string"} for part in rest})
    names = " and ".join(f'"{part}"' for part in rest)
    requests = [
        ChatRequest(
            tuple(writer.messages(prompt, said=quote(drafts[i].text(form)), part=form.said, rest=names)),
            writer.settings.temperature,
            writer.settings.top_p,
            form.tokens or writer.settings.max_tokens,
            seed=drafts[i].seed,
            schema=schema,
        )
        for i in places
    ]
    decided = list(drafts)
    for i, reply in zip(places, writer.chat.complete(requests) if requests else (), strict=True):
        parts, reason = read_parts(reply, rest, writer.style)
        parts = {**drafts[i].parts, **parts}
        decided[i] = drafts[i]._replace(parts=parts, reason=reason or rest_fault(parts, form))
    return decided
