"""Prompts as files: Jinja templates with a version, rendered into chat messages."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import StrictUndefined, Template, TemplateError, TemplateSyntaxError
from jinja2.sandbox import SandboxedEnvironment

from fac_lab.digests import digest
from fac_lab.errors import SettingsError

# Values come from data sets and models: they are inserted as text, never run, and a forgotten one is an
# error.
_ENVIRONMENT = SandboxedEnvironment(undefined=StrictUndefined, autoescape=False, trim_blocks=True, lstrip_blocks=True)


@dataclass(frozen=True)
class Prompt:
    """A prompt file: its name, its source, and the digest of the source as its version."""

    name: str
    """File name without .jinja."""
    text: str
    """Jinja source; a line of three dashes parts the system message from the user message."""
    version: str
    """Digest of the source, recorded with every sample it made."""

    def messages(self, **values: Any) -> list[dict[str, str]]:
        """Chat messages `{"role", "content"}`: the system part if there is one, then the user part.

        Values cannot break the parts, even if they hold a line of dashes: the source is split before it is
        rendered. Raises SettingsError for a value that the prompt needs and did not get.
        """
        parts = self._parts()
        roles = ("user",) if len(parts) == 1 else ("system", "user")
        try:
            contents = [_compiled(part).render(values).strip() for part in parts]
        except TemplateError as error:
            raise SettingsError(
                f"prompt {self.name}: {error.message} (it was given {', '.join(sorted(values)) or 'nothing'})"
            ) from error
        return [{"role": role, "content": content} for role, content in zip(roles, contents, strict=True)]

    def _parts(self) -> list[str]:
        parts: list[list[str]] = [[]]
        for line in self.text.splitlines(keepends=True):
            if line.strip() == "---":
                parts.append([])
            else:
                parts[-1].append(line)
        if len(parts) > 2:
            raise SettingsError(
                f"prompt {self.name} has {len(parts) - 1} lines of three dashes: keep one, between system and user part"
            )
        return ["".join(lines) for lines in parts]


def load_prompt(folder: Path, name: str) -> Prompt:
    """The prompt `folder/name.jinja`. Raises SettingsError where it is missing, empty or not valid Jinja."""
    path = Path(folder) / f"{name}.jinja"
    if not path.is_file():
        there = ", ".join(sorted(file.stem for file in Path(folder).glob("*.jinja"))) or "none"
        raise SettingsError(f"no prompt {name!r} in {folder}; there are: {there}")
    text = path.read_text(encoding="utf-8")
    if not text.strip():
        raise SettingsError(f"prompt {path} is empty; write it, or restore it from the repository")
    prompt = Prompt(name=name, text=text, version=digest(text))
    for part in prompt._parts():
        try:
            _compiled(part)
        except TemplateSyntaxError as error:
            raise SettingsError(f"prompt {path}, line {error.lineno}: {error.message}") from error
    return prompt


@cache
def _compiled(source: str) -> Template:
    return _ENVIRONMENT.from_string(source)
