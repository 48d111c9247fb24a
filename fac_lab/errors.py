"""Errors a user can act on: each message names what was wrong, where, and the cure."""


def printable(text: str) -> str:
    """The text with halves of surrogate pairs spelled out, which no terminal, file or page takes."""
    return text.encode("utf-8", "backslashreplace").decode()


def short(text: object, limit: int = 200) -> str:
    """What a message quotes: on one line, no longer than `limit` characters, and of such as every file can hold."""
    line = " ".join(printable(str(text)).split())
    return line if len(line) <= limit else line[:limit] + "…"


class FacLabError(Exception):
    """Base of every error this package raises on purpose; the command line prints it without a traceback."""

    def __init__(self, message: object = "") -> None:
        super().__init__(printable(str(message)))


class SettingsError(FacLabError):
    """A profile, a profile key or a setting that does not exist or does not fit the others."""


class DataError(FacLabError):
    """A data set that cannot be read: missing column, empty file, unreadable encoding."""


class ArtifactError(FacLabError):
    """A result on disk that is corrupt, of another version, or cannot be written."""


class ModelError(FacLabError):
    """A model or sparse autoencoder that cannot be loaded, or that does not fit its partner."""


class ChatError(FacLabError):
    """A chat backend that cannot be used at all; single failed requests are replies, not errors."""
