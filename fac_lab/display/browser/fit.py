"""Keeps plotly's figures as wide as their column: inside a widget they do not hear of it."""

import anywidget
import traitlets

FIT = """
export default { render({ model, el }) {
  el.style.display = "none";
  let root = null, waiting = null;
  // plotly, where it is responsive, listens to the window only.
  const resize = () => window.dispatchEvent(new Event("resize"));
  const tell = () => { clearTimeout(waiting); waiting = setTimeout(resize, 80); };
  const sizes = new ResizeObserver(tell);
  const added = new MutationObserver((changes) => {
    if (changes.some((change) => change.addedNodes.length)) { tell(); setTimeout(tell, 700); }
  });
  const attach = (tries) => {
    root = el.closest(".fl-browser");
    if (!root) { if (tries) setTimeout(() => attach(tries - 1), 50); return; }
    const place = root.querySelector(".fl-middle") || root;
    sizes.observe(place);
    added.observe(place, { childList: true, subtree: true });
    for (const wait of [100, 1000, 3000]) setTimeout(tell, wait);
  };
  attach(80);
  model.on("change:shown", tell);
  return () => { model.off("change:shown", tell); sizes.disconnect(); added.disconnect(); clearTimeout(waiting); };
} };
"""


class Fit(anywidget.AnyWidget):
    """Lies inside the page and is not seen."""

    _esm = FIT
    shown = traitlets.Int(0).tag(sync=True)
    """Raised when a figure that was hidden is shown: it has not heard of any change of its column meanwhile."""
