"""The page put together: filters and list, figures, one feature, acting, keys; a table where there are no widgets."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ipywidgets
from markupsafe import Markup

from fac_lab.browsing.session import BrowserSession
from fac_lab.display.browser.acting import ActingPart
from fac_lab.display.browser.desk import Desk
from fac_lab.display.browser.dial import DialPart
from fac_lab.display.browser.feature import FeaturePart
from fac_lab.display.browser.files import FilesPart
from fac_lab.display.browser.filters import FilterPart
from fac_lab.display.browser.listing import ListPart
from fac_lab.display.browser.rows import RowsPart
from fac_lab.display.browser.sides import SidesPart
from fac_lab.display.browser.static import static_browser
from fac_lab.display.browser.style import STYLE, box, html, named
from fac_lab.display.browser.views import ViewsPart
from fac_lab.display.keys import Keys

KEYS = ("j", "k", "z", "y")


class BrowserPage(ipywidgets.VBox):
    """The widget; its parts are `dial`, `filters`, `listing`, `views`, `about`, `acting`, `files`, `rows`, `sides`."""

    def __init__(
        self, session: BrowserSession, *, others: Mapping[str, Any] | None = None, export_to: Path | None = None
    ) -> None:
        self.session = session
        self.desk = desk = Desk(session)
        self.dial, self.filters, self.listing = DialPart(desk), FilterPart(desk), ListPart(desk)
        self.about, self.acting, self.files = FeaturePart(desk), ActingPart(desk), FilesPart(desk, export_to)
        self.rows = RowsPart(desk)
        self.sides = SidesPart(desk, self.filters.set_among, others or {})
        self.views = ViewsPart(desk, self.filters.set_among, {"My rows": self.rows, "Compare": self.sides})
        self.panel = named(
            ipywidgets.ToggleButtons(
                options=["Feature", "Act", "Files"],
                tooltips=["what is known of it", "try, write, change, take back", "export the list, import labels"],
            ),
            "fl-panel",
        )
        self._place = box(self.about.widget)
        self.panel.observe(lambda change: self._show_panel(), "value")
        self.hotkeys = Keys(root="fl-browser", label="Browser of missing features", taken=list(KEYS))
        self.hotkeys.observe(lambda change: self._pressed(change["new"].get("key", "")), "pressed")
        left = box(self.dial.widget, self.filters.widget, self.listing.widget, name="fl-left")
        middle = box(self.views.widget, name="fl-middle")
        right = box(self.panel, self._place, name="fl-right")
        # Where there is no room for three columns, the feature stands under the figures, not under the long list.
        rest = named(ipywidgets.HBox([middle, right]), "fl-columns", "fl-rest")
        title = html("fl-title", Markup("<h3>{}</h3>").format(session.name))
        super().__init__(
            [
                ipywidgets.HTML(f"<style>{STYLE}</style>", layout={"display": "none"}),
                title,
                desk.status,
                named(ipywidgets.HBox([left, rest]), "fl-columns"),
                self.hotkeys,
            ]
        )
        self.add_class("fl-browser")
        missing = session.cut.missing
        if session.selected is None and len(session.features):
            first = int(missing[0]) if len(missing) else int(session.features[0])
            session.select(first)
        desk.tell("cut", "list", "feature")
        self.about.awake = True

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        """The widget, and beside it what to show where there are none."""
        return {**super()._repr_mimebundle_(**kwargs), "text/html": static_browser(self.session)}

    def _show_panel(self) -> None:
        panels = {"Feature": (self.about.widget,), "Act": (self.acting.widget,), "Files": (self.files.widget,)}
        self._place.children = panels[self.panel.value]

    def _pressed(self, key: str) -> None:
        actions = {
            "j": lambda: self.listing.step(1),
            "k": lambda: self.listing.step(-1),
            "z": self.acting.undo.click,
            "y": self.acting.redo.click,
        }
        if key in actions:
            actions[key]()
            self.hotkeys.screen = str(self.session.selected)


def browser(
    session: BrowserSession, *, others: Mapping[str, Any] | None = None, export_to: Path | None = None
) -> BrowserPage:
    """The page of a session, to be displayed.

    `others` are further sessions, statistics or corpora by name, which the tab Compare offers; `export_to` is the
    folder of exports (beside the edits if None). No model is loaded before somebody chooses a feature.
    """
    return BrowserPage(session, others=others, export_to=export_to)
