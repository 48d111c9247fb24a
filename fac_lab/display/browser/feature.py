"""One feature: what is said of it and by whom, where it fires, what lies near it, what it promotes.

What needs no model is there at once; heat, neighbours and tokens follow, and say what they wait for.
"""

from collections.abc import Sequence

from markupsafe import Markup

from fac_lab.browsing.edits import Edit
from fac_lab.browsing.parts import Part
from fac_lab.browsing.view import FeatureView, Said
from fac_lab.display.browser.bars import ROLES, histogram_html
from fac_lab.display.browser.desk import Desk
from fac_lab.display.browser.style import SIGNS, box, button, html, named, shown, soft, text
from fac_lab.display.heat import spans_html
from fac_lab.display.picker import Column, Picker, Row
from fac_lab.display.report import mark_peak
from fac_lab.features.spans import Span

MODEL_AFTER = 0.15
"""Seconds after the last step through the list until the model is asked."""
TITLES = {"anchor": "Strongest in the anchor", "seed": "Strongest in the seed", "synthetic": "Strongest in the samples"}
WAITING = "Token heat, neighbours and promoted tokens need the model, which is loaded when you choose a feature."
LONGEST = 1500
"""Characters of a span, or of a summary, that are shown without heat."""


QUALITY = (
    "Detection: can a judge tell by the summary alone which held-out texts activate the feature? "
    "Fuzzing: which token of a text it is? Balanced accuracies, from 0 to 1."
)


class FeaturePart:
    """Parts: `head`, `histogram`, `spans`, `nearest`, `lens`, `link`, `load`, `widget`."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.awake = False
        """Whether the model may be asked; not before somebody chooses a feature."""
        self._unchosen: int | None = None
        """The feature that the page began with, until another is chosen: moving the threshold loads no model."""
        self.head, self.spans = html("fl-head"), html("fl-spans")
        self.lens, self.link, self.note = html("fl-lens"), html("fl-link"), html("fl-note")
        self.histogram = html("fl-histogram")
        self.nearest = named(
            Picker(
                (Column("", "status"), Column("#", number=True), Column("nearest features"), Column("cosine", "of "
                 "decoder directions", number=True)),
                label="Nearest features",
            ),
            "fl-nearest",
        )  # fmt: skip
        self.load = button("load the model", "fl-load", self._ask)
        self.widget = box(
            self.head,
            self.histogram,
            box(self.note, self.load, flow=True),
            self.spans,
            self.nearest,
            self.lens,
            self.link,
            name="fl-feature",
        )
        self.nearest.on_pick(lambda key: desk.select(int(key)))
        desk.on("feature", self.show)

    def show(self) -> None:
        """The selected feature."""
        session = self.desk.session
        if session.selected is None:
            self.head.value = soft("No feature is selected: choose one from the list.")
            for part in (self.histogram, self.note, self.load, self.spans, self.nearest, self.lens, self.link):
                shown(part, False)
            return
        view = session.feature()
        self.head.value = head_html(view)
        self.histogram.value = histogram_html(view.histogram, delta=view.delta)
        shown(self.histogram, True)
        self.spans.value = spans_section(view, {})
        shown(self.spans, True)
        for part in (self.nearest, self.lens, self.link):
            shown(part, False)
        shown(self.note, not session.model.loaded)
        shown(self.load, not session.model.loaded)
        self.note.value = soft(WAITING)
        if not self.awake:
            self._unchosen = session.selected
        elif session.selected != self._unchosen:
            self._unchosen = None
        if self.awake and (self._unchosen is None or session.model.loaded):
            self.desk.later("model", MODEL_AFTER, lambda: self.desk.act(
                lambda: self._model(view), busy=self.desk.loading(), background=True
            ))  # fmt: skip

    def _ask(self) -> None:
        self.awake, self._unchosen = True, None
        self.show()

    def _model(self, view: FeatureView) -> None:
        """What the model knows of the feature."""
        session = self.desk.session
        if session.selected != view.feature:
            return
        heat = {role: session.heat(view.feature, role) for role in ROLES if view.spans.get(role)}
        self.spans.value = spans_section(view, heat)
        near = session.nearest()
        names, status = session.table.summary, session.table.column("status", session.cut)
        self.nearest.nothing = near.reason or "there is none"
        self.nearest.show(
            [
                Row(str(i), (SIGNS[status[i]], str(i), (names[i] or "–")[:160], f"{cosine:.2f}"), status[i])
                for i, cosine in near.value or ()
            ]
        )
        self.lens.value = lens_html(session.lens())
        self.link.value = link_html(session.link())
        for part in (self.nearest, self.lens, self.link):
            shown(part, True)
        shown(self.note, False)
        shown(self.load, not session.model.loaded)


def head_html(view: FeatureView) -> Markup:
    """What is said of a feature, who said it, and how often it fires."""
    summary = text((view.summary.shown or "no summary")[:LONGEST])
    plain = str(view.summary) == str(view.verdict) and not _others(view.summary) and not _others(view.verdict)
    parts = [Markup("<h3>#{} {}</h3>").format(view.feature, summary)]
    parts.append(_said_html("summary and verdict" if plain else "summary", view.summary))
    verdict = Markup("<b>{}</b>").format(view.verdict.shown or "none")
    relevant = "relevant" if view.relevant else "not relevant"
    parts.append(
        Markup('<p><span class="fl-badge {}">{}</span> verdict {} <span class="fl-soft">({})</span></p>').format(
            view.status, view.status, verdict, relevant
        )
    )
    if not plain:
        parts.append(_said_html("verdict", view.verdict))
    if view.reason:
        parts.append(Markup("<p>annotator's reason: {}</p>").format(text(view.reason[:LONGEST])))
    counts = (
        f"anchor {view.anchor_count:,} ({view.anchor_frequency:.2%}), seed {view.seed_count:,} "
        f"({view.seed_frequency:.2%}) above δ {view.delta:.4g}; needs m = {view.m} in the anchor; largest "
        f"activation {view.maximum:.4g}, mean {view.mean:.4g}"
    )
    parts.append(Markup("<p>{}</p>").format(counts))
    if view.summary.machine is not None:
        parts.append(quality_html(view))
    facts = [f"{name} {value}" for name, value in (("concept", view.concept), ("domain", view.domain)) if value]
    if facts:
        parts.append(Markup("<p>{}</p>").format(" · ".join(facts)))
    absent = view.absent.get("labels")
    parts += [soft(absent)] * (absent is not None and absent != view.reason)
    return Markup("").join(parts)


def quality_html(view: FeatureView) -> Markup:
    """What the annotator's summary is worth, beside what luck gives."""
    if view.label_score is None:
        return Markup("<p>label quality: not scored</p>")
    texts = "" if view.label_texts is None else f", {view.label_texts} texts"
    fuzzing = "" if view.fuzzing_score is None else f"; fuzzing {view.fuzzing_score:.2f}"
    whose = "" if view.summary.source == "machine" else " of the annotator's summary"
    return Markup(
        '<p title="{}">label quality{}: <b>{:.2f}</b> <span class="fl-soft">(detection{}{}; by chance 0.50)</span></p>'
    ).format(QUALITY, whose, view.label_score, texts, fuzzing)


def _said_html(kind: str, said: Said) -> Markup:
    """Whose word it is; beside a person's, what the machine and the file say."""
    if said.source is None:
        return Markup("")
    notes = [Markup("{} by <b>{}</b> ({})").format(kind, said, said.source), *_others(said)]
    return Markup('<p class="fl-soft fl-by">{}</p>').format(Markup("; ").join(notes))


def _others(said: Said) -> list[Markup]:
    """What others than the one whose word holds say."""
    notes = []
    if said.edit is not None and said.machine is not None:
        notes.append(Markup("the annotator says: {}").format(text(said.machine[:LONGEST])))
    if said.outdated:
        notes.append(Markup("changed when the annotator said: {}").format(text(said.edit.machine or "–")))
    if said.imported is not None and said.source != "imported":
        notes.append(Markup("{} says: {}").format(said.imported_by or "a file", text(said.imported[:LONGEST])))
    return notes


def spans_section(view: FeatureView, heat: dict[str, Part]) -> Markup:
    """The strongest spans of each data set, with heat as far as the model was asked; one scale for all."""
    values = [span.value for spans in view.spans.values() for span in spans]
    parts = []
    for role, title in TITLES.items():
        spans = view.spans.get(role, [])
        if not spans:
            why = view.absent.get("spans" if role == "anchor" else role, f"no {role} sample activates it")
            parts.append(soft(f"{title}: {why}"))
            continue
        found = heat.get(role)
        if found is not None and found.value is not None:
            content = Markup(spans_html(found.value, scale=max(values), style=False))
        else:
            content = _plain_spans(spans) + (soft(f"no heat: {found.reason}") if found is not None else Markup(""))
        is_open = Markup(" open") if role != "seed" or view.status != "missing" else Markup("")
        parts.append(
            Markup('<details{}><summary>{} ({})</summary><div class="fl-texts" tabindex="0">{}</div></details>').format(
                is_open, title, len(spans), content
            )
        )
    return Markup("").join(parts)


def _plain_spans(spans: Sequence[Span]) -> Markup:
    lines = (
        Markup('<li><span class="fl-soft">{:.3g}</span> <bdi dir="auto">{}</bdi></li>').format(
            span.value, mark_peak(span.text, span.peak)
        )
        for span in spans
    )
    return Markup("<ol>{}</ol>").format(Markup("").join(lines))


def lens_html(lens: Part) -> Markup:
    """Promoted and suppressed tokens, or why there are none."""
    if lens.value is None:
        return soft(f"promoted tokens: {lens.reason}")
    parts = []
    for title, tokens in (("Promoted tokens", lens.value.promoted), ("Suppressed tokens", lens.value.suppressed)):
        items = Markup("").join(
            Markup('<li title="token {}, effect {:.3g}">{}</li>').format(
                token.token_id, token.effect, text(_seen(token))
            )
            for token in tokens
        )
        parts.append(Markup('<h4>{}</h4><ul class="fl-tokens">{}</ul>').format(title, items))
    return Markup("").join(parts)


def _seen(token: object) -> str:
    """A token whose blanks can be seen."""
    return token.text.replace(" ", "␣").replace("\n", "↵") or "(empty)"


def link_html(link: Part) -> Markup:
    """The feature's page on Neuronpedia, or why there is none."""
    if link.value is None:
        return soft(f"Neuronpedia: {link.reason}")
    return Markup(
        '<p><a href="{}" target="_blank" rel="noopener noreferrer">this feature on Neuronpedia</a></p>'
    ).format(link.value)


def history_html(history: Sequence[Edit]) -> Markup:
    """Everything that people did to a feature."""
    if not history:
        return soft("nobody changed anything about this feature")
    lines = (
        Markup("<li>{} UTC, <b>{}</b>: {}</li>").format(edit.at[:16].replace("T", " "), edit.by, _done(edit, history))
        for edit in history
    )
    return Markup('<div class="fl-texts"><ol>{}</ol></div>').format(Markup("").join(lines))


def _done(edit: Edit, history: Sequence[Edit]) -> Markup:
    if edit.kind == "undo":
        taken = next((one for one in history if one.id == edit.value), None)
        return Markup("took back {}").format("a change" if taken is None else f"{taken.kind}: {taken.value[:80]}")
    if edit.kind == "sample":
        return Markup("{}ed the sample {}").format(edit.value, text((edit.text or "")[:160]))
    return Markup("{}: {}").format(edit.kind, text(edit.value[:300]))
