"""One notebook cell served as a page by Voilà: on this machine only, behind a token, nothing fetched from elsewhere.

Voilà runs the cell in a kernel of its own for every open page and ends it when the page is closed. What it leaves open
is shut here: a name other than this machine's (a foreign site may point its name at it), pages of other origins, files
of the folder, and configuration files that could change any of that.
"""

import logging
import secrets
import signal
import tempfile
from collections.abc import Callable
from pathlib import Path

import nbformat
from jupyter_server.base.handlers import JupyterHandler
from tornado.httpserver import HTTPServer
from tornado.ioloop import IOLoop
from tornado.netutil import bind_sockets
from traitlets import Any
from traitlets.config import Config
from voila.app import Voila
from voila.tornado.handler import TornadoVoilaHandler

from fac_lab.display.kernels import Kernels, PageHandler
from fac_lab.errors import SettingsError

LOOPBACK = "127.0.0.1"
TEMPLATES = Path(__file__).parent
TEMPLATE = "browse.html.jinja"
EXTENSIONS = ["@jupyter-widgets/jupyterlab-manager", "@voila-dashboards/widgets-manager8", "anywidget"]
ABANDONED = 1800
"""Seconds after which the kernel of a page is ended that vanished without a word."""
STARTING = 900
"""Seconds that a page's process may take to answer at first: fifty that start at once on two cores take minutes."""
PAGE_BYTES = 2**28
"""Memory of a page whose size nobody knows."""


def serve(
    code: str,
    title: str,
    *,
    port: int | None = None,
    ready: Callable[[str], object] = print,
    page_bytes: int = PAGE_BYTES,
) -> None:
    """Serve the output of `code` as a page until Ctrl-C or SIGTERM; `ready` is told the address, token included.

    `code` is the program's own, never made from what a user gives. `port` None takes a free one. `page_bytes` is the
    memory that one page is expected to take; where that is not left, who opens a further one is asked to wait. Raises
    SettingsError for a port that is taken. Has to be called in the main thread.
    """
    cell = nbformat.v4.new_code_cell(code)
    notebook = nbformat.v4.new_notebook(cells=[cell])
    notebook.metadata = {"title": title, "kernelspec": {"name": "python3", "display_name": "", "language": "python"}}
    with tempfile.TemporaryDirectory(prefix="fac-lab-page-") as folder:
        path = Path(folder) / "page.ipynb"
        nbformat.write(notebook, path)
        # Their warnings are about what is so on purpose: a notebook nobody signed, requests that were refused.
        logging.getLogger("tornado").setLevel(logging.ERROR)
        server = Server(
            config=settings(page_bytes),
            config_file_paths=[],
            connection_dir_root=folder,
            ip=LOOPBACK,
            log_level=logging.ERROR,
            open_browser=False,
            port=port or 0,
            ready=ready,
            token=secrets.token_urlsafe(24),
        )
        server.initialize([str(path)])
        server.start()


def settings(page_bytes: int = PAGE_BYTES) -> Config:
    """How Voilà is set up; nothing of it can be changed by an address or a notebook."""
    return Config(
        {
            "VoilaConfiguration": {
                "allow_template_override": "NO",
                "allow_theme_override": "NO",
                "extension_allowlist": EXTENSIONS,
                "file_allowlist": [],
                "multi_kernel_manager_class": Kernels,
                "prelaunch_hook": _let_go,
                "show_tracebacks": False,
                "strip_sources": True,
                "template": "lab",
                "theme": "light",
            },
            "VoilaExporter": {"template_file": TEMPLATE},
            "VoilaExecutor": {
                "cell_error_instruction": "The terminal that serves this page says why.",
                "startup_timeout": STARTING,
                # What a page shows may come later than that it was computed; after 4 s Voilà would show an empty page.
                "iopub_timeout": STARTING,
            },
            "AsyncMappingKernelManager": {
                "cull_idle_timeout": ABANDONED,
                "cull_interval": 60,
                "kernel_info_timeout": STARTING,
            },
            "Kernels": {"page_bytes": page_bytes},
        }
    )


def headers(port: int) -> dict[str, str]:
    """What a browser may do with the page: run its own scripts, ask this server, nothing else."""
    policy = {
        "default-src": "'none'",
        # Voilà's page has scripts in it, its widgets are loaded from blobs, and plotly compiles shaders.
        "script-src": "'self' 'unsafe-inline' 'unsafe-eval' blob:",
        "style-src": "'self' 'unsafe-inline'",
        "img-src": "'self' data: blob:",
        "font-src": "'self' data:",
        "connect-src": f"'self' ws://{LOOPBACK}:{port} ws://localhost:{port} data: blob:",
        "worker-src": "blob:",
        "base-uri": "'none'",
        "form-action": "'self'",
        "frame-ancestors": "'none'",
    }
    return {
        "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
        "Referrer-Policy": "same-origin",  # the address holds the token
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
    }


def _let_go(request: JupyterHandler, notebook: nbformat.NotebookNode, cwd: str) -> None:
    """Give the page the cookie with which it may end its kernel when it is closed; Voilà asks for it, sets it not."""
    _ = request.xsrf_token


class Server(Voila):
    """Voilà with its doors shut; `ready` is called with the address once it answers."""

    ready = Any()

    def setup_template_dirs(self) -> None:
        super().setup_template_dirs()
        self.template_paths.insert(0, str(TEMPLATES))

    def init_settings(self) -> dict:
        tornado = super().init_settings()
        # Voilà answers to any name. A site whose name was pointed at this machine would pass for the same origin.
        tornado["allow_remote_access"] = False
        self.identity_provider.cookie_options = tornado["xsrf_cookie_kwargs"] = {"samesite": "Strict"}
        return tornado

    def init_handlers(self) -> list:
        return [
            (route, PageHandler if handler is TornadoVoilaHandler else handler, *more)
            for route, handler, *more in super().init_handlers()
        ]

    def listen(self) -> None:
        try:
            sockets = bind_sockets(self.port, LOOPBACK)
        except (OSError, OverflowError) as error:
            raise SettingsError(
                f"port {self.port} cannot be listened on ({error}): give another, or none, which takes a free one"
            ) from error
        self.port = sockets[0].getsockname()[1]
        self.app.settings["headers"] = headers(self.port)
        http = HTTPServer(self.app)
        http.add_sockets(sockets)
        self.ioloop = IOLoop.current()
        self.ioloop.add_callback(self.ready, f"http://{LOOPBACK}:{self.port}/?token={self.token}")
        # As SIGTERM is: an exception out of whatever runs at that moment could end up anywhere.
        before = signal.signal(signal.SIGINT, self._handle_signal_stop)
        try:
            self.ioloop.start()
        finally:
            signal.signal(signal.SIGINT, before)
            http.stop()
            self.stop()
