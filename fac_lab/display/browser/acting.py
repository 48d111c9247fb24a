"""Acting on the selected feature: try a text, write samples, decide about them, change what is said, take it back."""

from typing import Any

import ipywidgets
import pandas as pd
from markupsafe import Markup

from fac_lab.annotation.styles import VERDICTS
from fac_lab.browsing.model import Trial, Written
from fac_lab.display.browser.desk import Desk
from fac_lab.display.browser.feature import history_html
from fac_lab.display.browser.style import box, button, heading, html, named, shown, soft, text
from fac_lab.display.heat import heat_html
from fac_lab.display.picker import Column, Picker, Row
from fac_lab.errors import SettingsError

FIT = {"description_width": "initial"}


class ActingPart:
    """Parts: `name`, `tried`, `try_it`, `trial`, `write`, `written`, `samples`, `accept`, `reject`, `measure`,
    `summary`, `save_summary`, `verdict`, `save_verdict`, `undo`, `redo`, `refresh`, `history`, `widget`."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self._draws: dict[int, int] = {}
        self._texts: list[str] = []
        self._shown: int | None = None
        self.about = html("fl-about")
        self.name = self._field(ipywidgets.Text, "your name", "fl-name", "kept with each change")
        self.tried = self._field(ipywidgets.Textarea, "", "fl-try", "a text of your own")
        self.try_it = button("try this text", "fl-try-it", self._try)
        self.trial = html("fl-trial")
        self.write = button("write samples now", "fl-write", self._write)
        self.written = html("fl-written")
        self.samples = named(
            Picker(
                (Column("activation", number=True), Column("sample"), Column("kept"), Column("decision")),
                label="Samples written for this feature",
                nothing="no samples were written for this feature",
            ),
            "fl-samples",
        )
        self.accept = button("accept", "fl-accept", lambda: self._decide("accept"))
        self.reject = button("reject", "fl-reject", lambda: self._decide("reject"))
        self.measure = button(
            "measure the accepted", "fl-measure", self._measure, tooltip="put them into the histogram"
        )
        self.summary = self._field(ipywidgets.Textarea, "", "fl-edit-summary", "your own words for this feature")
        self.save_summary = button("save summary", "fl-save-summary", self._save_summary)
        self.verdict = named(ipywidgets.Dropdown(options=VERDICTS, description="verdict", style=FIT), "fl-edit-verdict")
        self.save_verdict = button("save verdict", "fl-save-verdict", self._save_verdict)
        self.undo = button("undo", "fl-undo", lambda: self._take("undo"), tooltip="take back your last change (key: z)")
        self.redo = button("redo", "fl-redo", lambda: self._take("redo"), tooltip="bring it back (key: y)")
        self.refresh = button("refresh", "fl-refresh", self._refresh, tooltip="show what others changed meanwhile")
        self.history = html("fl-history")
        self.widget = box(
            self.about,
            self.name,
            *(heading("Try a text"), self.tried, self.try_it, self.trial),
            *(heading("Samples"), self.samples, box(self.accept, self.reject, self.measure, self.write, flow=True)),
            self.written,
            *(heading("Change what is said"), self.summary, self.save_summary),
            box(self.verdict, self.save_verdict, flow=True),
            *(heading("Take back"), box(self.undo, self.redo, self.refresh, flow=True), self.history),
            name="fl-acting",
        )
        desk.on("feature", self.show)

    def show(self) -> None:
        """The selected feature's samples, words and history."""
        session = self.desk.session
        there = session.selected is not None
        for part in self.widget.children[2:]:
            shown(part, there)
        if not there:
            self.about.value = soft("No feature is selected: choose one from the list.")
            return
        i = session.selected
        summary = session.table.summary[i]
        head = Markup("<h3>#{} {}</h3>").format(i, text((summary or "no summary")[:300]))
        if self._shown != i:
            self.trial.value = self.written.value = ""
        self._shown, self.about.value = i, head
        self.summary.value, self.verdict.value = summary or "", session.table.verdict[i] or VERDICTS[-1]
        self._show_samples(session.samples(i))
        self.history.value = history_html(session.journal.history(i) if session.journal else [])

    def _show_samples(self, frame: pd.DataFrame | None) -> None:
        rows: list[Row] = []
        self._texts = [] if frame is None else frame.text.tolist()
        for number, sample in enumerate(() if frame is None else frame.itertuples(index=False)):
            kept = "yes" if sample.kept else f"no: {sample.reason}"
            value = "–" if pd.isna(sample.activation) else f"{sample.activation:.4g}"
            decided = f"{sample.decision}ed by {sample.decided_by}" if sample.decision else ""
            rows.append(Row(str(number), (value, sample.text or "–", kept, decided)))
        chosen = self.samples.chosen if self.samples.chosen in {row.key for row in rows} else ""
        self.samples.show(rows, chosen or ("0" if rows else ""))

    # What the model is asked.

    def _try(self) -> None:
        desk = self.desk
        self.trial.value = ""
        found = desk.act(lambda: desk.session.try_text(self.tried.value), busy=desk.loading("Reading the text …"))
        if found is not None:
            trial, heat = found
            self.trial.value = soft(trial.reason) if trial.value is None else self._trial_html(trial.value, heat)

    def _trial_html(self, trial: Trial, heat: Any) -> Markup:
        names = self.desk.session.table.summary
        says = "active" if trial.active else "not active"
        cut = " · longer than the model reads, cut" if trial.truncated else ""
        parts = [
            Markup('<p><b class="fl-active">{}</b>: {:.4g}, threshold {:.4g}{}</p>').format(
                says, trial.pooled, trial.delta, cut
            )
        ]
        parts.append(Markup(heat_html(heat.value, style=False)) if heat.value is not None else soft(heat.reason))
        strongest = Markup("").join(
            Markup('<li><span class="fl-soft">{:.4g}</span> #{} {}</li>').format(
                value, i, text((names[i] or "–")[:160])
            )
            for i, value in trial.strongest
        )
        parts.append(Markup("<h4>Features it activates most</h4><ol>{}</ol>").format(strongest))
        parts.append(soft(f"missing features that it would fill: {_listed(trial.fills)}"))
        return Markup("").join(parts)

    def _write(self) -> None:
        desk = self.desk

        def act() -> Any:
            i = desk.feature()
            made = desk.session.synthesise(draw=self._draws.get(i, 0))
            self._draws[i] = self._draws.get(i, 0) + 1
            return made

        made = desk.act(act, busy=desk.loading("Writing samples …"), tell=["feature"])
        if made is not None:
            self.written.value = soft(made.reason) if made.value is None else written_html(made.value)

    def _measure(self) -> None:
        desk = self.desk
        found = desk.act(desk.session.load_synthetic, busy=desk.loading("Measuring …"), tell=["feature"])
        if found is not None:
            reason = found.reason
            desk.say(reason or f"{found.value.n_samples:,} accepted samples measured", trouble=bool(reason))

    # What is saved with name and time.

    def _decide(self, decision: str) -> None:
        def act() -> Any:
            if not self.samples.chosen:
                raise SettingsError("no sample is chosen: choose one from the table above")
            sample = self._texts[int(self.samples.chosen)]
            return self.desk.session.decide_sample(self.desk.feature(), sample, decision, by=self._by())

        self.desk.act(act, tell=["feature"], done=f"Sample {decision}ed.")

    def _save_summary(self) -> None:
        session = self.desk.session
        self.desk.act(
            lambda: session.edit_summary(self.desk.feature(), self.summary.value, by=self._by()),
            **(_EVERYTHING | {"done": "Summary saved; the annotator's own is kept beside it."}),
        )

    def _save_verdict(self) -> None:
        session = self.desk.session
        self.desk.act(
            lambda: session.override_verdict(self.desk.feature(), self.verdict.value, by=self._by()),
            **(_EVERYTHING | {"done": "Verdict saved; the annotator's own is kept beside it."}),
        )

    def _take(self, action: str) -> None:
        session = self.desk.session
        nothing = f"There is nothing of yours to {action}."
        self.desk.act(
            lambda: getattr(session, action)(by=self._by()) or nothing,
            **(_EVERYTHING | {"done": lambda found: nothing if found == nothing else _said_of(action, found.feature)}),
        )

    def _refresh(self) -> None:
        self.desk.act(
            self.desk.session.refresh,
            **(_EVERYTHING | {"done": lambda new: "What others changed is shown." if new else "Nothing new."}),
        )

    def _by(self) -> str:
        if not self.name.value.strip():
            raise SettingsError("say your name first (field “your name”): each change is kept with name and time")
        return self.name.value

    @staticmethod
    def _field(kind: type, words: str, name: str, placeholder: str) -> Any:
        widget = kind(description=words, placeholder=placeholder, style=FIT)
        widget.tooltip = placeholder
        return named(widget, name, "fl-wide")


_EVERYTHING = {"tell": ["cut", "list", "feature"]}


def written_html(made: Written) -> Markup:
    """What was written just now: the contrastive pair, and each sample with both measurements."""
    parts = []
    if made.pair is not None:
        parts.append(
            Markup("<h4>Contrastive pair</h4><p>activates ({:.4g}, {}): {}</p><p>does not ({:.4g}): {}</p>").format(
                made.pair["positive_activation"],
                made.pair["positive_source"],
                text(made.pair["positive"]),
                made.pair["negative_activation"],
                text(made.pair["negative"]),
            )
        )
    rows = Markup("").join(
        Markup("<tr><td class='number'>{}</td><td class='number'>{}</td><td>{}</td><td>{}</td></tr>").format(
            _number(sample.activation), _number(sample.remeasured), text(sample.text or "–"),
            "kept" if sample.kept else sample.reason,
        )
        for sample in made.samples.itertuples(index=False)
    )  # fmt: skip
    parts.append(
        Markup(
            "<table class='fl-table'><thead><tr><th>written</th><th>again</th><th>sample</th><th></th></tr></thead>"
            "<tbody>{}</tbody></table>"
        ).format(rows)
    )
    parts.append(soft(f"missing features that the kept ones fill: {_listed(made.fills)}"))
    return Markup("").join(parts)


def _listed(features: Any, most: int = 12) -> str:
    shown_ = ", ".join(f"#{i}" for i in list(features)[:most])
    rest = len(features) - most
    return (shown_ or "none") + (f" and {rest:,} more" if rest > 0 else "")


def _number(value: Any) -> str:
    return "–" if pd.isna(value) else f"{value:.4g}"


def _said_of(action: str, feature: int) -> str:
    return f"{'Taken back' if action == 'undo' else 'Brought back'}: a change of feature {feature}."
