"""Files of model repositories on the Hugging Face hub: fetched, or only asked for; every failure names its cure."""

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from fac_lab.errors import ModelError

HUB = "https://huggingface.co"
TIMEOUT = 5.0
"""Seconds that a question to the hub may take before the hub counts as out of reach."""


class Answer(NamedTuple):
    """What the hub says of a file."""

    ok: bool | None
    """None: nobody could be asked."""
    said: str
    """What is wrong; empty where nothing is."""
    cure: str = ""
    size: int | None = None
    """Bytes, where the hub says."""


def fetch(repo: str, file: str, revision: str | None = None) -> Path:
    """`file` of a model repository at a commit or tag (None: the newest), downloaded once and then from the cache.

    The token is that of $HF_TOKEN or `hf auth login`; $HF_ENDPOINT names another hub. Raises ModelError for a
    repository that is gated, absent or without this file or revision, and for a hub that cannot be reached.
    """
    from huggingface_hub import hf_hub_download

    # Asked first, because the client tries a hub that is down again and again, and then says less of why.
    if cached(repo, file, revision) is None:
        answer = ask(repo, file, revision)
        if not answer.ok:
            raise _refused(answer.said, answer.cure)
    try:
        return Path(hf_hub_download(repo, file, revision=revision, endpoint=endpoint()))
    except Exception as error:  # the hub's errors, the HTTP client's and the disk's have no common ancestor
        raise _refused(*explain(error, repo, file, revision)) from error


def _refused(said: str, cure: str) -> ModelError:
    return ModelError(f"{said}. {cure[0].upper()}{cure[1:]}.")


def cached(repo: str, file: str, revision: str | None = None) -> Path | None:
    """The file in the hub's cache on this machine, where it was fetched before."""
    from huggingface_hub import errors, try_to_load_from_cache

    try:
        path = try_to_load_from_cache(repo, file, revision=revision)
    except errors.HFValidationError:
        return None  # what cannot be a repository's name was never fetched
    return Path(path) if isinstance(path, str) else None


def ask(repo: str, file: str, revision: str | None = None, *, timeout: float = TIMEOUT) -> Answer:
    """Whether the hub would deliver a file, from its header only; what is cached here plays no part.

    Never raises and answers within twice the time-out, at once where $HF_HUB_OFFLINE is set.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    if offline():
        said = f"{file} of {repo} is not in the hub's cache, and HF_HUB_OFFLINE is set"
        return Answer(None, said, f"unset HF_HUB_OFFLINE, or download it once: hf download {repo}")
    try:
        url = hf_hub_url(repo, file, revision=revision, endpoint=endpoint())
        facts = within(2 * timeout, lambda: get_hf_file_metadata(url, timeout=timeout, endpoint=endpoint()))
    except Exception as error:  # see fetch
        return Answer(None if is_out_of_reach(error) else False, *explain(error, repo, file, revision))
    return Answer(True, "", size=facts.size)


def explain(error: Exception, repo: str, file: str, revision: str | None) -> tuple[str, str]:
    """What an error of the hub's client means for this file, and the cure."""
    from huggingface_hub import errors

    page = f"{HUB}/{repo}"
    where = f"{file} of {repo}" + (f" at {revision}" if revision else "")
    if isinstance(error, errors.GatedRepoError):
        return f"{repo} is gated", f"accept its terms at {page} and log in with `hf auth login`, or set HF_TOKEN"
    if isinstance(error, errors.RevisionNotFoundError):
        return f"{repo} has no revision {revision}", f"name one of {page}/commits/main, or none for the newest"
    if isinstance(error, errors.EntryNotFoundError) and not isinstance(error, errors.LocalEntryNotFoundError):
        return f"{repo} has no file {file}" + (f" at {revision}" if revision else ""), f"look at {page}/tree/main"
    if isinstance(error, errors.RepositoryNotFoundError):
        cure = f"check the name against {page}; a private one wants `hf auth login`, or HF_TOKEN"
        return f"there is no repository {repo}, or it is private", cure
    if isinstance(error, errors.HFValidationError):
        return f"{repo} cannot be a repository's name", 'write it as "owner/name", or check the path of a local copy'
    said = " ".join(str(error).split())[:200] or type(error).__name__
    if is_out_of_reach(error) or isinstance(error, errors.LocalEntryNotFoundError):
        return f"the hub cannot be reached ({said})", f"check the connection{_other_hub()}, or name a local copy"
    return f"{where} could not be had from the hub ({type(error).__name__}: {said})", f"try again, or look at {page}"


def endpoint() -> str | None:
    """Address of another hub than huggingface.co, from $HF_ENDPOINT, read when asked."""
    return (os.environ.get("HF_ENDPOINT") or "").rstrip("/") or None


def offline() -> bool:
    """Whether the hub's client was told to stay off the network ($HF_HUB_OFFLINE, $TRANSFORMERS_OFFLINE)."""
    from huggingface_hub import constants

    return constants.is_offline_mode()


def within(seconds: float, ask: Callable[[], Any]) -> Any:
    """What `ask` returns or raises; TimeoutError after `seconds`, where it is left behind in its thread.

    A client's own time-out does not cover the look-up of a name, which alone can take half a minute.
    """
    answer: dict[str, Any] = {}

    def run() -> None:
        try:
            answer["value"] = ask()
        except Exception as error:
            answer["error"] = error

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if "error" in answer:
        raise answer["error"]
    if "value" not in answer:
        raise TimeoutError(f"no answer within {seconds:g} s")
    return answer["value"]


def is_out_of_reach(error: Exception) -> bool:
    """Whether an error is that of the way to the hub, or of the hub itself, and not of what was asked for."""
    from huggingface_hub import errors

    if isinstance(error, errors.HfHubHTTPError):
        return error.response is not None and error.response.status_code >= 500
    named = {kind.__name__ for kind in type(error).__mro__}
    return isinstance(error, TimeoutError | ConnectionError) or bool(named & {"TransportError", "TimeoutException"})


def _other_hub() -> str:
    return f" and HF_ENDPOINT ({endpoint()})" if endpoint() else ""
