"""Keys for a group of widgets: ipywidgets has no key events of its own."""

import anywidget
import traitlets

KEYS = """
export default { render({ model, el }) {
  el.style.display = "none";
  let root = null;
  const pressed = (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey || event.repeat) return;
    if (/^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName) || event.target.isContentEditable) return;
    if (!model.get("taken").includes(event.key)) return;
    event.preventDefault();
    event.stopPropagation();
    // What stood on the screen goes with the key: one pressed too soon must not answer the next item.
    model.set("pressed", { key: event.key, screen: model.get("screen"), at: Date.now() });
    model.save_changes();
  };
  const settle = () => {
    // A button that vanished or was switched off has dropped the focus, and with it the keys.
    if (root && (document.activeElement === document.body || document.activeElement === null))
      root.focus({ preventScroll: true });
  };
  const later = () => setTimeout(settle, 60);
  const attach = (tries) => {
    root = el.closest("." + model.get("root"));
    if (!root) { if (tries) setTimeout(() => attach(tries - 1), 50); return; }
    root.tabIndex = -1;
    root.setAttribute("role", "group");
    root.setAttribute("aria-label", model.get("label"));
    root.setAttribute("data-lm-suppress-shortcuts", "true");  // JupyterLab: 1 would make a heading of the cell
    root.addEventListener("keydown", pressed);
  };
  attach(40);
  model.on("change:screen", later);
  return () => { model.off("change:screen", later); if (root) root.removeEventListener("keydown", pressed); };
} };
"""


class Keys(anywidget.AnyWidget):
    """Listens while the focus is inside the box of class `root` that holds it."""

    _esm = KEYS
    root = traitlets.Unicode("fac-rating").tag(sync=True)
    """Class of the box."""
    label = traitlets.Unicode("Rating sheet").tag(sync=True)
    """What screen readers call the box."""
    taken = traitlets.List(traitlets.Unicode()).tag(sync=True)
    """Keys that it takes; all others are left alone. (`keys` is a name that ipywidgets needs itself.)"""
    screen = traitlets.Unicode("").tag(sync=True)
    """What is on the screen."""
    pressed = traitlets.Dict().tag(sync=True)
    """The last key with what was on the screen: `key`, `screen`, `at`."""
