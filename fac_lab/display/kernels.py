"""The processes behind open pages: as many as memory holds; who comes later is told, and let in later.

Each open page has a Python process of its own. One too many, and the operating system ends some process, be it a page
that somebody works in. So a page that would not fit is answered by a few words that ask again by themselves.
"""

from typing import Any

import psutil
from jupyter_server.services.kernels.kernelmanager import AsyncMappingKernelManager
from markupsafe import Markup
from tornado.web import HTTPError
from traitlets import Int
from voila.tornado.handler import TornadoVoilaHandler

from fac_lab.memory import memory

KEPT_FREE = 0.05
"""Share of the memory that pages leave alone."""
ASK_AGAIN = 15
"""Seconds after which a page that did not fit asks again."""
WAITING = Markup(
    """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>No memory left for another page</title>
<meta http-equiv="refresh" content="{seconds}"><meta name="viewport" content="width=device-width">
<style>:root {{ color-scheme: light dark; }} body {{ font: 1.1rem/1.5 system-ui, sans-serif; margin: 20vh auto;
max-width: 40rem; padding: 0 1rem; }} h1 {{ font-size: 1.5rem; line-height: 1.2; }}</style></head>
<body><main role="alert"><h1>No memory left for another page</h1><p>{reason}</p><p>Close a page that nobody needs, or
another program. This page asks again every {seconds} seconds, and opens when there is room.</p></main></body></html>
"""
)


class Full(HTTPError):
    """One more page would not fit into memory; the message says why."""

    def __init__(self, reason: str) -> None:
        super().__init__(503, reason)
        self.why = reason


class Kernels(AsyncMappingKernelManager):
    """Voilà's processes, with a bound by memory."""

    page_bytes = Int(2**28, help="Memory that a page is expected to take before any was open.").tag(config=True)
    _starting = 0

    async def start_kernel(self, **known: Any) -> str:
        """Start the process of a page and return its id. Raises Full where memory does not suffice."""
        reason = self.full()
        if reason:
            raise Full(reason)
        self._starting += 1  # until it is among the others, which takes a while
        try:
            return await super().start_kernel(**known)
        finally:
            self._starting -= 1

    def full(self) -> str:
        """Why no further page may be opened; "" where one may. The first one always may."""
        taken = [_resident(kernel) for kernel in self._kernels.values()]
        if not taken and not self._starting:
            return ""
        here = memory()
        # Those that have just begun will take what the others did; a new one may load a model as the largest did.
        promised = sum(max(0, self.page_bytes - one) for one in taken) + self._starting * self.page_bytes
        need = max(self.page_bytes, *taken, 0)
        if here.available - promised - need >= KEPT_FREE * here.total:
            return ""
        return (
            f"Pages that are open: {len(taken) + self._starting}. A further one may take {need / 1e9:.1f} GB; of "
            f"{here.total / 1e9:.0f} GB here, {max(0, here.available - promised) / 1e9:.1f} GB are left."
        )


class PageHandler(TornadoVoilaHandler):
    """Voilà's page, or words for why it has to wait."""

    async def get(self, path: str | None = None) -> None:
        """The page."""
        try:
            await super().get(path)
        except Full as full:
            self.clear()
            self.set_status(503)
            self.set_header("Retry-After", str(ASK_AGAIN))
            self.set_header("Cache-Control", "no-store")
            await self.finish(str(WAITING.format(seconds=ASK_AGAIN, reason=full.why)))


def _resident(kernel: Any) -> int:
    """Memory of a process in bytes; 0 where it is not there yet, or no more."""
    try:
        return psutil.Process(kernel.provisioner.pid).memory_info().rss
    except (AttributeError, TypeError, ValueError, psutil.Error):
        return 0
