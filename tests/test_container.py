"""The container: what is written is read, and no damaged byte goes unnoticed."""

from __future__ import annotations

import errno
import io
import os
import pickle
import random
import struct
import sys
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_header import WEIGHTS, header

import sarz_format.ranges
import sarz_format.container_writer
from sarz_format.container import Container, ContainerWriter, Part, open_container
from sarz_format.errors import (
    DamagedTileError,
    OutputExistsError,
    SarzError,
    SarzFileNotFoundError,
    SarzFormatError,
    SarzIOError,
    SarzOptionError,
    TruncatedFileError,
    UnsupportedVersionError,
)
from sarz_format.header import BandGroup, Header
from sarz_format.index import EMPTY, FALLBACK
from sarz_format.metadata import RasterMetadata
from sarz_format.preamble import MAGIC, PREAMBLE_BYTES
from sarz_format.statistics import BandStatistics

STATISTICS = (BandStatistics(10, -3, 99, 5), BandStatistics(), BandStatistics(7, 7, 7, 1))

Tile = tuple[bytes, bytes, int, int]
"""Coarse part, detail part, flags, quality."""


def three_bands() -> Header:
    """3 x 2 tiles of 64, a pair and a single band."""
    return header(
        metadata=RasterMetadata(width=100, height=140, dtype="int16", nodata=(None,) * 3),
        tile_size=64,
        offsets_db=(0, 0, 0),
        groups=(BandGroup((0, 2), "s1-pair-1", WEIGHTS), BandGroup((1,), "s1-single-1", WEIGHTS)),
    )


def tiles(count: int = 12, length: int = 20, seed: int = 0) -> list[Tile]:
    """Tiles of random bytes; some parts are empty."""
    rng = random.Random(seed)
    made = [(rng.randbytes(rng.randrange(length)), rng.randbytes(rng.randrange(length)), number % 4, number % 101)
            for number in range(count)]  # fmt: skip
    return [(b"", b"", EMPTY, 0), *made[1:]]


def write(path: Path, made: Header, content: Sequence[Tile], statistics: Sequence[BandStatistics]) -> Path:
    with ContainerWriter(path, made, overwrite=True) as writer:
        for coarse, detail, flags, quality in content:
            writer.write_tile(coarse, detail, flags=flags, quality=quality)
        assert writer.finish(statistics) == path.stat().st_size
    return path


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A whole file."""
    path = tmp_path_factory.mktemp("small") / "a.sarz"
    return write(path, three_bands(), tiles(), STATISTICS).read_bytes()


def requests_for_all(container: Container) -> list[tuple[int, Part]]:
    parts: tuple[Part, ...] = ("coarse", "detail")
    return [(number, part) for number in range(len(container.index)) for part in parts]


def read_all(container: Container) -> list[bytes | DamagedTileError]:
    return container.read_parts(requests_for_all(container))


def expected_parts(content: Sequence[Tile]) -> list[bytes]:
    return [part for coarse, detail, _, _ in content for part in (coarse, detail)]


def test_what_is_written_is_read(small: bytes) -> None:
    container = open_container(small)
    assert container.header == three_bands()
    assert container.statistics == STATISTICS
    assert [(entry.flags, entry.quality) for entry in map(container.index.__getitem__, range(12))] == [
        (flags, quality) for _, _, flags, quality in tiles()
    ]
    assert read_all(container) == expected_parts(tiles())
    assert sum(container.coarse_section) == len(small)
    assert sum(container.detail_section) == container.coarse_section[0]
    assert container.index.entry(0, 1, 1).flags == EMPTY | FALLBACK


def test_same_input_same_bytes(small: bytes, tmp_path: Path) -> None:
    assert write(tmp_path / "b.sarz", three_bands(), tiles(), STATISTICS).read_bytes() == small


def test_path_and_file_object(small: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.sarz"
    path.write_bytes(small)
    assert read_all(open_container(path)) == read_all(open_container(io.BytesIO(small))) == expected_parts(tiles())


def test_parts_in_any_order_and_again(small: bytes) -> None:
    container = open_container(small)
    wanted = requests_for_all(container) * 2
    random.Random(1).shuffle(wanted)
    content = expected_parts(tiles())
    assert container.read_parts(wanted) == [content[2 * number + (part == "detail")] for number, part in wanted]
    assert container.read_parts([]) == []


def test_pickles_and_threads(small: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.sarz"
    path.write_bytes(small)
    container = pickle.loads(pickle.dumps(open_container(path)))
    with ThreadPoolExecutor(4) as pool:
        assert all(parts == expected_parts(tiles()) for parts in pool.map(lambda _: read_all(container), range(20)))


def test_opening_is_one_request_and_neighbours_are_fetched_together(tmp_path: Path) -> None:
    big = header(metadata=RasterMetadata(width=10_000, height=10_000, dtype="uint8", nodata=(None, None)))
    content = [(bytes(50), bytes(1000), 0, 50)] * 400
    container = open_container(write(tmp_path / "a.sarz", big, content, STATISTICS[:2]))
    assert container.source.requests == 1
    container.read_parts([(number, "coarse") for number in range(400)])
    assert container.source.requests == 2
    container.read_parts([(0, "detail"), (1, "detail"), (20, "detail"), (300, "detail"), (301, "detail")])
    assert container.source.requests == 4
    assert container.source.bytes_read < 128 * 1024 + 400 * 50 + 30_000


def test_merged_requests_stay_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sarz_format.ranges, "MERGED_BYTES", 3000)
    content = tiles(12, 1000)
    container = open_container(write(tmp_path / "a.sarz", three_bands(), content, STATISTICS))
    assert read_all(container) == expected_parts(content)
    assert container.source.requests > 4


def test_long_index_is_read_in_full(tmp_path: Path) -> None:
    long = header(metadata=RasterMetadata(width=4096, height=4096, dtype="uint8", nodata=(None, None)), tile_size=64)
    container = open_container(write(tmp_path / "a.sarz", long, [(b"c", b"d", 0, 1)] * 4096, STATISTICS[:2]))
    assert container.source.requests == 2
    assert container.read_parts([(4095, "detail"), (4095, "coarse")]) == [b"d", b"c"]


def test_every_flipped_byte_is_noticed(small: bytes) -> None:
    first_tile_byte = open_container(small).detail_section[0]
    content = expected_parts(tiles())
    for position in range(len(small)):
        for change in (0x01, 0x80, 0xFF):
            damaged = bytearray(small)
            damaged[position] ^= change
            if position < first_tile_byte:
                with pytest.raises(SarzFormatError):
                    open_container(bytes(damaged))
            else:
                assert_one_tile_is_named(open_container(bytes(damaged)), position, content)


def assert_one_tile_is_named(container: Container, position: int, content: list[bytes]) -> None:
    """Exactly the part that holds `position` is damaged, and its error says which tile it is of."""
    for (number, part), found, expected in zip(requests_for_all(container), read_all(container), content, strict=True):
        entry = container.index[number]
        start, length = getattr(entry, f"{part}_offset"), getattr(entry, f"{part}_length")
        if start <= position < start + length:
            assert isinstance(found, DamagedTileError)
            assert (found.tile_row, found.tile_col, found.group) == container.index.position(number)
            assert part in str(found)
        else:
            assert found == expected


@settings(deadline=None, max_examples=200)
@given(data=st.data())
def test_any_damage_raises_only_format_errors(small: bytes, data: st.DataObject) -> None:
    damaged = bytearray(small)
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(small)))
        end = data.draw(st.integers(start, min(len(small), start + 50)))
        damaged[start:end] = data.draw(st.binary(max_size=50))
    try:
        read_all(open_container(bytes(damaged)))
    except SarzFormatError as exc:
        assert "\n" not in str(exc)


def test_every_truncation_is_noticed(small: bytes) -> None:
    for length in range(1, len(small)):
        with pytest.raises(TruncatedFileError):
            open_container(small[:length])


def test_trailing_bytes_are_noticed(small: bytes) -> None:
    with pytest.raises(SarzFormatError, match="1 more than it says"):
        open_container(small + b"\0")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "<bytes> is empty"),
        (b"II*\0" + bytes(100), "is not a .sarz file"),
        (b"\x09SARZ\r\n\x1a" + bytes(100), "signature damaged"),
        (MAGIC.replace(b"\r\n", b"\n") + bytes(100), "as binary"),
        (MAGIC[:5], "ends after 5 bytes"),
        (MAGIC + bytes(20), "within its preamble"),
    ],
)
def test_not_a_sarz(data: bytes, message: str) -> None:
    with pytest.raises(SarzFormatError, match=message):
        open_container(data)


def test_newer_version(small: bytes) -> None:
    with pytest.raises(UnsupportedVersionError, match="version 2.*upgrade rio-sarcodec"):
        open_container(small[:8] + b"\x02\x00" + small[10:])


PREAMBLE = struct.Struct("<8sHHIIIIIIIQQI")
FIELDS = ("magic", "version", "flags", "header_length", "header_crc", "header_raw_length", "statistics_length",
          "statistics_crc", "tile_count", "index_crc", "detail_length", "coarse_length", "reserved")  # fmt: skip


def forged(small: bytes, **changes: int) -> bytes:
    """The file with other fields in its preamble, and a preamble checksum that fits them."""
    fields = dict(zip(FIELDS, PREAMBLE.unpack(small[: PREAMBLE.size]), strict=True)) | changes
    data = PREAMBLE.pack(*fields.values())
    return data + struct.pack("<I", zlib.crc32(data)) + small[PREAMBLE_BYTES:]


def test_preamble_layout(small: bytes) -> None:
    assert PREAMBLE_BYTES == PREAMBLE.size + 4 == 64
    assert small[:12].hex(" ") == "89 53 41 52 5a 0d 0a 1a 01 00 00 00"
    assert forged(small) == small


LIMITS = (0, 1, 2**16, 2**31, 2**32 - 1)


@pytest.mark.parametrize("field", FIELDS[1:])
@pytest.mark.parametrize("value", (*LIMITS, 2**63, 2**64 - 1))
def test_forged_preamble_is_refused(small: bytes, field: str, value: int) -> None:
    wide = {"version": 16, "flags": 16, "detail_length": 64, "coarse_length": 64}
    value %= 2 ** wide.get(field, 32)
    data = forged(small, **{field: value})
    if data == small:
        return
    with pytest.raises(SarzFormatError):
        open_container(data)


def test_forged_lengths_that_add_up_are_refused(small: bytes) -> None:
    container = open_container(small)
    detail, coarse = container.preamble.detail_length, container.preamble.coarse_length
    for data in (
        forged(small, detail_length=detail - 1, coarse_length=coarse + 1),
        forged(small, tile_count=11, detail_length=detail + 40),
        forged(small, statistics_length=64, detail_length=detail + 32),
        forged(small, tile_count=13, detail_length=detail - 40) if detail >= 40 else small[:-1],
        forged(small, header_raw_length=container.preamble.header_raw_length + 1),
    ):
        with pytest.raises(SarzFormatError):
            open_container(data)


def test_huge_claims_cost_no_memory(tmp_path: Path) -> None:
    """A sparse file of 4 GiB claims a header as long; none of it is allocated."""
    path = tmp_path / "sparse.sarz"
    empty = MAGIC.ljust(64, b"\0")
    claims = {"header_length": 2**32 - 1, "header_raw_length": 9, "statistics_length": 32, "tile_count": 1}
    with open(path, "wb") as file:
        file.write(forged(empty, version=1, **claims))
        file.truncate(64 + 2**32 - 1 + 32 + 40)
    with pytest.raises(SarzFormatError, match="header_length is 4294967295"):
        open_container(path)


def test_errors_name_the_file(small: bytes, tmp_path: Path) -> None:
    path = tmp_path / "scene.sarz"
    start = open_container(small).preamble.index_offset
    index = bytearray(small[start : start + 12 * 40])
    index[33] = 101
    data = forged(small[:start] + bytes(index) + small[start + len(index) :], index_crc=zlib.crc32(index))
    path.write_bytes(data)
    with pytest.raises(SarzFormatError, match=r"scene\.sarz: index entry .* quality") as caught:
        open_container(path)
    assert str(caught.value).count("scene.sarz") == 1


def test_missing_input(tmp_path: Path) -> None:
    with pytest.raises(SarzFileNotFoundError):
        open_container(tmp_path / "none.sarz")


def test_file_that_shrinks_after_opening(small: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.sarz"
    path.write_bytes(small)
    container = open_container(path)
    os.truncate(path, len(small) - 10)
    with pytest.raises(TruncatedFileError, match="shrank"):
        read_all(container)


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
@pytest.mark.parametrize("written", [0, 5, 12])
def test_nothing_stays_of_a_failed_write(tmp_path: Path, error: type[BaseException], written: int) -> None:
    with pytest.raises(error), ContainerWriter(tmp_path / "a.sarz", three_bands()) as writer:
        for coarse, detail, flags, quality in tiles()[:written]:
            writer.write_tile(coarse, detail, flags=flags, quality=quality)
        raise error
    assert list(tmp_path.iterdir()) == []


def test_a_writer_that_is_not_finished_leaves_nothing(tmp_path: Path) -> None:
    with ContainerWriter(tmp_path / "a.sarz", three_bands()) as writer:
        for coarse, detail, flags, quality in tiles():
            writer.write_tile(coarse, detail, flags=flags, quality=quality)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(SarzOptionError, match="closed"):
        writer.finish(STATISTICS)


def test_existing_output_and_missing_directory(tmp_path: Path) -> None:
    (tmp_path / "a.sarz").write_bytes(b"before")
    with pytest.raises(OutputExistsError, match="--overwrite"):
        ContainerWriter(tmp_path / "a.sarz", three_bands())
    with pytest.raises(SarzFileNotFoundError, match="make it first"):
        ContainerWriter(tmp_path / "none" / "a.sarz", three_bands())
    assert [path.name for path in tmp_path.iterdir()] == ["a.sarz"]
    assert (tmp_path / "a.sarz").read_bytes() == b"before"


def test_wrong_use_of_the_writer(tmp_path: Path) -> None:
    with ContainerWriter(tmp_path / "a.sarz", three_bands()) as writer:
        with pytest.raises(SarzOptionError, match="0 of 12 tiles"):
            writer.finish(STATISTICS)
        with pytest.raises(SarzOptionError, match="flags 8"):
            writer.write_tile(b"", b"", flags=8, quality=1)
        for flags, overview in ((EMPTY, (0, 1)), (0, (1, 2, 3))):
            with pytest.raises(SarzOptionError, match="of a tile: expected one a band"):
                writer.write_tile(b"", b"", flags=flags, quality=1, overview=overview)
        with pytest.raises(SarzOptionError, match="quality"):
            writer.write_tile(b"", b"", quality=101)
        for number in range(12):
            writer.write_tile(b"", b"", quality=number)
        with pytest.raises(SarzOptionError, match="all 12 tiles"):
            writer.write_tile(b"", b"", quality=1)
        with pytest.raises(SarzOptionError, match="2 statistics for 3 bands"):
            writer.finish(STATISTICS[:2])
        writer.finish(STATISTICS)
    assert len(open_container(tmp_path / "a.sarz").index) == 12


def test_a_header_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(SarzFormatError):
        ContainerWriter(tmp_path / "a.sarz", header(tile_size=65))
    huge = RasterMetadata(width=2**31 - 1, height=2**31 - 1, dtype="uint8", nodata=(None, None))
    with pytest.raises(SarzFormatError, match="use larger tiles"):
        ContainerWriter(tmp_path / "a.sarz", header(metadata=huge))
    assert list(tmp_path.iterdir()) == []


class FullDisk:
    """A file that takes `room` bytes, as /dev/full takes none."""

    def __init__(self, file: IO[bytes], room: int) -> None:
        self._file, self._room = file, room

    def write(self, data: bytes) -> int:
        self._room -= len(data)
        if self._room < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self._file.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


@pytest.mark.parametrize("room", [0, 30, 90, 150, 500])
def test_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int) -> None:
    def open_full(*arguments: Any, **options: Any) -> FullDisk:
        return FullDisk(open(*arguments, **options), room)

    monkeypatch.setattr(sarz_format.container_writer, "open", open_full, raising=False)
    with pytest.raises(SarzIOError, match="No space left on device"):
        write(tmp_path / "a.sarz", three_bands(), tiles(), STATISTICS)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs a file size limit")
def test_full_disk_when_the_buffer_is_flushed(tmp_path: Path) -> None:
    """The system refuses the bytes late, when buffered ones are flushed: a file size limit behaves so."""
    import resource
    import signal

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (400, before[1]))
    try:
        with pytest.raises(SarzIOError, match="cannot write"):
            write(tmp_path / "a.sarz", three_bands(), tiles(), STATISTICS)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert list(tmp_path.iterdir()) == []


def test_coarse_parts_that_do_not_fit_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sarz_format.container_writer, "_SPOOL_BYTES", 100)
    content = tiles(12, 300)
    container = open_container(write(tmp_path / "a.sarz", three_bands(), content, STATISTICS))
    assert read_all(container) == expected_parts(content)
    assert [path.name for path in tmp_path.iterdir()] == ["a.sarz"]


def test_overhead_of_a_small_scene(tmp_path: Path) -> None:
    """A chip of 512 x 512 costs under 450 bytes besides its tile."""
    metadata = RasterMetadata(width=512, height=512, dtype="float32", nodata=(0, 0), descriptions=("VV", "VH"))
    content = [(b"c" * 100, b"d" * 20_000, 0, 50)]
    path = write(tmp_path / "a.sarz", header(metadata=metadata), content, STATISTICS[:2])
    assert path.stat().st_size - 20_100 < 450


def test_index_array_matches_the_file(small: bytes) -> None:
    container = open_container(small)
    start = container.preamble.index_offset
    assert container.index.pack() == small[start : start + 480]
    assert container.index.entries.dtype.itemsize == 40
    assert np.all(container.index.entries["reserved"] == 0)


def test_all_errors_are_of_the_library() -> None:
    assert issubclass(SarzFormatError, SarzError)
    assert issubclass(DamagedTileError, SarzFormatError)
