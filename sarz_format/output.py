"""Outputs that appear whole or not at all: written to a temporary neighbour, synced, then renamed."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterable, Iterator
from pathlib import Path

from .errors import OutputExistsError, SarzFileNotFoundError, SarzIOError, SarzOptionError
from .urls import is_url, public_name

SIDECAR_SUFFIXES = (".aux.xml", ".ovr", ".msk")
"""Files that GDAL keeps beside a raster; they are renamed with it, and stale ones of an overwritten output removed."""


class TemporaryOutput:
    """A temporary file beside `path` that `commit` renames to it and `discard` removes.

    Raises
    ------
    SarzFileNotFoundError
        If the directory of `path` does not exist.
    OutputExistsError
        If `path` exists and `overwrite` is false, or is a directory.
    SarzOptionError
        If `path` is a URL.
    SarzIOError
        If the temporary file cannot be made there.
    """

    def __init__(self, path: str | os.PathLike[str], overwrite: bool = False) -> None:
        if is_url(os.fspath(path)):
            name = public_name(os.fspath(path))
            raise SarzOptionError(f"output {name} is a URL; write a local file, and upload it when it is whole")
        # A symbolic link is followed, so that overwriting replaces the file and not the link.
        self.path = Path(os.path.realpath(os.fspath(path)))
        self._overwrite = overwrite
        with io_errors(f"cannot write {self.path}"):  # a name that is too long, for example
            self._check_target()
        if not self.path.parent.is_dir():
            raise SarzFileNotFoundError(f"output directory {self.path.parent} does not exist; make it first")
        # GDAL is given UTF-8 only, so bytes that are none (surrogates in Python) stay out of the temporary name.
        stem = self.path.name[:60].encode("utf-8", "ignore").decode("utf-8")
        self.temporary = self.path.with_name(f".{stem}.{secrets.token_hex(6)}.part")
        with io_errors(f"cannot write in {self.path.parent}"):
            os.close(os.open(self.temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))

    def commit(self) -> None:
        """Sync the temporary file and give it its name; what it replaces is gone only then."""
        with io_errors(f"cannot write {self.path}"):
            _sync(self.temporary)
            self._check_target()
            for suffix in SIDECAR_SUFFIXES:
                _move_or_remove(_with_suffix(self.temporary, suffix), _with_suffix(self.path, suffix))
            os.replace(self.temporary, self.path)
            _sync_directory(self.path.parent)

    def discard(self) -> None:
        """Remove the temporary file and its sidecars; does nothing after `commit`."""
        for name in (self.temporary, *(_with_suffix(self.temporary, suffix) for suffix in SIDECAR_SUFFIXES)):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name)

    def _check_target(self) -> None:
        if self.path.is_dir():
            raise OutputExistsError(f"output {self.path} is a directory; name a file")
        if self.path.exists() and not self._overwrite:
            raise OutputExistsError(f"output {self.path} exists; ask for overwriting (overwrite=True, --overwrite)")


def check_output(path: str | os.PathLike[str], overwrite: bool) -> None:
    """Raise at once what writing `path` would raise later; for long work that comes before the first byte."""
    TemporaryOutput(path, overwrite).discard()


def refuse_overwriting(inputs: Iterable[str | os.PathLike[str]], output: str | os.PathLike[str]) -> None:
    """Raise SarzOptionError if `output` is one of the `inputs`, be it by another path or through a link.

    Inputs that are no paths, URLs for example, are none of the local files and pass.
    """
    for name in inputs:
        if _same_file(name, output):
            raise SarzOptionError(f"output {os.fspath(output)} is the same file as the input {os.fspath(name)}; "
                                  "name another output")


def _same_file(a: str | os.PathLike[str], b: str | os.PathLike[str]) -> bool:
    try:
        return os.path.samefile(a, b)
    except (OSError, ValueError):  # one is not there; ValueError: a null character, which no file has in its name
        return False


@contextlib.contextmanager
def atomic_output(path: str | os.PathLike[str], overwrite: bool = False) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it to `path` on success, remove it on any exception.

    The temporary file exists already, empty, and may be replaced. Errors are those of TemporaryOutput.
    """
    output = TemporaryOutput(path, overwrite)
    try:
        yield output.temporary
        output.commit()
    finally:
        output.discard()


@contextlib.contextmanager
def io_errors(doing: str) -> Iterator[None]:
    """Turn an OSError, a full disk for example, into a SarzIOError that starts with `doing`."""
    try:
        yield
    except (SarzIOError, OutputExistsError, SarzFileNotFoundError):
        raise
    except OSError as exc:
        raise SarzIOError(f"{doing}: {exc.strerror or exc}") from exc


def _with_suffix(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _move_or_remove(src: Path, dst: Path) -> None:
    """Rename `src` to `dst`; without a `src`, remove a `dst` that described the file now being replaced."""
    if src.exists():
        os.replace(src, dst)
    else:
        dst.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_directory(path: Path) -> None:
    """Make the rename itself durable, where the system can open directories."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    # Some directories cannot be read, and some file systems refuse to sync one; the data itself is synced already.
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
