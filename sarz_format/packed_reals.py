"""Lists of reals as short texts: the control points of a scene are smooth on a grid, but have all digits of a double.

Each double is taken as its 64 bits, a whole number modulo 2^64, and predicted from those before it: from the last one, or
on a grid of `width` columns from its left, upper and upper left neighbours (left + upper - upper left). Doubles of like
size that lie close are close as whole numbers. A difference ``d`` is folded to ``2 d`` or ``-2 d - 1``; seven bits tell how
many bits that has, and all but the first of these follow. The bits of all differences, filled up with zeros to whole bytes,
are written as ``width:base64``, width 0 without a grid.
"""

from __future__ import annotations

import base64
import binascii
import re
import struct

from .errors import SarzFormatError

_FORM = re.compile(r"(0|[1-9]\d{0,6}):([A-Za-z0-9+/]*={0,2})")
_WORD = 1 << 64
_LENGTH_BITS = 7


def pack_reals(values: list[float], width: int) -> str:
    """The shorter text of two: without a grid, and on one of `width` columns (0: there is none)."""
    words = struct.unpack(f"<{len(values)}Q", struct.pack(f"<{len(values)}d", *values))
    return min((_packed(words, columns) for columns in sorted({0, width})), key=len)


def _packed(words: tuple[int, ...], width: int) -> str:
    bits = "".join(_code(_folded(word - _predicted(words, i, width))) for i, word in enumerate(words))
    size = -(-len(bits) // 8)
    return f"{width}:{base64.b64encode(int(bits.ljust(8 * size, '0') or '0', 2).to_bytes(size, 'big')).decode()}"


def _code(folded: int) -> str:
    digits = f"{folded:b}" if folded else ""
    return f"{len(digits):0{_LENGTH_BITS}b}{digits[1:]}"


def unpack_reals(text: str, count: int) -> list[float]:
    """`count` reals of a text of `pack_reals`; raises SarzFormatError for anything else."""
    match = _FORM.fullmatch(text)
    if not match:
        raise SarzFormatError("packed reals do not have the form width:base64")
    try:
        data = base64.b64decode(match[2], validate=True)
    except binascii.Error as exc:
        raise SarzFormatError(f"packed reals are not base64: {exc}") from exc
    width, bits, at = int(match[1]), f"{int.from_bytes(data, 'big'):0{8 * len(data)}b}", 0
    words: list[int] = []
    for i in range(count):
        length = int(bits[at : at + _LENGTH_BITS] or "0", 2)
        at += _LENGTH_BITS + max(length - 1, 0)
        if length > 64 or at > len(bits):
            raise SarzFormatError(f"packed reals end before {count} numbers, or have more than 64 bits")
        folded = int("1" + bits[at - length + 1 : at], 2) if length else 0
        words.append(0)
        words[i] = (_predicted(words, i, width) + (folded >> 1 ^ -(folded & 1))) % _WORD
    return list(struct.unpack(f"<{count}d", struct.pack(f"<{count}Q", *words)))


def _predicted(words: tuple[int, ...] | list[int], i: int, width: int) -> int:
    left = words[i - 1] if i and (not width or i % width) else None
    upper = words[i - width] if width and i >= width else None
    if left is None or upper is None:
        return left or upper or 0
    return left + upper - words[i - width - 1]


def _folded(difference: int) -> int:
    """A difference modulo 2^64, the nearer way round, as an unsigned number."""
    signed = (difference + _WORD // 2) % _WORD - _WORD // 2
    return signed << 1 if signed >= 0 else (-signed << 1) - 1
