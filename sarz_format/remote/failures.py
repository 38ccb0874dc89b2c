"""What file systems raise, as this library's errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import MissingDependencyError, SarzError, SarzFileNotFoundError, SarzIOError, SarzOptionError
from ..urls import without_secrets
from .retry import TransientError

INSTALL = "pip install 'rio-sarcodec[remote]'"


@contextmanager
def reading_errors(name: str, url: str) -> Iterator[None]:
    """Raise SarzFileNotFoundError or SarzIOError, without the secrets in `url`, for what reading by a plugin raises."""
    try:
        yield
    except (SarzError, TransientError):
        raise
    except FileNotFoundError as exc:
        raise SarzFileNotFoundError(f"{name} does not exist") from _cause(exc, url)
    except PermissionError as exc:
        text = _text(exc, url)
        raise SarzIOError(
            f"{name}: permission denied ({text}); check credentials and storage_options "
            "(anon=True reads a public bucket)"
        ) from _cause(exc, url)
    # A file system is a plugin and raises what its own client does: errors of botocore, azure, paramiko.
    except Exception as exc:
        raise SarzIOError(f"{name}: reading failed: {_text(exc, url)}") from _cause(exc, url)


@contextmanager
def opening_errors(name: str, url: str) -> Iterator[None]:
    """Raise what stands in the way of a file system: a package that is missing, a scheme or option that it lacks."""
    try:
        yield
    except SarzError:
        raise
    except ImportError as exc:
        raise MissingDependencyError(f"{name} needs a package that is not installed: {INSTALL} ({exc})") from exc
    except (ValueError, TypeError, KeyError) as exc:
        text = _text(exc, url)
        message = f"{name}: fsspec has no file system for this URL and storage_options: {text}"
        raise SarzOptionError(message) from _cause(exc, url)
    except Exception as exc:  # a plugin's own errors, as above
        raise SarzIOError(f"{name} cannot be opened: {_text(exc, url)}") from _cause(exc, url)


def _text(exc: Exception, url: str) -> str:
    text = " ".join(str(exc).split()) or type(exc).__name__
    return without_secrets(text, url)


def _cause(exc: Exception, url: str) -> Exception | None:
    """The exception, unless showing it would show a secret."""
    return exc if without_secrets(str(exc), url) == str(exc) else None
