"""A table one of whose rows is chosen, by the mouse or by keys: ipywidgets has none.

The table takes the focus as a whole (Tab). Up, Down, Home and End choose a row; Down at the last row, PageDown and
their like ask for more rows (`beyond`). Cells are set as text, so that nothing in them can be markup.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import anywidget
import traitlets

PICKER = """
const key = (value) => String(value);
export default { render({ model, el }) {
  const box = document.createElement("div"), table = document.createElement("table");
  const head = table.createTHead(), body = table.createTBody();
  const prefix = "fl" + Math.random().toString(36).slice(2);
  box.className = "fl-picker"; box.tabIndex = 0; table.setAttribute("role", "grid");
  box.setAttribute("data-lm-suppress-shortcuts", "true");
  box.append(table); el.append(box);
  let lines = new Map();
  const mark = () => {
    const chosen = key(model.get("chosen"));
    for (const [name, line] of lines) {
      line.setAttribute("aria-selected", String(name === chosen));
      if (name !== chosen) continue;
      table.setAttribute("aria-activedescendant", line.id);
      const top = line.offsetTop - head.offsetHeight, bottom = line.offsetTop + line.offsetHeight;
      // Only the table's own box is scrolled: the page would jump.
      if (top < box.scrollTop) box.scrollTop = top;
      else if (bottom > box.scrollTop + box.clientHeight) box.scrollTop = bottom - box.clientHeight;
    }
  };
  const draw = () => {
    const columns = model.get("columns"), rows = model.get("rows");
    box.setAttribute("aria-label", model.get("label"));
    table.setAttribute("aria-label", model.get("label"));
    const cells = (line, tag, values, more) => values.forEach((value, at) => {
      const cell = document.createElement(tag);
      cell.textContent = value; cell.dir = "auto";
      if ((columns[at] || {}).number) cell.className = "number";
      else if (value.length <= 12) cell.className = "short";
      more(cell, at); line.append(cell);
    });
    head.replaceChildren(); body.replaceChildren(); lines = new Map();
    if (rows.length) cells(head.insertRow(), "th", columns.map((column) => column.name),
      (cell, at) => { cell.scope = "col"; cell.title = columns[at].title || ""; });
    rows.forEach((row, number) => {
      const line = body.insertRow();
      line.id = prefix + number; line.dataset.key = row.key; line.className = row.tone || "";
      cells(line, "td", row.cells, (cell, at) => { cell.title = (columns[at] || {}).number ? "" : row.cells[at]; });
      lines.set(key(row.key), line);
    });
    if (!rows.length) { const line = body.insertRow(); line.insertCell().textContent = model.get("nothing"); }
    box.scrollTop = 0;
    mark();
  };
  const pick = (name) => {
    model.set("chosen", name);
    model.set("picked", { key: name, at: Date.now() + Math.random() });
    model.save_changes();
  };
  const beyond = (by) => { model.set("beyond", { by, at: Date.now() + Math.random() }); model.save_changes(); };
  table.addEventListener("click", (event) => {
    const line = event.target.closest("tbody tr[data-key]");
    if (line) pick(line.dataset.key);
  });
  box.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const names = [...lines.keys()], at = names.indexOf(key(model.get("chosen")));
    const last = names.length - 1;
    const to = { ArrowDown: at + 1, ArrowUp: at < 0 ? last : at - 1, Home: 0, End: last, Enter: Math.max(at, 0) };
    if (event.key === "PageDown") beyond("next page");
    else if (event.key === "PageUp") beyond("previous page");
    else if (!(event.key in to) || last < 0) return;
    else if (to[event.key] > last) beyond("next");
    else if (to[event.key] < 0) beyond("previous");
    else pick(names[to[event.key]]);
    event.preventDefault(); event.stopPropagation();
  });
  for (const name of ["rows", "columns", "label", "nothing"]) model.on("change:" + name, draw);
  model.on("change:chosen", mark);
  draw();
  return () => {
    for (const name of ["rows", "columns", "label", "nothing"]) model.off("change:" + name, draw);
    model.off("change:chosen", mark);
  };
} };
"""


class Column(NamedTuple):
    """A column of a picker."""

    name: str
    title: str = ""
    """What hovering over the head says."""
    number: bool = False
    """Aligned right."""


class Row(NamedTuple):
    """A row of a picker."""

    key: str
    """Names the row; unique in its table."""
    cells: Sequence[str]
    tone: str = ""
    """A CSS class, e.g. a feature's status."""


class Picker(anywidget.AnyWidget):
    """`show` sets the rows, `on_pick` hears of choices, `on_beyond` of keys that ask for rows before or behind."""

    _esm = PICKER
    label = traitlets.Unicode("").tag(sync=True)
    """What screen readers call it."""
    nothing = traitlets.Unicode("nothing to show").tag(sync=True)
    """What stands there when it has no rows."""
    columns = traitlets.List().tag(sync=True)
    rows = traitlets.List().tag(sync=True)
    chosen = traitlets.Unicode("").tag(sync=True)
    """Key of the highlighted row."""
    picked = traitlets.Dict().tag(sync=True)
    """The last choice: `key`, `at`."""
    beyond = traitlets.Dict().tag(sync=True)
    """The last wish for other rows: `by` ("next", "previous", "next page", "previous page"), `at`."""

    def __init__(self, columns: Sequence[Column], *, label: str, nothing: str = "nothing to show") -> None:
        super().__init__(columns=[column._asdict() for column in columns], label=label, nothing=nothing)

    def show(self, rows: Sequence[Row], chosen: object = "") -> None:
        """Put up rows, one of them highlighted (by key); nobody is told."""
        with self.hold_sync():
            self.rows = [{"key": str(row.key), "cells": list(row.cells), "tone": row.tone} for row in rows]
            self.chosen = str(chosen)

    def pick(self, key: object) -> None:
        """Choose a row as a click does."""
        self.chosen = str(key)
        self.picked = {"key": str(key), "at": self.picked.get("at", 0) + 1}

    def on_pick(self, action: Any) -> None:
        """`action(key)` at every choice."""
        self.observe(lambda change: action(change["new"]["key"]), "picked")

    def on_beyond(self, action: Any) -> None:
        """`action(by)` when rows before or behind are asked for."""
        self.observe(lambda change: action(change["new"]["by"]), "beyond")
