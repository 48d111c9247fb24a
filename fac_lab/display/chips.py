"""Check boxes in a row, each with a count that can change under it: a filter's options.

None ticked means that the filter lets everything pass.
"""

from collections.abc import Mapping

import anywidget
import traitlets

CHIPS = """
export default { render({ model, el }) {
  const set = document.createElement("fieldset"), legend = document.createElement("legend");
  set.className = "fl-chips"; set.append(legend); el.append(set);
  let boxes = new Map();
  const draw = () => {
    const options = model.get("options"), chosen = model.get("chosen");
    legend.textContent = model.get("legend");
    const same = options.length === boxes.size && options.every((option) => boxes.has(option.key));
    if (!same) {
      for (const { label } of boxes.values()) label.remove();
      boxes = new Map(options.map((option) => {
        const label = document.createElement("label"), box = document.createElement("input");
        const name = document.createElement("span"), count = document.createElement("b");
        box.type = "checkbox"; box.dataset.key = option.key; name.textContent = option.key;
        box.addEventListener("change", () => {
          const kept = new Set(model.get("chosen"));
          if (box.checked) kept.add(option.key); else kept.delete(option.key);
          model.set("chosen", model.get("options").map((one) => one.key).filter((one) => kept.has(one)));
          model.save_changes();
        });
        label.append(box, name, count); set.append(label);
        return [option.key, { label, box, count }];
      }));
    }
    // The boxes stay where they are when only counts change, and with them the focus.
    for (const option of options) {
      const { label, box, count } = boxes.get(option.key);
      box.checked = chosen.includes(option.key);
      count.textContent = option.count === null ? "" : option.count.toLocaleString("en");
      label.className = option.count === 0 ? "none" : "";
    }
  };
  for (const name of ["options", "chosen", "legend"]) model.on("change:" + name, draw);
  draw();
  return () => { for (const name of ["options", "chosen", "legend"]) model.off("change:" + name, draw); };
} };
"""


class Chips(anywidget.AnyWidget):
    """The options of one filter; `chosen` are the ticked ones."""

    _esm = CHIPS
    legend = traitlets.Unicode("").tag(sync=True)
    """What it filters by."""
    options = traitlets.List().tag(sync=True)
    """`key` and `count` each."""
    chosen = traitlets.List(traitlets.Unicode()).tag(sync=True)
    """Keys of the ticked ones, in the options' order."""

    def count(self, counts: Mapping[str, int]) -> None:
        """Put up options with their counts."""
        self.options = [{"key": key, "count": int(count)} for key, count in counts.items()]

    def counts(self) -> dict[str, int]:
        """The counts that stand there."""
        return {option["key"]: option["count"] for option in self.options}
