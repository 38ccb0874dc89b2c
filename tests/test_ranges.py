"""Which ranges are fetched together: everything that is needed, in few requests, with bounded waste."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sarz_format.grid import Box, TileGrid
from sarz_format.ranges import GAP_BYTES, MERGED_BYTES, Span, allowed_waste, bridged, merged

RANGES = st.lists(st.tuples(st.integers(0, 1 << 26), st.integers(0, 1 << 18)), max_size=40)

KIB = 1024


def fetched(spans: list[Span]) -> int:
    return sum(span.length for span in spans)


@given(RANGES, st.integers(1, 5))
def test_every_range_lies_in_the_span_that_names_it(ranges: list[tuple[int, int]], most: int) -> None:
    for spans in (merged(ranges), bridged(merged(ranges), most)):
        found = [member for span in spans for member in span.members]
        assert sorted(found) == [position for position, (_, length) in enumerate(ranges) if length]
        for span in spans:
            for member in span.members:
                offset, length = ranges[member]
                assert span.offset <= offset and offset + length <= span.end
        assert all(span.offset < after.offset for span, after in pairwise(spans))


@given(RANGES, st.integers(1, 5))
def test_waste_is_bounded_and_few_spans_are_left_where_it_allows(ranges: list[tuple[int, int]], most: int) -> None:
    apart = merged(ranges)
    spans = bridged(apart, most)
    waste = fetched(spans) - fetched(apart)
    assert waste <= allowed_waste(fetched(apart)) or len(spans) == len(apart)
    if len(spans) > most:
        smallest = min(after.offset - span.end for span, after in pairwise(spans))
        assert waste + smallest > allowed_waste(fetched(apart))
    assert len(spans) >= min(most, len(apart))


def test_neighbours_are_merged_up_to_a_gap_and_a_length() -> None:
    assert merged([(0, 10), (10 + GAP_BYTES, 10)]) == [Span(0, 20 + GAP_BYTES, (0, 1))]
    assert len(merged([(0, 10), (11 + GAP_BYTES, 10)])) == 2
    half = MERGED_BYTES // 2
    assert [span.members for span in merged([(half * n, half) for n in range(5)])] == [(0, 1), (2, 3), (4,)]
    assert merged([(5, 0), (100, 0)]) == []


def test_the_smallest_gaps_are_bridged() -> None:
    starts = [0, 1000 * KIB, 1200 * KIB, 3000 * KIB, 3150 * KIB]
    spans = bridged([Span(start, 100 * KIB, (n,)) for n, start in enumerate(starts)], 3)
    assert [span.members for span in spans] == [(0,), (1, 2), (3, 4)]
    assert spans[1] == Span(1000 * KIB, 300 * KIB, (1, 2))


def test_far_ranges_stay_apart() -> None:
    far = [Span(n << 30, 100 * KIB, (n,)) for n in range(5)]
    assert bridged(far, 3) == far
    near_and_far = [*far, Span((4 << 30) + 200 * KIB, 100 * KIB, (5,))]
    assert [span.members for span in bridged(near_and_far, 3)] == [(0,), (1,), (2,), (3,), (4, 5)]


CONTEXT = 48
"""Pixels that decoding takes from beyond a window."""


def scene_ranges(coarse: int, detail: int, window: Box) -> list[tuple[int, int]]:
    """Ranges of the tiles of a window of a 25000 x 16700 scene, every tile with parts of these lengths in bytes."""
    grid = TileGrid(16700, 25000, 512)
    numbers = [row * grid.cols + col for row, col in grid.tiles_covering(window.grown(CONTEXT))]
    start = 80 * KIB
    coarse_start = start + grid.rows * grid.cols * detail
    return [(coarse_start + n * coarse, coarse) for n in numbers] + [(start + n * detail, detail) for n in numbers]


@pytest.mark.parametrize("coarse, detail, size", [
    *((2 * KIB, 3 * KIB, size) for size in (100, 512, 1024)),  # about as at quality 20
    *((6 * KIB, 40 * KIB, size) for size in (100, 512, 1024)),  # 55
    *((9 * KIB, 130 * KIB, size) for size in (100, 512, 1024)),  # 100
    *((9, 320 * KIB, size) for size in (100, 512)),  # lossless
])  # fmt: skip
def test_windows_of_a_full_scene_take_three_requests(coarse: int, detail: int, size: int) -> None:
    for row in range(4096, 4096 + 512, 64):
        for col in range(4096, 4096 + 512, 64):
            ranges = scene_ranges(coarse, detail, Box(row, col, row + size, col + size))
            spans = bridged(merged(ranges), 3)
            assert len(spans) <= 3
            needed = sum(length for _, length in ranges)
            assert fetched(spans) <= needed + allowed_waste(needed) + len(ranges) * GAP_BYTES
