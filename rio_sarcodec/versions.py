"""What ``rio sarcodec --version`` shows, without loading torch."""

from __future__ import annotations

from sarz_format.preamble import VERSION
from sarz_format.version import __version__
from sarz_format.weights import installed_models


def versions_text() -> str:
    """Package, format, and each installed model with the SHA-256 of its weights."""
    lines = [f"rio-sarcodec {__version__}", f".sarz format {VERSION}"]
    lines += [f"model {model.id} weights sha256 {model.weights_sha256}" for model in installed_models()]
    return "\n".join(lines)
