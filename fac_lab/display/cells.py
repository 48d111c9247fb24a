"""What the cells of every notebook put on the page: a table, a folded text, a stored result with its origin."""

from collections.abc import Callable, Mapping
from html import escape

import pandas as pd
from IPython.display import HTML, display

from fac_lab.display.tables import to_html
from fac_lab.errors import ArtifactError
from fac_lab.studies.stored import read_result


def show(frame: pd.DataFrame, caption: str, formats: Mapping[str, str | Callable] | None = None) -> None:
    """A table under its caption, every cell escaped; names of columns in words, which may be broken into lines."""
    frame, formats = frame.rename(columns=_words), {_words(name): how for name, how in (formats or {}).items()}
    # A caption of the table itself would be broken into lines no longer than a narrow table.
    said = f'<figcaption style="padding: 0.4em 0">{escape(caption)}</figcaption>'
    display(HTML(f'<figure style="margin: 0">{said}{to_html(frame, formats=formats)}</figure>'))


def fold(title: str, text: str) -> None:
    """A text of any kind, escaped, behind a title to click on."""
    body = f'<pre class="tex2jax_ignore mathjax_ignore" style="white-space: pre-wrap">{escape(text)}</pre>'
    display(HTML(f"<details><summary>{escape(title)}</summary>{body}</details>"))


def stored(name: str) -> pd.DataFrame | None:
    """A stored result, with a line on where it comes from; None, and the command that makes it, where there is none."""
    try:
        frame, manifest = read_result(name)
    except ArtifactError as error:
        print(f"not stored here: {name} ({str(error).rpartition('; ')[2]})")
        return None
    facts = [f"profile {manifest['profile']['name']}"] if "profile" in manifest else []
    if "held_out_set" in frame:
        facts.append(_counted(frame.held_out_set, "held-out set"))
    if "seed" in frame:
        facts.append(_counted(frame.seed[frame.seed > 0], "training seed"))  # 0: trained on nothing
    print(f"stored: {', '.join([name, *facts])}, {manifest['made'][:10]}")
    if "unfinished" in manifest:
        print(f"not finished: {manifest['unfinished']}")
    return frame


def _words(name: object) -> str:
    """`n_missing` in words; what is no name of Python stays as it is, such as "|F_miss|"."""
    return str(name).replace("_", " ") if str(name).isidentifier() else str(name)


def _counted(column: pd.Series, noun: str) -> str:
    n = column.nunique()
    return f"{n} {noun}{'' if n == 1 else 's'}"
