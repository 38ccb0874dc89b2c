"""Bounds of a tile's parts: the worst that a writer can make keeps them, and nothing beyond them is read."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_model import made_arrays
from test_container import STATISTICS, three_bands, tiles, write

from sarz_format.codec.entropy import decoding_tables
from sarz_format.codec.model import build_model
from sarz_format.codec.tile import LatentCoder, hyper_shape, pack_coarse, pack_detail
from sarz_format.container import open_container
from sarz_format.deflate import deflate
from sarz_format.errors import SarzFormatError
from sarz_format.fallback import encode_lossless
from sarz_format.index import ENTRY_BYTES
from sarz_format.mask import EXACT, class_plane
from sarz_format.grid import BLOCK, HYPER
from sarz_format.part_limits import deflate_limit, part_limits
from sarz_format.preamble import PREAMBLE_BYTES

MODELS = {bands: build_model(made_arrays(bands)) for bands in (1, 2)}


@given(st.binary(max_size=3000), st.integers(1, 40))
def test_deflate_keeps_its_bound(data: bytes, times: int) -> None:
    for level in (1, 6, 9):
        assert len(deflate(data * times, level)) <= deflate_limit(len(data) * times)


@pytest.mark.parametrize("size", [0, 1, 16383, 16384, 65535, 65536, 3_000_000])
def test_deflate_of_noise_keeps_its_bound(size: int) -> None:
    noise = np.random.default_rng(size).bytes(size)
    for level in (1, 6, 9):
        assert len(deflate(noise, level)) <= deflate_limit(size)


def worst_parts(bands: int, shape: tuple[int, int], dtype: str, seed: int) -> tuple[bytes, bytes]:
    """Parts of a tile whose symbols are nearly all escapes, whose classes and values are noise."""
    rng = np.random.default_rng(seed)
    model = MODELS[bands]
    rows, cols = -(-shape[0] // BLOCK), -(-shape[1] // BLOCK)
    y = rng.choice([-32768, 32767], (rows, cols, model.channels)).astype(np.int16)
    z = rng.integers(-127, 128, hyper_shape(rows, cols)).astype(np.int8)
    totals = np.zeros((z.shape[0] * HYPER, z.shape[1] * HYPER, 2 * model.channels), np.float32)
    coarse, detail, _ = LatentCoder(model, decoding_tables(model.tables)).encode(y, z, totals, 100)
    values = rng.integers(0, 256, (bands, *shape, np.dtype(dtype).itemsize), dtype=np.uint8).view(dtype)[..., 0]
    classes = rng.choice([0, 1, 2, EXACT, EXACT, EXACT], values.shape).astype(np.uint8)
    packed = pack_coarse([class_plane(c) for c in classes], coarse)
    with_exact = pack_detail(detail, values, np.full_like(classes, EXACT), b"")
    with_copy = pack_detail(detail, values[:, :0], classes[:, :0], encode_lossless(values))
    return packed, max(with_exact, with_copy, key=len)


@settings(deadline=None, max_examples=30)
@given(st.sampled_from([1, 2]), st.integers(1, 130), st.integers(1, 130), st.sampled_from(["uint8", "int16", "float64"]),
       st.integers(0, 99))
def test_the_worst_that_a_writer_makes_keeps_the_bounds(bands: int, height: int, width: int, dtype: str,
                                                         seed: int) -> None:
    parts = worst_parts(bands, (height, width), dtype, seed)
    limits = part_limits(height, width, bands, np.dtype(dtype).itemsize)
    assert all(len(part) <= limit for part, limit in zip(parts, limits))
    if height * width > 2000:
        assert len(parts[1]) > limits[1] / 3  # The bounds are of the size of what they bound.


def with_lengths(path: Path, number: int, part: str, extra: int) -> Path:
    """The file with one part made longer by zeros, and all lengths, offsets and checksums to match."""
    data = bytearray(path.read_bytes())
    with open_container(path) as container:
        entries = container.index.entries.copy()
        preamble = container.preamble
        start, length = getattr(container, f"{part}_section")
    entry = entries[number]
    cut = int(entry[f"{part}_offset"] + entry[f"{part}_length"])
    entry[f"{part}_length"] += extra
    for name in ("coarse", "detail"):
        moved = entries[f"{name}_offset"] >= cut
        moved[number] = moved[number] and name != part
        entries[f"{name}_offset"][moved] += extra
    data[cut:cut] = bytes(extra)
    offset = preamble.index_offset
    data[offset : offset + len(entries) * ENTRY_BYTES] = entries.tobytes()
    struct.pack_into("<I", data, 0x24, zlib.crc32(entries.tobytes()))
    struct.pack_into("<Q", data, 0x28 if part == "detail" else 0x30, length + extra)
    struct.pack_into("<I", data, PREAMBLE_BYTES - 4, zlib.crc32(data[: PREAMBLE_BYTES - 4]))
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("part", ["coarse", "detail"])
@pytest.mark.parametrize(("number", "shape", "bands"), [(0, (64, 64), 2), (1, (64, 64), 1), (3, (64, 36), 1),
                                                        (10, (12, 36), 2)])
def test_a_part_beyond_its_bound_is_refused_on_opening(tmp_path: Path, part: str, number: int, shape: tuple[int, int],
                                                       bands: int) -> None:
    path = write(tmp_path / "x.sarz", three_bands(), tiles(), STATISTICS)
    with open_container(path) as container:
        length = container.index.entries[f"{part}_length"][number]
    limit = part_limits(*shape, bands, 2)[part == "detail"]
    room = limit - int(length)
    with open_container(with_lengths(path, number, part, room)):
        pass
    row, col, group = number // 4, number // 2 % 2, number % 2
    expected = rf"x\.sarz: .*tile row {row}, column {col}, band group {group}: its {part} part has .* at most {limit}"
    with pytest.raises(SarzFormatError, match=expected):
        open_container(with_lengths(path, number, part, 1))
