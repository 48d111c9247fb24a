"""How the page looks: its style sheet, and the few pieces of HTML that every part uses.

Colours come from JupyterLab's and Voilà's theme where there is one, else from the page around it, so that light and
dark both read. Everything is under `.fl-browser`.
"""

from typing import Any

import ipywidgets
from markupsafe import Markup

from fac_lab.display.heat import heat_style
from fac_lab.display.theme import BLUE, RED

STYLE = f"""
.fl-browser {{ --fl-ink: var(--jp-ui-font-color1, CanvasText); --fl-soft: var(--jp-ui-font-color2, GrayText);
  --fl-line: var(--jp-border-color2, rgba(128,128,128,.4)); --fl-paper: var(--jp-layout-color1, Canvas);
  --fl-shade: var(--jp-layout-color2, rgba(128,128,128,.14)); --fl-focus: var(--jp-brand-color1, {BLUE});
  --fl-missing: {RED}; --fl-covered: {BLUE}; color: var(--fl-ink); background: var(--fl-paper);
  font-size: 13px; line-height: 1.4; max-width: 100%; overflow: visible; padding: .3rem .2rem 1rem; }}
.fl-browser:focus {{ outline: none; }}
.fl-browser:focus-visible {{ outline: 1px dotted var(--fl-focus); }}
.fl-browser .fl-columns {{ display: flex; flex-flow: row wrap; align-items: flex-start; gap: 1rem; overflow: visible;
  width: 100%; }}
.fl-browser .fl-columns > * {{ min-width: 0; margin: 0; overflow: visible; }}
.fl-browser .fl-left {{ flex: 1 1 310px; max-width: 400px; }}
.fl-browser .fl-rest {{ flex: 4 1 400px; width: auto; }}
.fl-browser .fl-middle {{ flex: 2 1 400px; }}
.fl-browser .fl-right {{ flex: 2 1 370px; }}
@media (max-width: 900px) {{ .fl-browser .fl-left {{ max-width: none; }} }}
.fl-browser .widget-html, .fl-browser .widget-html-content {{ height: auto; overflow: visible; line-height: 1.4;
  color: inherit; white-space: normal; font-size: inherit; width: auto; }}
.fl-browser .widget-vbox, .fl-browser .widget-hbox {{ overflow: visible; }}
.fl-browser .fl-flow {{ flex-flow: row wrap; align-items: center; gap: .15rem; }}
.fl-browser .widget-inline-hbox {{ width: auto; max-width: 100%; }}
.fl-browser .widget-label {{ color: var(--fl-ink); }}
.fl-browser .fl-wide {{ width: 100%; margin-inline: 0; }}
.fl-browser button, .fl-browser input, .fl-browser select, .fl-browser textarea {{ color: var(--fl-ink); }}
.fl-browser button {{ width: auto; min-width: 2.2rem; }}
.fl-browser .widget-toggle-buttons .widget-toggle-button {{ width: auto; }}
.fl-browser .jupyter-button.mod-active {{ font-weight: 600; box-shadow: inset 0 -3px 0 var(--fl-focus); }}
.fl-browser button:focus-visible, .fl-browser input:focus-visible, .fl-browser select:focus-visible,
.fl-browser textarea:focus-visible, .fl-browser a:focus-visible, .fl-browser summary:focus-visible,
.fl-browser .noUi-handle:focus-visible, .fl-browser .fl-picker:focus-visible {{ outline: 2px solid var(--fl-focus);
  outline-offset: 1px; }}
.fl-browser p {{ margin: .2rem 0; }}
.fl-browser h3 {{ font-size: 1.1rem; line-height: 1.3; margin: .1rem 0 .3rem; overflow-wrap: anywhere; }}
.fl-browser h4 {{ font-size: .95rem; margin: .7rem 0 .2rem; }}
.fl-browser bdi, .fl-browser li, .fl-browser td {{ overflow-wrap: anywhere; }}
.fl-browser .fl-soft {{ color: var(--fl-soft); }}
.fl-browser .fl-status {{ min-height: 1.7rem; }}
.fl-browser .fl-said, .fl-browser .fl-trouble {{ border-radius: .3rem; padding: .2rem .6rem; overflow-wrap: anywhere;
  background: var(--fl-shade); }}
.fl-browser .fl-trouble {{ border: 1px solid var(--fl-missing); }}
.fl-browser .fl-numbers-list {{ display: flex; flex-wrap: wrap; gap: .2rem 1.1rem; margin: 0; }}
.fl-browser .fl-numbers-list dt, .fl-browser .fl-numbers-list dd {{ float: none; display: block; width: auto;
  padding: 0; font-weight: 400; line-height: 1.3; white-space: nowrap; }}
.fl-browser .fl-numbers-list dt {{ font-size: .8rem; color: var(--fl-soft); }}
.fl-browser .fl-numbers-list dd {{ margin: 0; font-size: 1.25rem; font-variant-numeric: tabular-nums; }}
.fl-browser .fl-numbers-list dd small {{ font-size: .8rem; color: var(--fl-soft); }}
.fl-browser .fl-badge {{ border: 1px solid currentColor; border-radius: .7rem; padding: 0 .5rem; white-space: nowrap; }}
.fl-browser .fl-badge.missing::before {{ content: "◆ "; color: var(--fl-missing); }}
.fl-browser .fl-badge.covered::before {{ content: "● "; color: var(--fl-covered); }}
.fl-browser .fl-badge.outside::before {{ content: "× "; color: var(--fl-soft); }}
.fl-browser .fl-picker {{ overflow: auto; max-height: 23rem; border: 1px solid var(--fl-line); border-radius: .3rem; }}
.fl-browser .fl-picker table {{ border-collapse: collapse; width: 100%; font-size: 12px; margin: 0; color: inherit; }}
.fl-browser .fl-picker th {{ position: sticky; top: 0; background: var(--fl-paper); text-align: start; color: inherit;
  font-weight: 600; padding: .2rem .35rem; box-shadow: inset 0 -1px 0 var(--fl-line); z-index: 1; }}
.fl-browser .fl-picker td {{ padding: .15rem .35rem; text-align: start; vertical-align: top; color: inherit;
  max-width: 26rem; border-top: 1px solid var(--fl-shade); }}
.fl-browser .fl-picker td.number, .fl-browser .fl-picker th.number {{ text-align: end; white-space: nowrap;
  font-variant-numeric: tabular-nums; }}
.fl-browser .fl-picker td.short {{ white-space: nowrap; }}
.fl-browser .fl-picker tbody tr {{ cursor: pointer; background: none; }}
.fl-browser .fl-picker tbody tr:hover {{ background: var(--fl-shade); }}
.fl-browser .fl-picker tbody tr[aria-selected=true] {{ background: var(--fl-shade);
  box-shadow: inset 3px 0 0 var(--fl-focus); }}
.fl-browser .fl-picker tr.missing td:first-child {{ color: var(--fl-missing); }}
.fl-browser .fl-picker tr.covered td:first-child {{ color: var(--fl-covered); }}
.fl-browser .fl-picker tr.outside td:first-child {{ color: var(--fl-soft); }}
.fl-browser .fl-picker td {{ display: table-cell; }}
.fl-browser .widget-vbox > .jupyter-button {{ align-self: flex-start; }}
/* plotly lays the outline of a lasso over the points and lets it catch the mouse, with all that it encloses. */
.fl-browser .selectionlayer path {{ pointer-events: none !important; }}
.fl-browser .fl-bars {{ width: 100%; max-width: 36rem; display: block; }}
.fl-browser .fl-bars text {{ fill: currentColor; opacity: .8; font-size: 11px; }}
.fl-browser .fl-bars line {{ stroke: currentColor; opacity: .2; }}
.fl-browser .fl-bars line.delta {{ opacity: .8; stroke-dasharray: 3 3; }}
.fl-browser .fl-legend i {{ display: inline-block; width: .7rem; height: .7rem; border-radius: .15rem; }}
.fl-browser .fl-legend span {{ margin-inline-end: .8rem; }}
.fl-browser .fl-chips {{ border: 0; margin: .15rem 0; padding: 0; display: flex; flex-wrap: wrap; gap: 0 .6rem;
  min-width: 0; }}
.fl-browser .fl-chips legend {{ font-weight: 600; padding: 0; font-size: 12px; color: var(--fl-ink); float: left;
  margin-inline-end: .1rem; }}
.fl-browser .fl-chips label {{ display: inline-flex; align-items: center; gap: .2rem; cursor: pointer; }}
.fl-browser .fl-chips label b {{ font-weight: 400; color: var(--fl-soft); font-variant-numeric: tabular-nums; }}
.fl-browser .fl-chips label.none span {{ color: var(--fl-soft); }}
.fl-browser .fl-chips input {{ margin: 0; }}
.fl-browser details > summary {{ cursor: pointer; font-weight: 600; margin: .4rem 0 .1rem; }}
.fl-browser .fl-texts {{ max-height: 22rem; overflow: auto; padding-inline-end: .3rem; }}
.fl-browser .fl-texts ol {{ margin: 0; padding: 0; list-style: none; }}
.fl-browser .fl-texts li {{ border-top: 1px solid var(--fl-shade); padding: .15rem 0; }}
.fl-browser .fl-texts bdi {{ white-space: pre-wrap; }}
.fl-browser mark {{ background: rgba(224,96,0,.3); color: inherit; }}
.fl-browser .fl-tokens {{ display: flex; flex-wrap: wrap; gap: .2rem .4rem; list-style: none; margin: 0; padding: 0; }}
.fl-browser .fl-tokens li {{ border: 1px solid var(--fl-line); border-radius: .3rem; padding: 0 .35rem;
  white-space: pre-wrap; }}
.fl-browser .fl-tokens small {{ color: var(--fl-soft); }}
.fl-browser table.fl-table {{ border-collapse: collapse; margin: .3rem 0; color: inherit; font-size: 12px; }}
.fl-browser table.fl-table th, .fl-browser table.fl-table td {{ padding: .15rem .6rem .15rem 0; text-align: start;
  border-top: 1px solid var(--fl-line); vertical-align: top; }}
.fl-browser table.fl-table td.number {{ text-align: end; font-variant-numeric: tabular-nums; }}
.fl-browser a {{ color: var(--jp-content-link-color, LinkText); }}
.fl-browser textarea {{ min-height: 3.6rem; }}
{heat_style()}
"""
SIGNS = {"missing": "◆", "covered": "●", "outside": "×"}
"""A status has a shape as well as a colour."""
# Jupyter would set dollars in data as mathematics.
CLASSES = "fl-html tex2jax_ignore mathjax_ignore"


def html(name: str = "", value: str = "") -> ipywidgets.HTML:
    """An HTML widget of a class; its value has to be escaped already."""
    widget = ipywidgets.HTML(str(value))
    for part in (name, *CLASSES.split()):
        if part:
            widget.add_class(part)
    return widget


def soft(text: object) -> Markup:
    """A remark, escaped."""
    return Markup('<p class="fl-soft">{}</p>').format(text)


def text(value: object) -> Markup:
    """A text from data, in its own direction."""
    return Markup('<bdi dir="auto">{}</bdi>').format(value)


def box(*children: ipywidgets.Widget, name: str = "", flow: bool = False) -> ipywidgets.Box:
    """Widgets below each other, or (`flow`) beside each other as far as there is room."""
    widget = (ipywidgets.HBox if flow else ipywidgets.VBox)(children)
    for part in filter(None, (name, "fl-flow" if flow else "")):
        widget.add_class(part)
    return widget


def named(widget: Any, *names: str) -> Any:
    """The widget, with classes."""
    for name in names:
        widget.add_class(name)
    return widget


def button(words: str, name: str, action: Any, *, tooltip: str = "", style: str = "") -> ipywidgets.Button:
    """A button of a class that does something."""
    widget = named(ipywidgets.Button(description=words, tooltip=tooltip or words, button_style=style), name)
    widget.on_click(lambda _: action())
    return widget


def heading(words: str) -> ipywidgets.HTML:
    """A heading over a group of widgets."""
    return html("", Markup("<h4>{}</h4>").format(words))


def shown(widget: ipywidgets.Widget, there: bool) -> None:
    """Show or hide a widget."""
    widget.layout.display = None if there else "none"
