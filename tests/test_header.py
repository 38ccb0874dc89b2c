"""The header: small, canonical, and hostile until checked."""

from __future__ import annotations

import json
import math
import runpy
import zlib
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st

from sarz_format.errors import SarzFormatError
from sarz_format.grid import TileGrid
from sarz_format.header import (
    DICTIONARY_SHA256,
    MAX_HEADER_BYTES,
    BandGroup,
    Header,
    header_dictionary,
    pack_header,
    unpack_header,
)
from sarz_format.metadata import RasterMetadata

WEIGHTS = sha256(b"weights").hexdigest()


def header(**changes: Any) -> Header:
    """Two bands of 512 x 512 in intensity."""
    metadata = RasterMetadata(width=512, height=512, dtype="float32", nodata=(math.nan,) * 2)
    usual: dict[str, Any] = {
        "metadata": metadata,
        "tile_size": 512,
        "scale": "intensity",
        "scale_reason": "the values are positive floats",
        "offsets_db": (-12, -19),
        "quality": 50,
        "groups": (BandGroup((0, 1), "s1-pair-1", WEIGHTS),),
    }
    return Header(**usual | changes)


def packed(text: str | bytes) -> tuple[bytes, int]:
    """Any text as a header."""
    data = text.encode() if isinstance(text, str) else text
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15, zdict=header_dictionary())
    return compressor.compress(data) + compressor.flush(), len(data)


def canonical(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def as_json(made: Header) -> dict[str, Any]:
    """What is inside a packed header."""
    data, _ = pack_header(made)
    value: dict[str, Any] = json.loads(zlib.decompressobj(-15, zdict=header_dictionary()).decompress(data))
    return value


def test_round_trip() -> None:
    made = header(
        metadata=RasterMetadata(700, 90, "uint16", nodata=(0, None, 7), descriptions=("HH", "HV", "é")),
        groups=(BandGroup((1, 0), "s1-pair-1", WEIGHTS), BandGroup((2,), "s1-single-1", WEIGHTS)),
        offsets_db=(40, -10000, 0),
        notes=("band 3 has no pair", "two tiles are stored losslessly"),
        tile_size=64,
        quality=0,
        scale="amplitude",
    )
    assert unpack_header(*pack_header(made)) == made
    assert made.grid == TileGrid(90, 700, 64)
    assert unpack_header(*pack_header(header())) == header()


def test_same_header_same_bytes() -> None:
    tags = {"B": "1", "A": "2"}
    first = header(metadata=replace(header().metadata, tags={"": tags, "X": {"k": "v"}}))
    second = header(metadata=replace(header().metadata, tags={"X": {"k": "v"}, "": dict(reversed(tags.items()))}))
    assert pack_header(first) == pack_header(second)


def test_dictionary_is_the_one_of_the_specification() -> None:
    assert sha256(header_dictionary()).hexdigest() == DICTIONARY_SHA256


def test_dictionary_can_be_made_again() -> None:
    script = runpy.run_path(str(Path(__file__).parent / "tools" / "make_header_dictionary.py"))
    assert script["dictionary"]() == header_dictionary()


@pytest.mark.parametrize("epsg", [32601, 32632, 32660, 32733, 4326])
@pytest.mark.parametrize("nodata", [0, math.nan, -9999])
def test_an_ordinary_header_is_small(tmp_path: Path, epsg: int, nodata: float) -> None:
    transform = rasterio.Affine(10, 0, 432150, 0, -10, 4521340)
    profile = {"width": 512, "height": 512, "count": 2, "dtype": "float32", "crs": f"EPSG:{epsg}", "nodata": nodata}
    with rasterio.open(tmp_path / "a.tif", "w", **profile, transform=transform) as dst:
        dst.descriptions = ("VV", "VH")
    with rasterio.open(tmp_path / "a.tif") as src:
        made = header(metadata=RasterMetadata.from_dataset(src))
    data, _ = pack_header(made)
    assert len(data) < 250


@pytest.mark.parametrize("name", ["harvey_db", "harvey_sigma0", "spatialist_db", "ssl4eo_db", "terramind_db"])
def test_headers_of_real_rasters_are_small(name: str, request: pytest.FixtureRequest) -> None:
    with rasterio.open(request.getfixturevalue(name)) as src:
        metadata = RasterMetadata.from_dataset(src)
    bands = tuple(range(metadata.count))
    data, _ = pack_header(header(metadata=metadata, offsets_db=bands, groups=(BandGroup(bands, "s1-pair-1", WEIGHTS),)))
    assert len(data) < 250


@pytest.mark.parametrize(
    "changes",
    [
        {"tile_size": 100}, {"tile_size": 0}, {"tile_size": 8192}, {"scale": "power"}, {"quality": 101},
        {"quality": 50.0}, {"offsets_db": (1,)}, {"offsets_db": (1.5, 2)}, {"offsets_db": (1, 20000)}, {"groups": ()},
        {"groups": (BandGroup((0,), "m", WEIGHTS),)}, {"groups": (BandGroup((0, 0), "m", WEIGHTS),)},
        {"groups": (BandGroup((0, 2), "m", WEIGHTS),)}, {"groups": (BandGroup((0, 1), "../m", WEIGHTS),)},
        {"groups": (BandGroup((0, 1), "m", WEIGHTS.upper()),)}, {"groups": (BandGroup((0, 1), "m", "ab"),)},
        {"groups": (BandGroup((0, 1), "", WEIGHTS),)}, {"notes": ("a\0b",)}, {"scale_reason": "\udc80"},
        {"metadata": RasterMetadata(width=0, height=1, dtype="uint8", nodata=(None, None))},
        {"metadata": RasterMetadata(width=1, height=1, dtype="complex64", nodata=(None, None))},
        {"metadata": RasterMetadata(width=1, height=1, dtype="uint8", nodata=(None, None), tags={"": {"a": 1}})},  # type: ignore[dict-item]
        {"metadata": RasterMetadata(width=1, height=1, dtype="uint8", nodata=(None, None), rpcs={"a": b"x"})},  # type: ignore[dict-item]
    ],
)  # fmt: skip
def test_a_writer_refuses_what_a_reader_would(changes: dict[str, Any]) -> None:
    with pytest.raises(SarzFormatError):
        pack_header(header(**changes))


def test_too_large_a_header_is_refused() -> None:
    tags = {"": {"A": "x" * MAX_HEADER_BYTES}}
    with pytest.raises(SarzFormatError, match="drop large tags"):
        pack_header(header(metadata=replace(header().metadata, tags=tags)))


def test_inflating_is_bounded() -> None:
    bomb, length = packed(b" " * (MAX_HEADER_BYTES + 1))
    assert len(bomb) < 20_000
    for claim in (2, length - 1, length, 2**32 - 1, 0, 1):
        with pytest.raises(SarzFormatError, match="header"):
            unpack_header(bomb, claim)


@pytest.mark.parametrize(
    "text",
    ["nothing", "[" * 100_000, "[" * 100_000 + "]" * 100_000, '{"a":' * 50_000, "NaN", "1e999", "9" * 5000, "null", "3",
     '{"metadata":' + "[" * 900 + "]" * 900 + "}", '{"metadata":{"count":1,"dtype":' + "[" * 900 + "]" * 900 + "}}",
     '""', "{}", b"\xff\xfe\xfd", b"\xef\xbb\xbf{}", '"\\ud800"'],
    ids=lambda text: ascii(text[:12]),
)  # fmt: skip
def test_texts_that_are_no_header(text: str | bytes) -> None:
    with pytest.raises(SarzFormatError, match="header"):
        unpack_header(*packed(text))


def test_only_the_canonical_text_is_read() -> None:
    value = as_json(header())
    assert unpack_header(*packed(canonical(value))) == header()
    spaced = json.dumps(value, sort_keys=True)
    disordered = json.dumps(dict(reversed(value.items())), separators=(",", ":"))
    duplicate = canonical(value).replace('"quality":50', '"quality":50,"quality":50')
    usual = canonical(value | {"notes": []})
    spelled = canonical(value).replace('"VV"', '"\\u0056V"').replace("-12", "-12.0")
    for text in (spaced, disordered, duplicate, usual, spelled):
        assert text != canonical(value)
        with pytest.raises(SarzFormatError):
            unpack_header(*packed(text))


@pytest.mark.parametrize("key", ["metadata", "tile_size", "scale", "scale_reason", "offsets_db", "quality", "groups",
                                 "notes", "unknown"])  # fmt: skip
@pytest.mark.parametrize("value", [None, True, 2**70, 1.5, "x", [], [1], [None], [[]], [{}], {}, {"x": 1}], ids=str)
def test_wrong_types_raise_only_format_errors(key: str, value: Any) -> None:
    text = canonical(as_json(header()) | {key: value})
    try:
        unpack_header(*packed(text))
    except SarzFormatError as exc:
        assert "\n" not in str(exc)


@pytest.mark.parametrize("key", ["metadata", "tile_size", "scale", "scale_reason", "offsets_db", "quality", "groups"])
def test_missing_keys_are_named(key: str) -> None:
    value = as_json(header())
    del value[key]
    with pytest.raises(SarzFormatError, match=f"header lacks {key}"):
        unpack_header(*packed(canonical(value)))


def test_trailing_and_missing_bytes() -> None:
    data, length = pack_header(header())
    for damaged in (data + b"\0", data[:-1], b"", data[: len(data) // 2]):
        with pytest.raises(SarzFormatError, match="inflate"):
            unpack_header(damaged, length)


@settings(deadline=None)
@given(st.binary(max_size=200), st.integers(0, 2**32 - 1))
def test_any_bytes_raise_only_format_errors(data: bytes, length: int) -> None:
    with pytest.raises(SarzFormatError):
        unpack_header(data, length)
