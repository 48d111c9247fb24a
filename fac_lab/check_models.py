"""Rows of the check about models and SAEs: on this machine, in the hub's cache, or to be had from the hub."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from fac_lab import model_hub
from fac_lab.errors import SettingsError
from fac_lab.planning.facts import model_facts, sae_facts
from fac_lab.planning.steps import gpu_memory_gb
from fac_lab.profile import Profile, resolve
from fac_lab.settings import SaeSettings

WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
"""One of these is in the hub's cache once a model was loaded."""


class CheckRow(NamedTuple):
    """One thing that was looked at."""

    name: str
    ok: bool | None
    """None: worth knowing, but nothing has to be done."""
    detail: str
    cure: str = ""

    def __str__(self) -> str:
        mark = {True: "OK  ", False: "FAIL", None: "INFO"}[self.ok]
        return f"{mark}  {self.name:<22} {self.detail}" + (f"\n      {'':<22} -> {self.cure}" if self.cure else "")


class Hub:
    """Questions to the hub, until one of them cannot be asked."""

    def __init__(self) -> None:
        self._asked: list[str] = []
        self._trouble: model_hub.Answer | None = None

    def ask(self, repo: str, file: str, revision: str | None) -> model_hub.Answer:
        """The answer for one file, or the trouble that an earlier question ran into."""
        if self._trouble is None:
            answer = model_hub.ask(repo, file, revision)
            self._asked.append(repo)
            if answer.ok is not None or model_hub.offline():
                return answer
            self._trouble = answer
        return self._trouble

    def row(self) -> CheckRow:
        """Whether it was reached, which is no trouble as long as nothing is needed of it."""
        if model_hub.offline():
            return CheckRow("Hugging Face hub", None, "HF_HUB_OFFLINE is set: only its cache is used")
        if self._trouble:
            return CheckRow("Hugging Face hub", False, self._trouble.said, self._trouble.cure)
        where = model_hub.endpoint() or model_hub.HUB
        return CheckRow("Hugging Face hub", True if self._asked else None, where if self._asked else "not needed")


def model_row(role: str, path: str, hub: Hub, revision: str | None = None) -> CheckRow:
    """Whether a model is in its folder or the cache, or would be delivered."""
    try:
        where = resolve(path)
    except SettingsError as error:
        return CheckRow(role, False, str(error), "")
    if (Path(where) / "config.json").is_file():
        return CheckRow(role, True, where)
    if not Path(where).is_absolute():
        if _weights_cached(where, revision):
            return CheckRow(role, True, f"{where}, in the hub's cache")
        facts = model_facts(where)
        return _on_hub(role, where, "config.json", revision, hub, facts.download_bytes if facts else None)
    cure = "git checkout data/mini, or make mini" if path.startswith("data/mini/") else "check the profile's path"
    return CheckRow(role, False, f"no model in {where}", cure)


def _weights_cached(repo: str, revision: str | None) -> bool:
    return any(model_hub.cached(repo, file, revision) for file in WEIGHTS)


def _on_hub(role: str, repo: str, file: str, revision: str | None, hub: Hub, size: int | None) -> CheckRow:
    answer = hub.ask(repo, file, revision)
    if not answer.ok:
        return CheckRow(role, False, answer.said if repo in answer.said else f"{repo}: {answer.said}", answer.cure)
    size = size or answer.size
    weight = f", {size / 1e9:.1f} GB to download" if size else ""
    return CheckRow(role, True, f"{repo} is open to you on the hub{weight}")


def sae_row(profile: Profile, hub: Hub) -> CheckRow:
    """The same for the SAE, from each of its sources."""
    settings = profile.sae
    where = Path(resolve(settings.path))
    if settings.source == "release":
        return _release(settings, hub)
    if settings.file is not None and not where.is_absolute():
        if model_hub.cached(settings.path, settings.file, settings.revision):
            return CheckRow("SAE", True, f"{settings.path}/{settings.file}, in the hub's cache")
        return _on_hub("SAE", settings.path, settings.file, settings.revision, hub, None)
    where = where / (settings.file or "")
    if where.is_file() or (where / "cfg.json").is_file():
        return CheckRow("SAE", True, str(where))
    if settings.path.startswith("data/mini/"):
        return CheckRow("SAE", False, f"none in {where}", "git checkout data/mini, or make mini")
    if settings.source == "authors":
        cure = "check sae.path; a file on the hub wants its repository as sae.path and its name as sae.file"
        return CheckRow("SAE", False, f"no checkpoint {where}", cure)
    cure = f"train one on texts of yours: fac-lab sae FILE --profile {profile.name}"
    return CheckRow("SAE", False, f"none in {where}", cure)


def _release(settings: SaeSettings, hub: Hub) -> CheckRow:
    try:
        from sae_lens.loading.pretrained_saes_directory import get_pretrained_saes_directory

        known = get_pretrained_saes_directory().get(settings.path)
    except Exception:  # the row of the import says why
        return CheckRow("SAE", None, f"{settings.path} / {settings.sae_id}: not looked up, sae_lens does not import")
    if known is None or settings.sae_id not in known.saes_map:
        said = f"sae-lens knows no SAE {settings.sae_id} of {settings.path}"
        return CheckRow("SAE", False, said, "check sae.path and sae.sae_id against the table of sae-lens' releases")
    # Other releases have other files, but every repository has this one.
    file = f"{known.saes_map[settings.sae_id]}/cfg.json" if known.conversion_func is None else ".gitattributes"
    if model_hub.cached(known.repo_id, file):
        return CheckRow("SAE", True, f"{settings.path} / {settings.sae_id}, in the hub's cache")
    facts = sae_facts(settings)
    return _on_hub("SAE", known.repo_id, file, None, hub, facts.download_bytes if facts else None)


def room_row(profile: Profile) -> Iterator[CheckRow]:
    """Whether the hub's cache has room for what has to be downloaded."""
    from huggingface_hub import constants

    wanted = 0
    models = [(profile.subject.path, profile.subject.revision)]
    models += [
        (chat.model, None) for chat in (profile.generator, profile.annotator) if chat and chat.backend == "local"
    ]
    for path, revision in models:
        try:
            facts = model_facts(path)
        except SettingsError:
            continue
        if facts and facts.download_bytes and not _weights_cached(facts.name, revision):
            wanted += facts.download_bytes
    sae, settings = sae_facts(profile.sae), profile.sae
    if sae and not (settings.file and model_hub.cached(settings.path, settings.file, settings.revision)):
        wanted += sae.download_bytes
    if not wanted:
        return
    cache = Path(constants.HF_HUB_CACHE)
    there = next(parent for parent in (cache, *cache.parents) if parent.is_dir())
    free = shutil.disk_usage(there).free
    cure = "" if free >= wanted else "free some space, or point HF_HOME at a larger disk"
    detail = f"{wanted / 1e9:.1f} GB wanted, {free / 1e9:.1f} GB free in {there}"
    yield CheckRow("room for downloads", free >= wanted, detail, cure)


def gpu_row(profile: Profile) -> Iterator[CheckRow]:
    """Whether a GPU is there, and large enough, for a model that wants one."""
    import torch

    try:
        needed = gpu_memory_gb(profile)
    except SettingsError:
        return  # the row of the subject says what is wrong with its folder
    if needed is None:
        return
    plan = f"fac-lab plan --profile {profile.name}"
    if not torch.cuda.is_available():
        cure = f"use a machine with a GPU of {needed:.0f} GB or more ({plan}); a CPU takes many times as long"
        yield CheckRow("GPU", False, f"none that torch can use; {profile.subject.path} is read on one", cure)
        return
    there = torch.cuda.get_device_properties(0).total_memory / 1e9
    cure = "" if there >= needed else f"use a larger one, or lower collect.batch_tokens ({plan})"
    yield CheckRow("GPU", there >= needed, f"{there:.0f} GB; reading texts takes about {needed:.0f} GB", cure)
