"""Files that are there whole or not at all, whoever is killed while writing them."""

import logging
import os
import re
import secrets
import socket
import zlib
from collections.abc import Callable
from errno import EACCES, EDQUOT, ENOSPC, EPERM, EROFS
from pathlib import Path

from fac_lab.errors import ArtifactError

log = logging.getLogger(__name__)

_HOST = f"{zlib.crc32(socket.gethostname().encode()):08x}"
_TEMPORARY = re.compile(r"\..*\.(?P<host>[0-9a-f]{8})-(?P<process>\d+)-[0-9a-f]{8}(\.[^.]*)?")


def write_atomic(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary file beside `path`, sync it, and rename it to `path`.

    Readers see the old file or the whole new one. A full disk or a read-only folder becomes an ArtifactError
    that says what to do; any other error of `write` passes through. The temporary file is gone in every case.
    It keeps the suffix of `path`, because some writers choose a format by it or add it.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.stem}.{_HOST}-{os.getpid()}-{secrets.token_hex(4)}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(temporary)
        _sync(temporary)
        temporary.replace(path)
        _sync(path.parent)
    except Exception as error:
        reason = disk_trouble(error, path)
        if reason is None:
            raise
        raise ArtifactError(reason) from error
    finally:
        # Nothing is there after the rename, nor where the folder could not be made.
        try:
            temporary.unlink(missing_ok=True)
        except OSError:
            log.warning("could not remove %s", temporary)


def clear_temporaries(folder: Path) -> list[Path]:
    """Remove the temporary files that processes of this machine left below `folder` when they were killed.

    Those of living processes, and of other machines that share the disk, stay. Returns what was removed.
    """
    removed = []
    for place, _, names in os.walk(folder):
        for name in names:
            found = _TEMPORARY.fullmatch(name) if name.startswith(".") else None
            if found and found["host"] == _HOST and not _alive(int(found["process"])):
                path = Path(place, name)
                try:
                    path.unlink(missing_ok=True)
                except OSError as error:
                    log.warning("could not remove %s, which a killed process left: %s", path, error)
                else:
                    removed.append(path)
    if removed:
        log.info("%s: removed %d temporary files of killed processes", folder, len(removed))
    return removed


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it is another user's
        return True
    return True


def _sync(path: Path) -> None:
    """Push a file, or a folder's list of names, to the disk: a rename must not outrun the content."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def disk_trouble(error: BaseException, path: Path) -> str | None:
    """What to do about a full or read-only disk; None for any other error."""
    number = error.errno if isinstance(error, OSError) else None
    # safetensors and torch wrap the system's error in their own and keep only its words.
    said = str(error)
    if number in (ENOSPC, EDQUOT) or "No space left on device" in said:
        return (
            f"the disk is full: {path} was not written; free some space or choose another folder, then run "
            "again: what was finished is kept"
        )
    if number in (EROFS, EACCES, EPERM) or "Read-only file system" in said or "Permission denied" in said:
        return f"{path} may not be written ({said}); choose another folder, with --out or FAC_LAB_HOME"
    if isinstance(error, NotADirectoryError | FileExistsError):
        return f"{path} cannot be written: a file is where its folder should be ({said}); choose another folder"
    return None
