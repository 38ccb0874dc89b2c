"""What one request for a range of bytes brought."""

from __future__ import annotations

import re
from dataclasses import dataclass

_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")


@dataclass(frozen=True, slots=True)
class Answer:
    """Bytes, fewer than asked for only at the end of the file, and what came with them."""

    data: bytes
    size: int | None = None
    """Bytes of the whole file, where the server tells."""
    version: tuple[str, str] | None = None
    """Host, and the ETag that it gives this version of the file."""
    whole: bool = False
    """The data are the whole file: the server takes no ranges."""


def content_range(value: str | None) -> tuple[int, int, int | None] | None:
    """``(offset, length, size of the file or None)`` of a Content-Range (RFC 9110, 14.4); None if it is malformed."""
    match = _CONTENT_RANGE.fullmatch((value or "").strip())
    if match is None or int(match[2]) < int(match[1]):
        return None
    offset, last = int(match[1]), int(match[2])
    return offset, last + 1 - offset, None if match[3] == "*" else int(match[3])


def range_problem(found: str | None, offset: int, length: int) -> str | None:
    """What is wrong with the Content-Range `found` in the answer for `length` bytes at `offset`; None if nothing is.

    Fewer bytes are right where the file ends with them, or does not say how long it is.
    """
    parsed = content_range(found)
    asked = f"bytes {offset} to {offset + length - 1} were asked for"
    if parsed is None:
        return f"{asked}, the answer says {'nothing' if found is None else repr(found)} of what it holds"
    start, count, size = parsed
    expected = length if size is None else min(length, size - offset)
    if start != offset or count > length or (size is not None and count != expected):
        return f"{asked}, the answer holds {found!r}"
    return None
