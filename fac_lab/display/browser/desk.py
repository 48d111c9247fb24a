"""What the parts of the page share: the session, what is said about the work under way, and who redraws when.

Parts draw themselves again when told of an event: "cut" (threshold, scope, or what people changed), "list" (filters,
order, place), "feature" (another one is selected, or more is known of it).
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any

from markupsafe import Markup

from fac_lab.browsing.session import BrowserSession
from fac_lab.display.browser.style import html
from fac_lab.errors import FacLabError

log = logging.getLogger(__name__)

LOADING = "Loading the model (some seconds) …"


class Desk:
    """One page's session and messages."""

    def __init__(self, session: BrowserSession) -> None:
        self.session = session
        self.status = html("fl-status")
        self.said = ""
        """What the status says."""
        self._actions: dict[str, list[Callable[[], None]]] = {}
        self._waiting: dict[str, Any] = {}

    def on(self, event: str, action: Callable[[], None]) -> None:
        """Have a part redrawn at an event."""
        self._actions.setdefault(event, []).append(action)

    def tell(self, *events: str) -> None:
        """Redraw all that depends on an event."""
        for event in events:
            for action in self._actions.get(event, ()):
                action()

    def say(self, text: str, *, trouble: bool = False) -> None:
        """Say what is under way, done, or wrong."""
        self.said = text
        kind = Markup('class="fl-trouble" role="alert"' if trouble else 'class="fl-said" role="status"')
        self.status.value = Markup("<p {}>{}</p>").format(kind, text) if text else ""

    def act(
        self,
        action: Callable[[], Any],
        *,
        busy: str = "",
        done: str | Callable[[Any], str] = "",
        tell: Sequence[str] = (),
        background: bool = False,
    ) -> Any:
        """Do what somebody asked for; what is wrong is said on the page, and None returned.

        `busy` stands there meanwhile, `done` (a text, or made from the result) afterwards. `background` work leaves
        what was said before.
        """
        if busy or not background:
            self.say(busy)
        try:
            result = action()
            self.tell(*tell)
        except FacLabError as error:
            self.say(str(error), trouble=True)
            return None
        except Exception as error:
            self.say(f"This failed through a fault of the program ({type(error).__name__}: {error})", trouble=True)
            log.exception("the browser failed")
            return None
        said = done(result) if callable(done) else done
        if said or (busy and self.said == busy):
            self.say(said)
        return result

    def select(self, feature: int) -> None:
        """Show a feature."""
        self.act(lambda: self.session.select(int(feature)), tell=["feature"])

    def feature(self) -> int:
        """The selected feature; SettingsError where there is none."""
        return self.session.checked()

    def loading(self, otherwise: str = "") -> str:
        """What to say while the model is asked."""
        return otherwise if self.session.model.loaded else LOADING

    def later(self, name: str, seconds: float, action: Callable[[], None]) -> None:
        """Do it once nothing of that name was asked for during some seconds; at once where no loop runs (a script)."""
        if (waiting := self._waiting.pop(name, None)) is not None:
            waiting.cancel()
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            action()
        else:
            self._waiting[name] = loop.call_later(seconds, action)
