"""The rating sheet on the screen: one item at a time, answered by a click or by the keys 1, 2, 3.

`display(RatingSheet(ratings))` asks for the rater's name and begins where that rater stopped; every answer is saved
before the next item appears. What a rater may see is decided by the sheet (`fac_lab.rating`), not here. Where there
are no widgets (a saved notebook, a preview), the same output shows the first items as they would look.
"""

from pathlib import Path
from typing import Any

import ipywidgets
from markupsafe import Markup

from fac_lab.display.keys import Keys
from fac_lab.display.report import card_style, mark_peak
from fac_lab.errors import FacLabError
from fac_lab.rating.answers import Ratings
from fac_lab.rating.session import Session
from fac_lab.rating.sheet import Item, Question, Sheet

STATIC_ITEMS = 3
CHOSEN = "primary"

STYLE = """
.fac-rating { padding: .75rem 1rem 1rem; border: 1px solid rgba(128,128,128,.35); border-radius: .5rem;
  max-width: 62rem; overflow: hidden; }
.fac-rating:focus { outline: none; }
.fac-rating:focus-visible, .fac-rating button:focus-visible { outline: 2px solid #2b83ba; outline-offset: 1px; }
.fac-rating:focus-visible { outline-offset: -2px; }
.fac-rating .widget-html-content, .fac-rating .jupyter-widgets.widget-html-content { color: inherit; line-height: 1.45;
  height: auto; overflow: visible; white-space: normal; }
.fac-rating button { min-width: 7.5rem; }
.fac-rate { font-size: .95rem; }
.fac-rate p { margin: .25rem 0; }
.fac-rate .fac-card { max-width: none; }
.fac-rate .fac-card h4 { margin: 0 0 .3rem; }
.fac-rate .fac-card ol { margin: 0; padding: 0; }
.fac-rate .fac-card h4 .soft { font-weight: 400; }
.fac-rate .fac-card li bdi { max-height: 9em; overflow: auto; }
.fac-rate .soft { opacity: .75; }
.fac-rate .question { font-weight: 600; font-size: 1.05rem; margin: .7rem 0 .2rem; }
.fac-rate .rubric { margin: 0 0 .3rem; padding-inline-start: .8rem; border-inline-start: 3px solid rgba(128,128,128,.4);
  white-space: pre-wrap; max-height: 11em; overflow: auto; }
.fac-rate .bar { height: .3rem; border-radius: .2rem; background: rgba(128,128,128,.25); margin: .35rem 0 .6rem; }
.fac-rate .bar span { display: block; height: 100%; border-radius: .2rem; background: #2b83ba; }
.fac-rate .trouble { border: 1px solid #d55e00; border-radius: .4rem; padding: .4rem .7rem; }
"""


class RatingSheet:
    """The sheet of some ratings, for one rater at a time. Its parts are ipywidgets: `name`, `start`, `answers`,
    `back`, `forward`, `undo`, `change_rater`; tests and scripts set `.value` and `.click()`."""

    def __init__(self, ratings: Ratings) -> None:
        self.ratings = ratings
        self.session: Session | None = None
        most = max(len(question.options) for question in ratings.sheet.questions)
        self.name = ipywidgets.Text(
            description="Your name", placeholder="as it shall stand in the file", style={"description_width": "initial"}
        )
        self.start = ipywidgets.Button(description="Start", button_style=CHOSEN)
        self.answers = [ipywidgets.Button() for _ in range(most)]
        self.back = ipywidgets.Button(description="← back", tooltip="to the question before (key: left)")
        self.forward = ipywidgets.Button(description="next →", tooltip="to the next question (key: right)")
        self.undo = ipywidgets.Button(description="undo (z)", tooltip="take the last answer back (key: z)")
        self.change_rater = ipywidgets.Button(description="another rater")
        self.head, self.body, self.trouble = (ipywidgets.HTML() for _ in range(3))
        self.keys = Keys()
        self._ask = ipywidgets.HBox([self.name, self.start])
        self._answering = ipywidgets.HBox(self.answers, layout={"flex_flow": "row wrap"})
        self._moving = ipywidgets.HBox(
            [self.back, self.forward, self.undo, self.change_rater],
            layout={"flex_flow": "row wrap", "margin": "0.7rem 0 0"},
        )
        self.widget = ipywidgets.VBox(
            [
                ipywidgets.HTML(f"<style>{card_style()}{STYLE}</style>", layout={"display": "none"}),
                *(self.head, self._ask, self.body, self._answering, self.trouble, self._moving, self.keys),
            ]
        )
        self.widget.add_class("fac-rating")
        self.start.on_click(lambda _: self._try(self._begin))
        self.change_rater.on_click(lambda _: self._try(self._leave))
        self.back.on_click(lambda _: self._move(Session.back))
        self.forward.on_click(lambda _: self._move(Session.forward))
        self.undo.on_click(lambda _: self._move(Session.undo))
        for number, button in enumerate(self.answers):
            button.on_click(lambda _, number=number: self._give(number))
        self.keys.observe(self._pressed, "pressed")
        self._show()

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        """The widget, and beside it what to show where there are none."""
        return {**self.widget._repr_mimebundle_(**kwargs), "text/html": static_html(self.ratings.sheet)}

    def _begin(self) -> None:
        self.session = Session(self.ratings, self.name.value)

    def _leave(self) -> None:
        self.session = None
        self.name.value = ""

    def _move(self, move: Any) -> None:
        if self.session is not None:
            self._try(lambda: move(self.session))

    def _give(self, number: int) -> None:
        step = self.session.step if self.session else None
        if step is not None and number < len(step.question.options):
            self._try(lambda: self.session.give(step.question.options[number]))

    def _pressed(self, change: dict[str, Any]) -> None:
        key, screen = change["new"].get("key", ""), change["new"].get("screen")
        if self.session is None or screen != self.keys.screen:
            return
        moves = {"ArrowLeft": Session.back, "ArrowRight": Session.forward, "z": Session.undo}
        if key in moves:
            self._move(moves[key])
        elif key.isdigit() and key != "0":
            self._give(int(key) - 1)

    def _try(self, action: Any) -> None:
        """Do it and show what is so now; what is wrong is said on the screen, where the rater is."""
        said = ""
        try:
            action()
        except FacLabError as error:
            said = str(error)
        self._show(said)

    def _show(self, trouble: str = "") -> None:
        session, sheet = self.session, self.ratings.sheet
        step = session.step if session else None
        options = step.question.options if step else ()
        self.trouble.value = _wrapped(
            Markup('<p class="trouble" role="alert">{}</p>').format(trouble) if trouble else ""
        )
        _visible(self.trouble, bool(trouble))
        _visible(self._ask, session is None)
        _visible(self._moving, session is not None)
        _visible(self._answering, step is not None)
        for number, button in enumerate(self.answers):
            _visible(button, number < len(options))
            if number < len(options):
                chosen = options[number] == session.answer
                button.description = f"{'✓ ' if chosen else ''}{number + 1} · {options[number]}"
                button.button_style = CHOSEN if chosen else ""
                button.tooltip = f"answer {options[number]} (key: {number + 1})"
        if session is None:
            self.head.value, self.body.value = _wrapped(_welcome(sheet)), ""
        else:
            self.head.value = _wrapped(_progress(session))
            self.body.value = _wrapped(step_html(*step) if step else _finished(session))
            self.undo.disabled = not session.can_undo
            self.back.disabled = session.position == 0
            self.forward.disabled = step is None
        self.keys.taken = (
            [*(str(n + 1) for n in range(len(options))), "ArrowLeft", "ArrowRight", "z"] if session else []
        )
        # Last, because the browser takes it as the sign that the new item stands.
        moved = session.progress.answered if session else 0
        self.keys.screen = f"{session.rater} {session.position} {moved}" if session else ""


def step_html(item: Item, question: Question | None = None) -> Markup:
    """An item with the question about it; every text escaped, right-to-left text in its own direction."""
    is_feature = item.about == "feature"
    card = Markup(
        '<article class="fac-card"><h4><span class="soft">{}:</span> <bdi dir="auto">{}</bdi></h4>{}</article>'
    ).format(
        "explanation" if is_feature else "description",
        item.summary or "none",
        _excerpts(item) if is_feature else _sample(item),
    )
    if question is None:
        return card
    rubric = Markup('<p class="rubric" dir="auto">{}</p>').format(question.rubric) if question.rubric else ""
    return Markup('{}<p class="question">{}</p>{}').format(card, question.text, rubric)


def static_html(sheet: Sheet, n: int = STATIC_ITEMS) -> str:
    """The sheet without widgets: its questions, and its first items as raters see them."""
    rows = Markup("").join(
        Markup("<li><b>{}</b> {}</li>").format(question.text, " / ".join(question.options))
        for question in sheet.questions
    )
    items = Markup("").join(step_html(item) for item in sheet.items[:n])
    return Markup(
        "<style>{}{}</style><div class='fac-rate'><p><b>Rating sheet {}</b>: run this cell in JupyterLab to rate. Its "
        "first {} of {} items, as raters see them:</p><div class='fac-cards'>{}</div><p>Asked about each:</p>"
        "<ul>{}</ul></div>"
    ).format(card_style(), Markup(STYLE), sheet.name, min(n, len(sheet.items)), len(sheet.items), items, rows)


def _excerpts(item: Item) -> Markup:
    if not item.excerpts:
        return Markup('<p class="soft">no spans: nothing is known to activate it</p>')
    lines = (Markup('<li><bdi dir="auto">{}</bdi></li>').format(mark_peak(text, peak)) for text, peak in item.excerpts)
    return Markup("<ol>{}</ol>").format(Markup("").join(lines))


def _sample(item: Item) -> Markup:
    return Markup('<ol><li><bdi dir="auto">{}</bdi></li></ol>').format(item.text)


def _welcome(sheet: Sheet) -> Markup:
    n_steps = len(sheet.items) * len(sheet.questions)
    return Markup(
        "<p><b>Rating sheet: {}</b> · {} items, {} questions in all</p><p class='soft'>Items come in an order of your "
        "own, and you are not told what models said about them. Each answer is saved at once; you may stop at any time "
        "and go on later under the same name. Keys: 1, 2, 3 answer, ← and → move, z takes back.</p>"
    ).format(sheet.name, len(sheet.items), n_steps)


def _progress(session: Session) -> Markup:
    progress = session.progress
    share = progress.answered / progress.n_steps if progress.n_steps else 1
    return Markup(
        "<p role='status'><b>{} of {}</b> <span class='soft'>· {} of {} answers saved · <bdi>{}</bdi></span></p>"
        "<div class='bar'><span style='width: {:.1f}%'></span></div>"
    ).format(progress.item, progress.n_items, progress.answered, progress.n_steps, session.rater, 100 * share)


def _finished(session: Session) -> Markup:
    file: Path = session.ratings.path(session.rater)
    return Markup(
        "<p class='question'>All answered. Thank you!</p><p>Your answers are in <code>{}</code>. You can still go back "
        "and change them, or hand the sheet to another rater.</p>"
    ).format(file.name)


def _wrapped(content: str) -> str:
    return Markup('<div class="fac-rate">{}</div>').format(content)


def _visible(widget: ipywidgets.Widget, there: bool) -> None:
    widget.layout.display = None if there else "none"
