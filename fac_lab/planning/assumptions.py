"""What a plan has to assume, from assumptions.yaml: devices, and values with their reasons."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path

import yaml

from fac_lab.planning.estimates import Device

ASSUMPTIONS = Path(__file__).parent / "assumptions.yaml"


class Assumptions:
    """Values by name, and which of them were asked for."""

    def __init__(self) -> None:
        self._names: dict[str, None] = {}

    def __call__(self, name: str) -> float:
        self._names[name] = None
        return _data()["values"][name]["value"]

    def used(self) -> list[tuple[str, float, str]]:
        """Name, value and reason of each, in the order they were first asked for."""
        values: Mapping[str, dict] = _data()["values"]
        return [(name, values[name]["value"], values[name]["why"]) for name in self._names]


def devices() -> dict[str, Device]:
    """The devices a plan may be made for, by short name."""
    return {
        name: Device(facts["name"], facts["tflops"], facts["memory_gb"], name != "cpu", facts["why"])
        for name, facts in _data()["devices"].items()
    }


@cache
def _data() -> dict:
    return yaml.safe_load(ASSUMPTIONS.read_text(encoding="utf-8"))
