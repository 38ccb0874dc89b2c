"""From the names on the command line to (input, output) pairs, all checked before any work starts."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from sarz_format.urls import is_url, public_name

from .failures import MisuseError

SARZ_SUFFIXES = (".sarz",)
TIFF_SUFFIXES = (".tif", ".tiff")


@dataclass(frozen=True, slots=True)
class Job:
    """One input and the output that it becomes."""

    input: str
    output: str


def compress_jobs(files: Sequence[str], output: str | None) -> list[Job]:
    """Jobs of ``compress INPUT OUTPUT`` or ``compress INPUT... -o DIR``; raises MisuseError."""
    if output is not None:
        return _checked(_placed(files, output, SARZ_SUFFIXES))
    if len(files) == 1:
        raise MisuseError(f"{files[0]}: no OUTPUT given; add a name that ends in .sarz, or -o DIR")
    *inputs, last = files
    if not last.lower().endswith(SARZ_SUFFIXES):
        raise MisuseError(f"OUTPUT {last!r} must end in .sarz; several inputs go to an existing directory: -o DIR")
    return _checked(_placed(inputs, last, SARZ_SUFFIXES))


def decompress_jobs(files: Sequence[str], output: str | None) -> list[Job]:
    """Jobs of ``decompress INPUT... [OUTPUT]``; without an output each GeoTIFF lies beside its input.

    The last of several names is the output unless it ends in .sarz. Raises MisuseError.
    """
    inputs = list(files)
    if output is None and len(inputs) > 1 and not _path(inputs[-1]).lower().endswith(SARZ_SUFFIXES):
        output = inputs.pop()
    if output is not None:
        return _checked(_placed(inputs, output, TIFF_SUFFIXES))
    return _checked([Job(name, os.path.join(_folder(name), _stem(name) + TIFF_SUFFIXES[0])) for name in inputs])


def check_summary(summary: str | None, jobs: Sequence[Job], overwrite: bool) -> None:
    """Raise MisuseError where the summary cannot be written, or would replace a raster."""
    if summary is None:
        return
    if any(_identity(summary) in (_identity(job.input), _identity(job.output)) for job in jobs):
        raise MisuseError(f"--summary {summary}: this is also an input or an output; name another file")
    if not os.path.isdir(os.path.dirname(summary) or "."):
        raise MisuseError(f"--summary {summary}: its directory does not exist; create it first")
    if os.path.isdir(summary):
        raise MisuseError(f"--summary {summary}: this is a directory; name a file")
    if os.path.exists(summary) and not overwrite:
        raise MisuseError(f"--summary {summary}: the file exists; add --overwrite to replace it")


def _placed(inputs: Sequence[str], output: str, suffixes: tuple[str, ...]) -> list[Job]:
    if _is_remote(output):
        shown = public_name(output)
        raise MisuseError(f"output {shown} is not a local file; write one, and upload it when it is whole")
    if os.path.isdir(output):
        return [Job(name, os.path.join(output, _stem(name) + suffixes[0])) for name in inputs]
    if len(inputs) > 1:
        raise MisuseError(f"{len(inputs)} inputs need an existing directory for their outputs; {output!r} is not one")
    if not output.lower().endswith(suffixes):
        raise MisuseError(f"OUTPUT {output!r} must end in {' or '.join(suffixes)}, or be an existing directory")
    return [Job(inputs[0], output)]


def _checked(jobs: list[Job]) -> list[Job]:
    """The jobs, if no two write to one file and none writes over an input."""
    inputs = {_identity(job.input): job.input for job in jobs}
    written: dict[str, Job] = {}
    for job in jobs:
        place = _identity(job.output)
        if place in written:
            first = written[place].input
            raise MisuseError(f"{first} and {job.input} would both be written to {job.output}; do them apart")
        if place in inputs:
            raise MisuseError(f"output {job.output} is also an input; name another output")
        written[place] = job
    return jobs


def _identity(name: str) -> str:
    return name if _is_remote(name) else os.path.realpath(name)


def _is_remote(name: str) -> bool:
    """Whether `name` is a URL or a GDAL virtual file rather than a path."""
    return is_url(name) or name.startswith("/vsi")


def _path(name: str) -> str:
    """`name` without the query of a URL."""
    return name.partition("?")[0] if _is_remote(name) else name


def _folder(name: str) -> str:
    return "" if _is_remote(name) else os.path.dirname(name)


def _stem(name: str) -> str:
    """File name without folders, archive, query and suffix, safe as a local name: ``zip://a.zip!b/c.tif`` is ``c``."""
    stem = PurePosixPath(re.split(r"[/!]", _path(name).rstrip("/"))[-1]).stem
    safe = re.sub(r'[\\:"<>|*?]+', "_", stem)
    if safe.strip("._ ") == "":
        raise MisuseError(f"{name}: cannot make an output name of this input; give OUTPUT itself")
    return safe
