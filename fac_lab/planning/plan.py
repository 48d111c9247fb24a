"""What a study would cost under a profile, before anything is loaded or downloaded.

Sizes come from `facts`, the work from `workload`, hours and memory from `steps` and `estimates`, and everything
that has to be assumed from assumptions.yaml; an assumption that was used is part of the plan.
"""

from typing import NamedTuple

from fac_lab.errors import SettingsError
from fac_lab.plain import nearest
from fac_lab.planning.assumptions import Assumptions, devices
from fac_lab.planning.estimates import Device
from fac_lab.planning.facts import ModelFacts, SaeFacts, model_facts, sae_facts
from fac_lab.planning.steps import Step, own_steps, serving_step
from fac_lab.planning.workload import Calls, Sizes, workload
from fac_lab.profile import Profile, is_loopback
from fac_lab.settings import ChatSettings

ROLES = ("generator", "annotator")


class Download(NamedTuple):
    """Weights that are fetched once from the hub."""

    name: str
    size: int | None
    """Bytes; None where they are not known."""
    accept: str | None
    """Page on which terms have to be accepted first; None for an open repository."""


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
    assumed = Assumptions()
    subject = model_facts(profile.subject.path)
    sae, notes = _sae(profile, subject)
    if subject is None:
        notes.append(f"sizes of {profile.subject.path} are not known: add them to fac_lab/planning/models.yaml")
    chosen = _device(device, subject, assumed)
    work = workload(profile, study, sae.d_sae if sae else 0, sizes or Sizes(), assumed)
    if sae is None and not (sizes and sizes.features):
        notes.append(f"sizes of the SAE {profile.sae.path} are not known: 0 features are counted; give --features")
    downloads = [_download(profile.subject.path, subject)] if _is_remote(subject) else []
    if sae is None or sae.download_bytes:
        downloads.append(Download(sae.name if sae else profile.sae.path, sae.download_bytes if sae else None, None))
    steps = own_steps(profile, work, subject, sae.d_sae if sae else 0, chosen, assumed)
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
            steps.append(serving_step(role, settings, calls, model, chosen, assumed))
            if _is_remote(model) and settings.model not in [download.name for download in downloads]:
                downloads.append(_download(settings.model, model))
    return Plan(profile.name, study, chosen, downloads, steps, chats, assumed.used(), notes)


def _device(name: str | None, subject: ModelFacts | None, assumed: Assumptions) -> Device:
    known = devices()
    if name is None:
        name = "cpu" if subject and subject.parameters < assumed("gpu_from_parameters") else "a100"
    if name not in known:
        raise SettingsError(f"unknown device {name!r}{nearest(name, known)}; there are: {', '.join(known)}")
    return known[name]


def _sae(profile: Profile, subject: ModelFacts | None) -> tuple[SaeFacts | None, list[str]]:
    found = sae_facts(profile.sae)
    training = profile.sae_training
    if found is None and training and subject:
        note = f"there is no SAE in {profile.sae.path} yet: `fac-lab sae FILE` trains it, on {training.tokens:,} tokens"
        return SaeFacts(profile.sae.path, subject.width, training.d_sae, 0, "sae_training"), [note]
    return found, []


def _is_remote(model: ModelFacts | None) -> bool:
    return model is None or model.download_bytes > 0


def _download(path: str, model: ModelFacts | None) -> Download:
    if model is None:
        return Download(path, None, None)
    return Download(model.name, model.download_bytes, model.page if model.gated else None)


def _is_own(settings: ChatSettings) -> bool:
    return settings.backend == "local" or all(map(is_loopback, settings.addresses))


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
