"""The Range header (RFC 9110, section 14)."""

from __future__ import annotations

import re
from collections.abc import Iterator

MAX_RANGES = 64
"""More in one header are refused: nobody needs them, and each costs a part of the answer."""

_RANGE = re.compile(r"\s*(\d{0,19})\s*-\s*(\d{0,19})\s*")


class UnsatisfiableError(ValueError):
    """No range that was asked for lies in the file."""


def requested_ranges(header: str | None, size: int) -> list[tuple[int, int]] | None:
    """``(offset, length)`` of each range of a header that lies in a file of `size` bytes; None where the whole is wanted.

    A header that is malformed, or in another unit than bytes, is ignored, as the standard has it.

    Raises
    ------
    UnsatisfiableError
        If no range lies in the file, or there are more than `MAX_RANGES`.
    """
    unit, _, text = (header or "").partition("=")
    if unit.strip().lower() != "bytes":
        return None
    matches = [_RANGE.fullmatch(part) for part in text.split(",") if part.strip()]
    pairs = [match.groups() for match in matches if match is not None]
    if not pairs or len(pairs) < len(matches) or any(_is_malformed(*pair) for pair in pairs):
        return None
    ranges = list(_inside(pairs, size))
    if not ranges or len(pairs) > MAX_RANGES:
        raise UnsatisfiableError(f"{len(pairs)} range(s) of a file of {size} bytes: expected some within it, at most {MAX_RANGES}")
    return ranges


def _is_malformed(first: str, last: str) -> bool:
    return not (first or last) or bool(first and last) and int(first) > int(last)


def _inside(pairs: list[tuple[str, str]], size: int) -> Iterator[tuple[int, int]]:
    """What of ranges lies in the file; ``("", "5")`` are the last five bytes."""
    for first, last in pairs:
        start = int(first) if first else max(0, size - int(last))
        stop = min(size, int(last) + 1) if first and last else size
        if start < stop:
            yield start, stop - start
