"""One generator writing samples for one task: what every way of synthesis asks it, and how answers are read.

A sample's parts come in one JSON object from a large model, out of form ones asked for once more. The models of the
mini world can write one query and answer it, and take no correction: they write what the user says, and `complete`
makes the rest of the format from what they answer, once a sample is kept.
"""

import json
import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from fac_lab.annotation.styles import Style, Unreadable, json_object, object_schema, style_of
from fac_lab.chat.client import ChatClient, ChatReply, ChatRequest
from fac_lab.digests import digest
from fac_lab.prompts import Prompt, load_prompt
from fac_lab.settings import SynthesisSettings
from fac_lab.synthesis.formats import Format, format_of, rest_fault, said_fault, said_limits
from fac_lab.synthesis.samples import Sample

log = logging.getLogger(__name__)

Messages = Sequence[Mapping[str, str]]

NOT_REPAIRED = ("no reply", "a refusal", "copies")
"""Faults that a second answer would not mend: the other ones are of form."""


class Draft(NamedTuple):
    """One answer of the generator."""

    parts: Mapping[str, str]
    """The parts that were read, by name; empty where there is none."""
    reason: str
    """Why it cannot be a sample; empty where it can."""
    seed: int
    """Seed of its request."""
    repaired: bool

    def text(self, form: Format) -> str:
        """What the user says; empty where there is none."""
        return self.parts.get(form.said, "")


@dataclass(frozen=True)
class Writer:
    """A generator, the task it writes for, and how it is asked."""

    chat: ChatClient
    settings: SynthesisSettings
    prompts: Path
    """Folder of the prompts of its style."""
    task: str = "toxicity"

    @cached_property
    def style(self) -> Style:
        """How prompts of this folder show data and read answers."""
        return style_of(self.prompts)

    @cached_property
    def form(self) -> Format:
        """The format of the task's samples."""
        return format_of(self.task)

    def seed(self, method: str, *names: object) -> int:
        """The seed of one draw, from what names it and from the settings' own."""
        return int(digest(method, self.settings.seed, *names), 16) % 2**31

    def prompt(self, name: str) -> Prompt:
        """A prompt of this writer's style by what it is for: "one_step", "two_step", "plain" or a baseline's own."""
        # What the mini models learned to write is a query, with prompts of the first task, whatever it is used for.
        return load_prompt(self.prompts, name if self.style.structured else f"toxicity_{name}")

    def version(self, prompt: Prompt) -> str:
        """What decides the words of a prompt: its own source and that of the task's format."""
        return digest(prompt.version, self._wanted.version) if self.style.structured else prompt.version

    def messages(self, prompt: Prompt, *, relevant: bool = True, **values: object) -> list[dict[str, str]]:
        """The prompt with its values and, for large models, with the task's purpose and format."""
        if self.style.structured:
            least, most = said_limits(self.form, self.style)
            wanted = self._wanted.messages(relevant=relevant, min_words=least, max_words=most)
            values |= {"purpose": wanted[0]["content"], "format": wanted[1]["content"]}
        return prompt.messages(**values)

    def write(
        self, conversations: Sequence[Messages], seeds: Sequence[int], shown: Sequence[Collection[str]]
    ) -> list[Draft]:
        """One draft for each conversation; `shown` are the texts that its prompt shows and a sample may not copy.

        One out of form is asked for once more where the model can take a correction, all of them in one batch.
        """
        requests = [self._request(messages, seed) for messages, seed in zip(conversations, seeds, strict=True)]
        replies = self.chat.complete(requests)
        drafts = [self._read(*asked) for asked in zip(replies, shown, requests, strict=True)]
        if not self.style.structured:
            return drafts
        broken = [i for i, draft in enumerate(drafts) if draft.reason and not draft.reason.startswith(NOT_REPAIRED)]
        again = [self.style.ask_again(requests[i], replies[i].text or "", drafts[i].reason) for i in broken]
        for i, reply in zip(broken, self.chat.complete(again) if again else (), strict=True):
            second = self._read(reply, shown[i], requests[i])
            drafts[i] = second._replace(repaired=True, reason=second.reason and f"twice out of form: {second.reason}")
        return drafts

    def sample(self, draft: Draft, *, label: int, draw: int, method: str, prompt_version: str = "") -> Sample:
        """A draft as a candidate that was written for no feature."""
        return Sample(
            None,
            draft.text(self.form),
            label,
            step=1,
            draw=draw,
            prompt_version=prompt_version,
            model=self.chat.backend.name,
            seed=draft.seed,
            reason=draft.reason,
            task=self.task,
            parts=json.dumps(draft.parts, ensure_ascii=False),
            method=method,
            repaired=draft.repaired,
        )

    def say(
        self,
        conversations: Sequence[Messages],
        seeds: Sequence[int],
        *,
        temperature: float | None = None,
        max_tokens: int | None = None,
    ) -> list[str]:
        """Free answers, as plans or rankings are; empty where there is none."""
        heat = self.settings.temperature if temperature is None else temperature
        requests = [
            ChatRequest(
                tuple(messages), heat, self.settings.top_p, max_tokens or 2 * self.settings.max_tokens, seed=seed
            )
            for messages, seed in zip(conversations, seeds, strict=True)
        ]
        return [(reply.text or "").strip() for reply in self.chat.complete(requests)]

    @cached_property
    def _wanted(self) -> Prompt:
        return load_prompt(self.prompts, f"{self.task}_format")

    @cached_property
    def _asked_parts(self) -> tuple[str, ...]:
        """Parts that one answer holds."""
        if not self.style.structured:
            return self.form.parts[:1]
        return tuple(part for part in self.form.parts if part not in self.form.later)

    def _request(self, messages: Messages, seed: int) -> ChatRequest:
        settings = self.settings
        return ChatRequest(
            tuple(messages),
            temperature=settings.temperature,
            top_p=settings.top_p,
            max_tokens=self.form.tokens if self.style.structured and self.form.tokens else settings.max_tokens,
            seed=seed,
            schema=object_schema({part: {"type": "string"} for part in self._asked_parts})
            if self.style.structured
            else None,
        )

    def _read(self, reply: ChatReply, shown: Collection[str], request: ChatRequest) -> Draft:
        parts, reason = read_parts(reply, self._asked_parts, self.style)
        if parts:
            lines = instructions(request.messages, shown, self.style)
            text = parts[self.form.said]
            reason = said_fault(text, self.form, self.style, shown=shown, instructions=lines)
            reason = reason or rest_fault(parts, self.form)
        return Draft(parts, reason, request.seed, False)


def read_parts(reply: ChatReply, names: Sequence[str], style: Style) -> tuple[dict[str, str], str]:
    """The parts in a reply, and why there are none: one of the two is empty."""
    if not reply.ok:
        return {}, f"no reply: {reply.error}"
    if reply.finish == "length":
        return {}, "cut off at max_tokens"
    text = reply.text or ""
    if not style.structured:
        return ({names[0]: text.strip()}, "") if text.strip() else ({}, "empty")
    try:
        found = {name: json_object(text, name)[name].strip() for name in names}
    except Unreadable as error:
        return {}, f"unreadable: {error}"
    return found, ""


def instructions(messages: Messages, shown: Collection[str], style: Style) -> list[str]:
    """The lines of a prompt that are not one of the `shown` texts alone."""
    data = {style.quote(text) for text in shown}
    lines = (line.strip() for turn in messages for line in turn["content"].splitlines())
    return [line for line in lines if line and line not in data]
