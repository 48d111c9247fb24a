"""Data full of HTML and JavaScript, through an audit, tables, figures and rating sheets, opened in a real browser."""

import json

import plotly.graph_objects as go
import pytest

from fac_lab.cli import main
from fac_lab.display.saving import save_figure
from fac_lab.display.tables import to_html
from fac_lab.display.theme import hover, styled

RUN = "window.pwned=1;document.title=`taken`"
PAYLOADS = [
    f"<script>{RUN}</script>",
    f"</script><script>{RUN}</script>",
    f"<img src=x onerror='{RUN}'>",
    f"<svg onload='{RUN}'>",
    f"</title></textarea></style></script><svg onload='{RUN}'>",
    f"<body onload='{RUN}'>",
    f"<details open ontoggle='{RUN}'>x</details>",
    f"<input autofocus onfocus='{RUN}'>",
    f"<video><source onerror='{RUN}'></video>",
    f"<iframe srcdoc='<script>parent.{RUN}</script>'></iframe>",
    f"<a href='javascript:{RUN}'>read on</a>",
    f"<math><mtext><table><mglyph><style><img src=x onerror='{RUN}'>",
    "<base href='//example.invalid/'><meta http-equiv=refresh content='0;url=//example.invalid'>",
    "<style>* {display: none !important}</style>",
    f'" autofocus onfocus="{RUN}',
    f"' onmouseover='{RUN}' x='",
    f"--><script>{RUN}</script><!--",
    f"]]><script>{RUN}</script>",
    f"{{{{constructor.constructor('{RUN}')()}}}} ${{{RUN}}}",
    f"&lt;script&gt;{RUN}&lt;/script&gt; &#60;img src=x onerror={RUN}&#62;",
    "\u202e<b>backwards</b>\u202c \u2028 \u2029 \u0000 \ufeff",
]


@pytest.fixture
def opened(chromium):
    """`opened(path)`: the text of a page, once it is certain that nothing in it ran or was fetched."""

    def look(path) -> str:
        page = chromium.new_page()
        dialogs, asked = [], []
        page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(path.as_uri())
        page.wait_for_timeout(500)
        page.evaluate("document.querySelectorAll('details').forEach(part => part.open = true)")
        page.mouse.move(300, 300)
        assert page.evaluate("window.pwned") is None and page.title() != "taken" and dialogs == []
        assert not [url for url in asked if not url.startswith(("file:", "data:", "blob:"))]
        assert page.locator("iframe, base, meta[http-equiv=refresh]").count() == 0
        assert page.evaluate("getComputedStyle(document.body).display") != "none"
        text = page.locator("body").inner_text()
        page.close()
        return text

    return look


def test_an_audit_of_payloads_shows_them_as_text(tmp_path, opened):
    """As texts and ids of the data and of the anchor, in the report as spans of missing features."""
    for name, rows in (("mine", ["a plain question about bread", "another about trains"]), ("anchor", PAYLOADS * 8)):
        lines = [json.dumps({"text": f"{text} {i}", "id": f"{text}-{i}"}) for i, text in enumerate(rows)]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    files = [str(tmp_path / "mine.jsonl"), "--anchor", str(tmp_path / "anchor.jsonl"), "--id-column", "id"]
    options = ["--profile", "smoke", "--rule", "absolute", "--delta", "0", "--support", "60"]
    assert main(["-q", "audit", *files, *options, "--out", str(tmp_path / "run")]) == 0
    text = opened(tmp_path / "run" / "report.html")
    assert "onerror=" in text and "window.pwned" in text, "the payloads are there to be read"


def test_tables_and_figures_show_payloads_as_text(tmp_path, opened):
    import pandas as pd

    frame = pd.DataFrame({payload: PAYLOADS for payload in PAYLOADS[:3]})
    page = tmp_path / "table.html"
    page.write_text(f"<meta charset=utf-8>{to_html(frame, caption=PAYLOADS[0])}", encoding="utf-8")
    text = opened(page)
    assert all(payload in text for payload in PAYLOADS[:6])
    figure = styled(go.Figure(), PAYLOADS[2], subtitle=PAYLOADS[3])
    figure.add_scatter(x=list(range(len(PAYLOADS))), y=[1] * len(PAYLOADS), text=[hover(p) for p in PAYLOADS],
                       name=PAYLOADS[4], mode="markers+text")  # fmt: skip
    pages = save_figure(figure, "payloads", folder=tmp_path)
    assert "window.pwned" in opened(pages[0])
