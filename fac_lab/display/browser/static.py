"""The page where there are no widgets: numbers and the missing features as a table, all text escaped."""

import pandas as pd
from markupsafe import Markup

from fac_lab.browsing.session import BrowserSession
from fac_lab.display.browser.dial import numbers_html
from fac_lab.display.browser.style import SIGNS, STYLE
from fac_lab.display.report import mark_peak
from fac_lab.display.tables import to_html

STATIC_ROWS = 15
TEXT = 200


def static_browser(session: BrowserSession, *, rows: int = STATIC_ROWS) -> str:
    """Numbers, the first features of the missing set with one span each, and how to get the page itself."""
    numbers = session.numbers()
    missing = session.cut.missing[:rows]
    frame = session.table.frame(missing, session.cut)
    shown = pd.DataFrame(
        {
            "": [SIGNS[status] for status in frame.status],
            "feature": frame.feature,
            "summary": [(summary or "–")[:TEXT] for summary in frame.summary],
            "verdict": [verdict or "–" for verdict in frame.verdict],
            "anchor": frame.anchor_count,
            "seed": frame.seed_count,
        }
    )
    if session.table.scored.any():
        shown["label quality"] = ["not scored" if score != score else f"{score:.2f}" for score in frame.label_score]
    spans = (session.anchor.spans(int(feature))[:1] for feature in missing)
    examples = Markup("").join(
        Markup('<li>#{}: <bdi dir="auto">{}</bdi></li>').format(span.feature, mark_peak(span.text, span.peak))
        for found in spans
        for span in found
    )
    more = f" (the first {len(missing)} of {numbers.n_missing:,})" if len(missing) < numbers.n_missing else ""
    return Markup(
        '<style>{}</style><div class="fl-browser fl-static tex2jax_ignore mathjax_ignore"><h3>{}</h3>{}'
        "<h4>Missing features{}</h4>{}<details><summary>what activates them</summary><ul>{}</ul></details>"
        '<p class="fl-soft">Run this cell in JupyterLab, or <code>fac-lab browse</code>, for the page itself.</p></div>'
    ).format(Markup(STYLE), session.name, numbers_html(numbers), more, Markup(to_html(shown)), examples)
