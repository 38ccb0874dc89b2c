"""Segments of a tile's part: lengths as LEB128 numbers."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sarz_format.codec.payload import join_segments, split_segments
from sarz_format.errors import SarzFormatError

SEGMENTS = st.lists(st.binary(max_size=300), max_size=6)


@settings(deadline=None)
@given(SEGMENTS)
def test_segments_come_back(segments: list[bytes]) -> None:
    assert split_segments(join_segments(segments), len(segments)) == segments


@pytest.mark.parametrize(("length", "head"), [(0, b"\0"), (127, b"\x7f"), (128, b"\x80\1"), (300, b"\xac\2"),
                                              (1 << 14, b"\x80\x80\1")])
def test_lengths_are_leb128(length: int, head: bytes) -> None:
    assert join_segments([bytes(length)]) == head + bytes(length)
    assert split_segments(head + bytes(length), 1) == [bytes(length)]


@settings(deadline=None)
@given(SEGMENTS, st.integers(0, 8))
def test_another_number_of_segments_is_refused(segments: list[bytes], count: int) -> None:
    data = join_segments(segments)
    if count == len(segments):
        return
    try:
        other = split_segments(data, count)
    except SarzFormatError as exc:
        assert "tile part" in str(exc)
    else:  # Bytes of a segment can look like segments, but then they use up the part too.
        assert sum(len(s) for s in other) + count <= len(data)


@settings(deadline=None)
@given(SEGMENTS.filter(bool), st.data())
def test_cut_parts_are_refused(segments: list[bytes], data: st.DataObject) -> None:
    part = join_segments(segments)
    cut = data.draw(st.integers(0, len(part) - 1))
    with pytest.raises(SarzFormatError, match="tile part"):
        split_segments(part[:cut], len(segments))


@settings(deadline=None)
@given(st.binary(max_size=40), st.integers(0, 5))
def test_noise_gives_segments_or_a_format_error(data: bytes, count: int) -> None:
    try:
        segments = split_segments(data, count)
    except SarzFormatError:
        return
    assert b"".join(segments) in data or len(segments) > 1
    assert sum(map(len, segments)) <= len(data)


@pytest.mark.parametrize(("data", "problem"), [
    (b"", "ends within a length"),
    (b"\x80", "ends within a length"),
    (b"\x80\x80\x80\x80\x80\1", "more than five bytes"),
    (b"\5abcd", "longer than the part"),
    (b"\xff\xff\xff\xff\x7f", "longer than the part"),
    (b"\1ab", "1 bytes follow"),
])
def test_malformed_parts(data: bytes, problem: str) -> None:
    with pytest.raises(SarzFormatError, match=problem):
        split_segments(data, 1)
