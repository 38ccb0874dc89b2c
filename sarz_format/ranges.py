"""Which byte ranges are fetched together: neighbours always, and over a network until few requests are left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

GAP_BYTES = 64 * 1024
"""Ranges nearer than this are fetched in one request: cheaper than a second one, on disks as on networks."""

MERGED_BYTES = 16 * 1024 * 1024
"""Requests for neighbours end here, so that many ranges do not become one huge allocation."""

SMALL_WASTE_BYTES = 1024 * 1024
"""Bytes that nobody needs and that one request less is always worth: some 80 ms at 100 Mbit/s."""

WASTE_FACTOR = 9
"""Bridging gaps may bring this many times the bytes that are needed on top of them ..."""

WASTE_BYTES = 16 * 1024 * 1024
"""... up to this many."""


def allowed_waste(needed: int) -> int:
    """The most bytes that may be fetched in vain with `needed` ones, to have fewer requests."""
    return min(WASTE_BYTES, max(SMALL_WASTE_BYTES, WASTE_FACTOR * needed))


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes to fetch in one request."""

    offset: int
    length: int
    members: tuple[int, ...]
    """Positions of the ranges that lie in it."""

    @property
    def end(self) -> int:
        """Offset of the byte after the last."""
        return self.offset + self.length


def merged(ranges: Sequence[tuple[int, int]]) -> list[Span]:
    """Spans, in the order of their offsets, of ranges ``(offset, length)``; empty ranges need none."""
    order = sorted((position for position, (_, length) in enumerate(ranges) if length), key=lambda p: ranges[p])
    spans: list[Span] = []
    for position in order:
        offset, length = ranges[position]
        if spans and offset <= spans[-1].end + GAP_BYTES and offset + length <= spans[-1].offset + MERGED_BYTES:
            spans[-1] = _joined(spans[-1], Span(offset, length, (position,)))
        else:
            spans.append(Span(offset, length, (position,)))
    return spans


def bridged(spans: Sequence[Span], most: int) -> list[Span]:
    """Join the spans over the smallest gaps between them until `most` are left.

    A gap stays open, and more than `most` spans with it, where bridging it would bring the bytes of all bridged gaps to
    more than `allowed_waste`. The smallest gaps bridge most at the least cost, so no other choice needs fewer bytes.
    """
    allowed = allowed_waste(sum(span.length for span in spans))
    gaps = sorted((after.offset - span.end, position) for position, (span, after) in enumerate(pairwise(spans)))
    bridges = set()
    for gap, position in gaps[: max(0, len(spans) - most)]:
        allowed -= max(0, gap)
        if allowed < 0:
            break
        bridges.add(position)
    joined: list[Span] = []
    for position, span in enumerate(spans):
        if position - 1 in bridges:
            joined[-1] = _joined(joined[-1], span)
        else:
            joined.append(span)
    return joined


def _joined(first: Span, second: Span) -> Span:
    end = max(first.end, second.end)
    return Span(first.offset, end - first.offset, first.members + second.members)
