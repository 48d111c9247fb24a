"""Single files of public data repositories, fetched once at a revision and kept in the user's cache."""

import logging
import os
import urllib.error
import urllib.request
from pathlib import Path
from typing import NamedTuple

from fac_lab.atomic import write_atomic
from fac_lab.errors import DataError

log = logging.getLogger(__name__)

GITHUB_RAW = "https://raw.githubusercontent.com"
GITHUB_API = "https://api.github.com"
TIMEOUT = 60
"""Seconds without an answer."""


class Fetched(NamedTuple):
    """A file on this machine."""

    path: Path
    revision: str
    """The commit it is from, also where a branch was asked for."""


def fetch(repo: str, path: str, revision: str | None, *, host: str = "huggingface") -> Fetched:
    """The file `path` of a data repository on "huggingface" or "github", at a commit; None is the newest.

    A file that was fetched before is read from the cache, offline too where the commit is given. Tokens come from
    the environment ($HF_TOKEN) or from `hf auth login`. Raises DataError, with the cure, where the hub cannot be
    reached, the repository is gated, or there is no such repository, revision or file.
    """
    return _from_github(repo, path, revision) if host == "github" else _from_hub(repo, path, revision)


def _from_hub(repo: str, path: str, revision: str | None) -> Fetched:
    from huggingface_hub import errors as hub
    from huggingface_hub import hf_hub_download

    page = f"https://huggingface.co/datasets/{repo}"
    where = f"{repo}, {path} at {revision or 'main'}"
    try:
        local = hf_hub_download(
            repo,
            path,
            repo_type="dataset",
            revision=revision,
            endpoint=os.environ.get("HF_ENDPOINT") or None,
        )
    except hub.GatedRepoError as error:
        raise DataError(f"{where}: the data set is gated; accept its terms at {page}, then set HF_TOKEN") from error
    except hub.RevisionNotFoundError as error:
        raise DataError(
            f"{where}: the hub has no such revision (any more); look at {page}/commits/main and name one as "
            "source: RECIPE@COMMIT"
        ) from error
    except hub.LocalEntryNotFoundError as error:
        kinds = [type(cause) for cause in _causes(error)]
        if hub.FileMetadataError in kinds:
            raise DataError(f"{where}: the answer is not that of a hub; check HF_ENDPOINT") from error
        offline = " (HF_HUB_OFFLINE is set)" if hub.OfflineModeIsEnabled in kinds else ""
        raise DataError(f"{where} is not in the cache and the hub cannot be reached{offline}; {_CURE}") from error
    except hub.EntryNotFoundError as error:
        raise DataError(f"{where}: there is no such file; it was moved, look at {page}/tree/main") from error
    except hub.RepositoryNotFoundError as error:
        raise DataError(f"{where}: no such data set, or it is private; look at {page}, or set HF_TOKEN") from error
    except (hub.HfHubHTTPError, hub.OfflineModeIsEnabled) as error:
        raise DataError(f"{where}: the hub does not answer as it should ({error}); {_CURE}") from error
    except OSError as error:  # also a download that ended early, or a disk that is full
        raise DataError(f"{where} could not be fetched ({error}); check connection and disk, then run again") from error
    except Exception as error:
        if not type(error).__module__.startswith("httpx"):  # the client's own errors, of whichever httpx it uses
            raise
        raise DataError(f"{where} could not be fetched ({error!r}); {_CURE}") from error
    # The cache keeps each commit in a folder of its own: .../snapshots/<commit>/<path>.
    parts = Path(local).parts
    return Fetched(Path(local), parts[len(parts) - 1 - parts[::-1].index("snapshots") + 1])


_CURE = "check the connection, or point data_dir (or $FAC_LAB_DATA) at a copy"


def _causes(error: BaseException | None) -> list[BaseException]:
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        error = error.__cause__ or error.__context__
    return found


def _from_github(repo: str, path: str, revision: str | None) -> Fetched:
    commit = revision or _get(f"{GITHUB_API}/repos/{repo}/commits/HEAD", repo, accept="application/vnd.github.sha")
    commit = commit if isinstance(commit, str) else commit.decode().strip()
    local = _cache() / "github" / repo / commit / path
    if not local.is_file():
        content = _get(f"{GITHUB_RAW}/{repo}/{commit}/{path}", f"{repo}, {path} at {commit}")
        write_atomic(local, lambda temporary: temporary.write_bytes(content))
    return Fetched(local, commit)


def _get(url: str, what: str, *, accept: str = "*/*") -> bytes:
    if os.environ.get("HF_HUB_OFFLINE", "0").lower() in ("1", "true", "yes", "on"):
        raise DataError(f"{what} is not in the cache and HF_HUB_OFFLINE is set; {_CURE}")
    log.info("fetching %s", url)
    try:
        request = urllib.request.Request(url, headers={"Accept": accept, "User-Agent": "fac_lab"})
        with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
            return answer.read()
    except urllib.error.HTTPError as error:
        gone = "; there is no such repository, revision or file (any more)" if error.code in (404, 422) else ""
        raise DataError(f"{what}: GitHub answers {error.code}{gone}; look at https://github.com, or {_CURE}") from error
    except (OSError, urllib.error.URLError) as error:
        raise DataError(f"{what}: GitHub cannot be reached ({error}); {_CURE}") from error


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fac_lab"
