"""What a study would cost under a profile, before anything is loaded or downloaded.

Sizes come from `facts`, the work from `workload`, hours and memory from the formulas in `estimates`, and everything
that has to be assumed from plans/assumptions.yaml; an assumption that was used is part of the plan.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

import yaml

from fac_lab import estimates
from fac_lab.errors import SettingsError
from fac_lab.estimates import GB, Device
from fac_lab.facts import ModelFacts, SaeFacts, model_facts, sae_facts
from fac_lab.plain import nearest
from fac_lab.profile import ChatSettings, Profile, is_loopback
from fac_lab.workload import Calls, Reading, Sizes, Training, Workload, workload

ASSUMPTIONS = Path(__file__).parent / "plans" / "assumptions.yaml"
ROLES = ("generator", "annotator")


class Download(NamedTuple):
    """Weights that are fetched once from the hub."""

    name: str
    size: int | None
    """Bytes; None where they are not known."""
    accept: str | None
    """Page on which terms have to be accepted first; None for an open repository."""


class Step(NamedTuple):
    """Work of a device of one's own."""

    what: str
    tokens: int
    hours: float | None
    memory_gb: float | None
    """Peak; None of both where the model's sizes are not known."""


class Chat(NamedTuple):
    """Questions of one kind to one chat model."""

    role: str
    model: str
    calls: Calls
    paid: bool
    """Whether somebody else's server answers."""
    cost: float | None
    """In the currency of the price; 0 for one's own models, None without a price."""


class Plan(NamedTuple):
    """What a study needs."""

    profile: str
    study: str
    device: Device
    downloads: list[Download]
    steps: list[Step]
    chats: list[Chat]
    assumed: list[tuple[str, float, str]]
    """Name, value and reason of each assumption that was used."""
    notes: list[str]

    @property
    def download_bytes(self) -> int:
        """Of everything whose size is known."""
        return sum(download.size or 0 for download in self.downloads)

    @property
    def gated(self) -> list[str]:
        """Pages on which terms have to be accepted."""
        return [download.accept for download in self.downloads if download.accept]

    @property
    def memory_gb(self) -> float:
        """The largest step's: steps run one after another, a chat server of one's own beside them."""
        return max((step.memory_gb or 0 for step in self.steps), default=0.0)

    @property
    def hours(self) -> float:
        """Of all steps whose model is known."""
        return sum(step.hours or 0 for step in self.steps)

    @property
    def paid_calls(self) -> int:
        """Calls to somebody else's server."""
        return sum(chat.calls.calls for chat in self.chats if chat.paid)

    @property
    def cost(self) -> float | None:
        """None where a paid model has no price."""
        costs = [chat.cost for chat in self.chats]
        return None if None in costs else sum(costs)


def make_plan(profile: Profile, study: str = "demo", *, device: str | None = None, sizes: Sizes | None = None) -> Plan:
    """The plan of a study: demo, audit, recovery, arms or toxicity (the paper's own task at its sizes).

    `device` is a name in assumptions.yaml; None is one that fits the subject. Raises SettingsError for a study or a
    device that does not exist, a profile that cannot run the study, or a folder without a readable model.
    """
    assumed = _Assumed()
    subject = model_facts(profile.subject.path)
    sae, notes = _sae(profile, subject)
    if subject is None:
        notes.append(f"sizes of {profile.subject.path} are not known: add them to fac_lab/plans/models.yaml")
    chosen = _device(device, subject, assumed)
    work = workload(profile, study, sae.d_sae if sae else 0, sizes or Sizes(), assumed)
    if sae is None and not (sizes and sizes.features):
        notes.append(f"sizes of the SAE {profile.sae.path} are not known: 0 features are counted; give --features")
    downloads = [_download(profile.subject.path, subject)] if _is_remote(subject) else []
    if sae is None or sae.download_bytes:
        downloads.append(Download(sae.name if sae else profile.sae.path, sae.download_bytes if sae else None, None))
    steps = _own_steps(profile, work, subject, sae, chosen, assumed)
    chats = []
    for role in ROLES:
        calls = [calls for calls in work.calls if calls.role == role]
        settings: ChatSettings | None = getattr(profile, role)
        if not calls:
            continue
        if settings is None:
            raise SettingsError(
                f"{study} needs a {role}, and profile {profile.name} names none: add `{role}:` with a chat model"
            )
        chats += [_chat(settings, line) for line in calls]
        if _is_own(settings):
            model = _chat_facts(settings)
            steps.append(_serving(role, settings, calls, model, chosen, assumed))
            if _is_remote(model) and settings.model not in [download.name for download in downloads]:
                downloads.append(_download(settings.model, model))
    return Plan(profile.name, study, chosen, downloads, steps, chats, assumed.used(), notes)


def gpu_memory_gb(profile: Profile) -> float | None:
    """Memory a GPU needs to read texts under a profile; None for a model that a CPU reads, or of unknown sizes."""
    assumed = _Assumed()
    subject, sae = model_facts(profile.subject.path), sae_facts(profile.sae)
    if subject is None or subject.parameters < assumed("gpu_from_parameters"):
        return None
    return _reading_memory(profile, subject, sae.d_sae if sae else 0, assumed)


def devices() -> dict[str, Device]:
    """The devices a plan may be made for, by short name."""
    return {
        name: Device(facts["name"], facts["tflops"], facts["memory_gb"], name != "cpu", facts["why"])
        for name, facts in _data()["devices"].items()
    }


class _Assumed:
    """Assumptions by name, and which were asked for."""

    def __init__(self) -> None:
        self._names: dict[str, None] = {}

    def __call__(self, name: str) -> float:
        self._names[name] = None
        return _data()["values"][name]["value"]

    def used(self) -> list[tuple[str, float, str]]:
        values: Mapping[str, dict] = _data()["values"]
        return [(name, values[name]["value"], values[name]["why"]) for name in self._names]


@cache
def _data() -> dict:
    return yaml.safe_load(ASSUMPTIONS.read_text(encoding="utf-8"))


def _sae(profile: Profile, subject: ModelFacts | None) -> tuple[SaeFacts | None, list[str]]:
    found = sae_facts(profile.sae)
    training = profile.sae_training
    if found is None and training and subject:
        note = f"there is no SAE in {profile.sae.path} yet: `fac-lab sae FILE` trains it, on {training.tokens:,} tokens"
        return SaeFacts(profile.sae.path, subject.width, training.d_sae, 0, "sae_training"), [note]
    return found, []


def _device(name: str | None, subject: ModelFacts | None, assumed: _Assumed) -> Device:
    known = devices()
    if name is None:
        name = "cpu" if subject and subject.parameters < assumed("gpu_from_parameters") else "a100"
    if name not in known:
        raise SettingsError(f"unknown device {name!r}{nearest(name, known)}; there are: {', '.join(known)}")
    return known[name]


def _is_remote(model: ModelFacts | None) -> bool:
    return model is None or model.download_bytes > 0


def _download(path: str, model: ModelFacts | None) -> Download:
    if model is None:
        return Download(path, None, None)
    return Download(model.name, model.download_bytes, model.page if model.gated else None)


def _own_steps(
    profile: Profile,
    work: Workload,
    subject: ModelFacts | None,
    sae: SaeFacts | None,
    device: Device,
    assumed: _Assumed,
) -> list[Step]:
    steps = [_reading(profile, reading, subject, sae.d_sae if sae else 0, device, assumed) for reading in work.readings]
    return steps + ([_training(profile, work.training, subject, device, assumed)] if work.training else [])


def _reading(
    profile: Profile, reading: Reading, subject: ModelFacts | None, d_sae: int, device: Device, assumed: _Assumed
) -> Step:
    what = f"read {reading.texts:,} texts: {reading.what}"
    if subject is None:
        return Step(what, reading.tokens, None, None)
    operations = estimates.reading_operations(
        subject,
        d_sae,
        layer=profile.subject.layer,
        tokens=reading.tokens,
        text_tokens=reading.tokens / max(reading.texts, 1),
    )
    hours = device.hours(operations, assumed("reading_share"))
    return Step(what, reading.tokens, hours, _reading_memory(profile, subject, d_sae, assumed))


def _reading_memory(profile: Profile, subject: ModelFacts, d_sae: int, assumed: _Assumed) -> float:
    size = estimates.reading_memory(
        subject,
        d_sae,
        dtype=profile.subject.dtype,
        batch_tokens=profile.collect.batch_tokens,
        copies=assumed("encoder_copies"),
        reserve_gb=assumed("device_reserve_gb"),
    )
    return size / GB


def _training(profile: Profile, run: Training, subject: ModelFacts | None, device: Device, assumed: _Assumed) -> Step:
    detector = profile.detector
    what = f"train and score {run.runs} detectors ({detector.mode})"
    passes = detector.epochs if detector.mode == "lora" else 1
    tokens = round(run.runs * (passes * run.rows + run.test_rows) * run.row_tokens)
    if subject is None:
        return Step(what, tokens, None, None)
    operations = estimates.training_operations(subject, detector, seeds=len(profile.seeds), **run._asdict())
    memory = estimates.training_memory(
        subject,
        detector,
        on_gpu=device.gpu,
        row_tokens=detector.max_tokens,
        activation_bytes=assumed("activation_bytes"),
        adapter_bytes=assumed("adapter_bytes"),
        reserve_gb=assumed("device_reserve_gb"),
    )
    return Step(what, tokens, device.hours(operations, assumed("training_share")), memory / GB)


def _is_own(settings: ChatSettings) -> bool:
    return settings.backend == "local" or is_loopback(settings.base_url)


def _chat_facts(settings: ChatSettings) -> ModelFacts | None:
    try:
        return model_facts(settings.model)
    except SettingsError:
        if settings.backend == "local":
            raise
        return None  # a server may serve its model under any name


def _chat(settings: ChatSettings, calls: Calls) -> Chat:
    own = _is_own(settings)
    prices = (settings.price_prompt, settings.price_completion)
    if None in prices:
        cost = 0.0 if own and prices == (None, None) else None
    else:
        cost = calls.calls * (calls.prompt_tokens * prices[0] + calls.completion_tokens * prices[1]) / 1e6
    return Chat(calls.role, settings.model, calls, not own, cost)


def _serving(
    role: str, settings: ChatSettings, calls: list[Calls], model: ModelFacts | None, device: Device, assumed: _Assumed
) -> Step:
    tokens = sum(line.calls * (line.prompt_tokens + line.completion_tokens) for line in calls)
    what = f"answer {sum(line.calls for line in calls):,} calls as {role}: {settings.model}"
    if model is None:
        return Step(what, tokens, None, None)
    hours = device.hours(estimates.writing_operations(model, tokens), assumed("generation_share"))
    longest = max(line.prompt_tokens + line.most_tokens for line in calls)
    memory = estimates.serving_memory(
        model, sequences=settings.concurrency, tokens=longest, reserve_gb=assumed("device_reserve_gb")
    )
    return Step(what, tokens, hours, memory / GB)
