"""Is everything there that a profile needs? One row per thing, with the cure where it is not."""

import importlib
import json
import os
import platform
import re
import shutil
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from packaging.requirements import Requirement

from fac_lab import model_hub
from fac_lab.errors import SettingsError
from fac_lab.facts import model_facts, sae_facts
from fac_lab.plan import gpu_memory_gb
from fac_lab.profile import ChatSettings, Profile, SaeSettings, is_loopback, project_root, resolve

NEEDED_GB = 2.0
"""Free disk a run may need: artifacts, answers of chat models, a detector or two."""
SLOW_IMPORTS = ("torch", "transformers", "sae_lens")
"""Packages that can be installed and yet fail to import (libraries missing, versions that do not fit)."""
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
DEFAULT_ENDPOINT = "https://api.openai.com/v1"
ENDPOINT_TIMEOUT = 5.0
"""Seconds that an endpoint may take to say which models it serves."""
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


def run_check(profile: Profile) -> list[CheckRow]:
    """Every row of `iter_check`."""
    return list(iter_check(profile))


def iter_check(profile: Profile) -> Iterator[CheckRow]:
    """Look at Python, packages, device, disk, and the models, data and endpoints of `profile`.

    Nothing is raised and nothing is changed. The network is used only for what the profile names and is not here yet,
    each question with a time-out of seconds; a hub that does not answer once is not asked again.
    """
    hub = _Hub()
    yield CheckRow("python", True, platform.python_version())
    yield from _packages(_locked_versions(project_root() / "requirements.lock"))
    imports = [_import(name) for name in SLOW_IMPORTS]
    yield from imports
    if imports[0].ok:
        yield _device()
        yield from _gpu(profile)
    yield from _disk(Path("runs").absolute())
    yield _model("subject", profile.subject.path, hub, profile.subject.revision)
    yield _sae(profile, hub)
    for role in ("generator", "annotator"):
        settings: ChatSettings | None = getattr(profile, role)
        if settings is None:
            yield CheckRow(role, None, f"none in profile {profile.name}")
        elif settings.backend == "local":
            yield _model(role, settings.model, hub)
        else:
            yield _endpoint(role, settings)
    for role, corpus in profile.corpora.items():
        if corpus.source != "mini":
            there = Path(resolve(corpus.source)).is_file()
            cure = "" if there else f"check corpora.{role}.source in profile {profile.name}"
            yield CheckRow(f"data: {role}", there, resolve(corpus.source), cure)
    yield hub.row()
    yield from _room(profile)
    browser = next((path for path in map(shutil.which, BROWSERS) if path), None)
    without = "no chromium found; only PNG export and the browser tests need one"
    yield CheckRow("browser", None, browser or without)


def _locked_versions(lock: Path) -> dict[str, str]:
    """Pinned version by normalised package name; empty where there is no lock (installed from a wheel)."""
    if not lock.is_file():
        return {}
    pins = re.findall(r"^([\w.-]+)==(\S+)", lock.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {_normalised(name): version for name, version in pins}


def _normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _packages(locked: dict[str, str]) -> Iterator[CheckRow]:
    try:
        lines = metadata.requires("fac-lab") or []
    except metadata.PackageNotFoundError:
        yield CheckRow("fac-lab", False, "not installed as a package", "pip install --no-deps -e . (or: make check)")
        return
    for requirement in map(Requirement, lines):
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            yield package_row(requirement, locked.get(_normalised(requirement.name)))


def package_row(requirement: Requirement, pinned: str | None) -> CheckRow:
    """FAIL: missing, or outside the range we support. INFO: inside it, but not the version we tested with."""
    wanted = f"{requirement.name}=={pinned}" if pinned else str(requirement)
    try:
        version = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        return CheckRow(requirement.name, False, "not installed", f"pip install '{wanted}'")
    if not requirement.specifier.contains(version, prereleases=True):
        detail = f"{version}, outside {requirement.specifier}"
        return CheckRow(requirement.name, False, detail, f"pip install '{wanted}'")
    if pinned and version.split("+")[0] != pinned:  # "2.13.0+cpu" is a build of 2.13.0
        return CheckRow(requirement.name, None, f"{version}; tested with {pinned}")
    return CheckRow(requirement.name, True, version)


def _import(name: str) -> CheckRow:
    try:
        importlib.import_module(name)
    except Exception as error:  # a broken installation can raise anything, and here that is the finding
        said = f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"
        cure = "pip install --force-reinstall -r requirements.lock"
        return CheckRow(f"import {name}", False, said, cure)
    return CheckRow(f"import {name}", True, "works")


def _device() -> CheckRow:
    import torch

    if torch.cuda.is_available():
        facts = torch.cuda.get_device_properties(0)
        return CheckRow("device", True, f"{facts.name}, {facts.total_memory / 2**30:.0f} GB")
    detail = f"CPU, {os.cpu_count()} cores, {torch.get_num_threads()} threads"
    if shutil.which("nvidia-smi"):
        cure = "rm -r .venv && make install, or a torch build for your driver from pytorch.org"
        return CheckRow("device", False, f"{detail}; there is an NVIDIA GPU that torch cannot use", cure)
    return CheckRow("device", True, detail)


def _gpu(profile: Profile) -> Iterator[CheckRow]:
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
        cure = f"use a machine with a GPU of {needed:.0f} GB or more ({plan}); a CPU takes days"
        yield CheckRow("GPU", False, f"none that torch can use; {profile.subject.path} is read on one", cure)
        return
    there = torch.cuda.get_device_properties(0).total_memory / 1e9
    cure = "" if there >= needed else f"use a larger one, or lower collect.batch_tokens ({plan})"
    yield CheckRow("GPU", there >= needed, f"{there:.0f} GB; reading texts takes about {needed:.0f} GB", cure)


def _disk(folder: Path) -> Iterator[CheckRow]:
    """Whether `folder`, or the nearest parent that exists, may be written, and how much room it has."""
    there = next(parent for parent in (folder, *folder.parents) if parent.is_dir())
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
        yield CheckRow("run folder", True, str(folder))
    except OSError as error:
        yield CheckRow("run folder", False, f"{folder}: {error.strerror}", "pass --out with a folder you may write")
    free = shutil.disk_usage(there).free / 2**30
    cure = "" if free >= NEEDED_GB else f"free some space: a run may need {NEEDED_GB:.0f} GB"
    yield CheckRow("free disk", free >= NEEDED_GB, f"{free:.1f} GB", cure)


class _Hub:
    """Questions to the hub, until one of them cannot be asked."""

    def __init__(self) -> None:
        self._asked: list[str] = []
        self._trouble: model_hub.Answer | None = None

    def ask(self, repo: str, file: str, revision: str | None) -> model_hub.Answer:
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


def _model(role: str, path: str, hub: _Hub, revision: str | None = None) -> CheckRow:
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


def _on_hub(role: str, repo: str, file: str, revision: str | None, hub: _Hub, size: int | None) -> CheckRow:
    answer = hub.ask(repo, file, revision)
    if not answer.ok:
        return CheckRow(role, False, answer.said if repo in answer.said else f"{repo}: {answer.said}", answer.cure)
    size = size or answer.size
    weight = f", {size / 1e9:.1f} GB to download" if size else ""
    return CheckRow(role, True, f"{repo} is open to you on the hub{weight}")


def _sae(profile: Profile, hub: _Hub) -> CheckRow:
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


def _release(settings: SaeSettings, hub: _Hub) -> CheckRow:
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


def _room(profile: Profile) -> Iterator[CheckRow]:
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


def _endpoint(role: str, settings: ChatSettings) -> CheckRow:
    """A short GET of base_url/models: is somebody there, is the key taken, is the model served?"""
    base = (settings.base_url or os.environ.get("OPENAI_BASE_URL") or DEFAULT_ENDPOINT).rstrip("/")
    key = os.environ.get(settings.api_key_env)
    if not key and not is_loopback(settings.base_url):
        cure = f"set the environment variable {settings.api_key_env}, or name another one as {role}.api_key_env"
        return CheckRow(role, False, f"{settings.model} at {base}: no key in ${settings.api_key_env}", cure)
    request = urllib.request.Request(f"{base}/models", headers={"Authorization": f"Bearer {key}"} if key else {})
    try:
        served = model_hub.within(2 * ENDPOINT_TIMEOUT, lambda: _served(request))
    except urllib.error.HTTPError as error:
        error.close()
        cure = f"check base_url of {role}"
        if error.code in (401, 403):
            cure = f"put a valid key into ${settings.api_key_env}" + ("" if key else " (it is not set)")
        return CheckRow(role, False, f"{base} answers HTTP {error.code}", cure)
    except (OSError, ValueError, KeyError, TypeError) as error:
        said = "answers, but not as an OpenAI-compatible server" if not isinstance(error, OSError) else str(error)
        return CheckRow(role, False, f"{base}: {said}", f"start the server, or change base_url of {role}")
    if settings.model not in served:
        cure = f"set model of {role} to one of: {', '.join(served[:5]) or 'none'}"
        return CheckRow(role, False, f"{base} does not serve {settings.model!r}", cure)
    return CheckRow(role, True, f"{settings.model} at {base}")


def _served(request: urllib.request.Request) -> list[str]:
    with urllib.request.urlopen(request, timeout=ENDPOINT_TIMEOUT) as reply:
        return [entry["id"] for entry in json.load(reply)["data"]]
