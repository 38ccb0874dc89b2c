"""Files with a bound that are not well formed: each is refused, or its tile is, with the reason."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import speckled_db, write_geotiff
from golden.make import BOUNDED as GOLDEN_NAMES
from hypothesis import given, settings
from hypothesis import strategies as st
from test_header import canonical, as_json, header, packed

import sarz_format as sarz
from sarz_format.bound import DB, RASTER, Allowance, Bound
from sarz_format.bounded import DECIBELS, FIXED_POINT, NUMBERS, decode_bounded, encode_bounded
from sarz_format.codec.payload import join_segments, split_segments
from sarz_format.container import open_container
from sarz_format.container_writer import ContainerWriter
from sarz_format.contextual import encode_amplitudes, encode_fixed_point, encode_integers
from sarz_format.decibel import _mantissas, linear_numbers
from sarz_format.errors import DamagedTileError, SarzFormatError
from sarz_format.fallback import encode_lossless
from sarz_format.header import pack_header, unpack_header
from sarz_format.index import BOUNDED, EMPTY, FALLBACK
from sarz_format.mask import NODATA, VALID, ClassPlane, pack_plane

GOLDEN = Path(__file__).resolve().parent / "golden"
SHAPE = (1, 40, 50)
ALL = np.ones(SHAPE, bool)
NUMBERS_16 = (500 * 10 ** (speckled_db(SHAPE) / 20)).astype(np.uint16) + 1
POWER = (10 ** (speckled_db(SHAPE) / 10)).astype(np.float32)

RATIOS = Allowance(0.5, "amplitude", ratio=True)
DIFFERENCES = Allowance(5.0, "amplitude", ratio=False)


# Header


@pytest.mark.parametrize("bound", [Bound(DB, 0.5), Bound(RASTER, 1e-7), Bound(RASTER, 3.0)])
def test_headers_have_bounds(bound: Bound) -> None:
    made = header(bound=bound)
    assert unpack_header(*pack_header(made)) == made


@pytest.mark.parametrize(("value", "message"), [
    ({}, "lacks unit, value"),
    ({"unit": "db"}, "lacks value"),
    ({"unit": "dB", "value": 1}, "unit of the bound is 'dB', expected one of db, raster"),
    ({"unit": "db", "value": 0}, "value of the bound is 0, expected a finite number above 0"),
    ({"unit": "db", "value": -0.5}, "value of the bound"),
    ({"unit": "db", "value": "nan"}, "value of the bound"),
    ({"unit": "db", "value": "inf"}, "value of the bound"),
    ({"unit": "db", "value": True}, "expected a number"),
    ({"unit": "db", "value": 1, "more": 1}, "more"),
    (0.5, "bound"),
    (None, "bound"),
])
def test_bounds_that_are_none(value: Any, message: str) -> None:
    with pytest.raises(SarzFormatError, match=message):
        unpack_header(*packed(canonical(as_json(header()) | {"bound": value})))


@pytest.mark.parametrize("other", [{"lossless": True}, {"target": {"kind": "bpp", "value": 1}}])
def test_a_bound_excludes_others(other: dict[str, Any]) -> None:
    value = as_json(header()) | {"bound": {"unit": "db", "value": 1}} | other
    with pytest.raises(SarzFormatError, match=f"the header has bound and {next(iter(other))}, expected one of them"):
        unpack_header(*packed(canonical(value)))


def test_a_bound_in_units_of_a_band_without_a_scale() -> None:
    made = header(bound=Bound(RASTER, 1.0))
    with pytest.raises(SarzFormatError, match="a bound and a band of scale 0"):
        pack_header(replace(made, metadata=replace(made.metadata, scales=(1.0, 0.0))))


# Bytes of a tile


@pytest.mark.parametrize(("dtype", "allowance", "method", "usable"), [
    ("uint16", RATIOS, FIXED_POINT, "0 or 2"),
    ("uint16", DIFFERENCES, DECIBELS, "0"),
    ("uint16", DIFFERENCES, FIXED_POINT, "0"),
    ("float32", RATIOS, NUMBERS, "2"),
    ("float32", RATIOS, FIXED_POINT, "2"),
    ("float32", DIFFERENCES, NUMBERS, "1"),
    ("float32", DIFFERENCES, DECIBELS, "1"),
    ("float64", DIFFERENCES, 3, "1"),
    ("uint16", RATIOS, 255, "0 or 2"),
])
def test_methods_for_other_dtypes(dtype: str, allowance: Allowance, method: int, usable: str) -> None:
    with pytest.raises(SarzFormatError, match=f"method {method}, expected {usable} for bounded"):
        decode_bounded(bytes([method]) + encode_integers(NUMBERS_16, 0)[0], ALL, np.dtype(dtype), allowance)


def fixed_point(step: int, exponent: int) -> bytes:
    data, _ = encode_fixed_point(NUMBERS_16.astype(float), step)
    return bytes([FIXED_POINT]) + exponent.to_bytes(2, "little", signed=True) + data


@pytest.mark.parametrize(("dtype", "allowance", "data", "message"), [
    ("uint16", RATIOS, lambda: b"", "no bytes"),
    ("uint16", RATIOS, lambda: bytes([NUMBERS]), "contextual tile"),
    ("uint16", RATIOS, lambda: bytes([NUMBERS]) + encode_integers(NUMBERS_16, 1)[0], "in steps, expected cells"),
    ("uint16", DIFFERENCES, lambda: bytes([NUMBERS]) + encode_amplitudes(NUMBERS_16, 0.1)[0], "in cells, expected steps"),
    ("uint16", DIFFERENCES, lambda: bytes([NUMBERS]) + encode_integers(NUMBERS_16, 6)[0], "more than the bound of 5"),
    ("uint16", RATIOS, lambda: bytes([NUMBERS]) + encode_amplitudes(NUMBERS_16, 0.51)[0], "more than the bound of 0.5"),
    ("uint8", DIFFERENCES, lambda: bytes([NUMBERS]) + encode_integers(NUMBERS_16 + 300, 5)[0], "do not fit uint8"),
    ("float32", RATIOS, lambda: bytes([DECIBELS]) + encode_fixed_point(NUMBERS_16.astype(float), 1025)[0], "bound of 0.5"),
    ("float32", RATIOS, lambda: bytes([DECIBELS]) + encode_amplitudes(NUMBERS_16, 0.1)[0], "numbers of amplitude"),
    ("float32", DIFFERENCES, lambda: fixed_point(6, 1), "numbers are 6 from the middle between them, more than the bound"),
    ("float32", DIFFERENCES, lambda: fixed_point(1, 972), "unit 2.972, expected exponents -1074 to 971"),
    ("float32", DIFFERENCES, lambda: fixed_point(1, -1075), "unit 2.-1075"),
    ("float32", DIFFERENCES, lambda: bytes([FIXED_POINT, 0]), "contextual tile"),
    ("float32", DIFFERENCES, lambda: fixed_point(5, 1) + b"\0", "left over"),
])
def test_malformed_bytes(dtype: str, allowance: Allowance, data: Callable[[], bytes], message: str) -> None:
    with pytest.raises(SarzFormatError, match=message):
        decode_bounded(data(), ALL, np.dtype(dtype), allowance)


@settings(deadline=None, max_examples=200)
@given(st.sampled_from(["uint16", "float32", "float64"]), st.booleans(), st.data())
def test_damaged_bytes_raise_only_format_errors(dtype: str, ratio: bool, draw: st.DataObject) -> None:
    allowance = RATIOS if ratio else DIFFERENCES
    values = (NUMBERS_16 if dtype == "uint16" else 300 * POWER).astype(dtype)
    data = bytearray(encode_bounded(values, ALL, allowance, [None]).data)
    for _ in range(draw.draw(st.integers(1, 3))):
        data[draw.draw(st.integers(0, min(len(data), 120) - 1))] ^= draw.draw(st.integers(1, 255))
    data = data[: draw.draw(st.sampled_from([len(data), len(data) // 2]))]
    try:
        assert decode_bounded(bytes(data), ALL, np.dtype(dtype), allowance).dtype == dtype
    except SarzFormatError:
        pass


def test_decibels_by_their_definition() -> None:
    """Those whose power of ten is a float64, digit by digit; and numbers at the ends of float64."""
    levels = np.array([-30720, 0, 1, 5000, 10239, 10240, 225_281])
    for scale, steps in (("intensity", 10240), ("amplitude", 20480)):
        for level, value in zip(levels.tolist(), linear_numbers(scale, levels, 1024).tolist()):
            power, rest = divmod(level, steps)
            mantissa = float(Decimal(10) ** (Decimal(rest) / steps))
            assert value == (mantissa * 10.0**power if power >= 0 else mantissa / 10.0**-power)
    ends = linear_numbers("intensity", np.array([3_153_920, 3_200_000, -3_153_921]), 1024)
    assert ends[:2].tolist() == [1e308, np.inf] and 0 < ends[2] < 1e-307


@pytest.mark.parametrize(("values", "scale", "data"), [
    (np.full(SHAPE, 100, np.uint16), "amplitude", "00 00 8b 81 ad f9 10 64 00 c8 01"),
    (np.full(SHAPE, -17.25, np.float32), "db", "01 f7 ff 80 04 00 ff 89 01"),
    (np.full(SHAPE, 0.001, np.float64), "intensity", "02 ff 07 00 ff df 03"),
])
def test_worked_examples_of_the_specification(values: np.ndarray, scale: str, data: str) -> None:
    allowance = Allowance(0.5, scale, ratio=scale != "db")
    assert encode_bounded(values, ALL, allowance, [None]).data == bytes.fromhex(data)
    assert np.array_equal(decode_bounded(bytes.fromhex(data), ALL, values.dtype, allowance), values)


@pytest.mark.parametrize(("dtype", "scale", "values"), [
    ("float32", "intensity", {-30720: "3a83126f", -12345: "3d7f2618", 0: "3f800000", 1: "3f80075e", 24680: "438090e8"}),
    ("uint16", "amplitude", {0: "0001", 20000: "0009", 46080: "00b2", 55000: "01e5", 98000: "ee30"}),
])
def test_worked_values_of_the_specification(dtype: str, scale: str, values: dict[int, str]) -> None:
    levels = np.array(list(values)).reshape(1, 1, -1).astype(float)
    data, _ = encode_fixed_point(levels, 1)
    found = decode_bounded(bytes([DECIBELS]) + data, np.ones(levels.shape, bool), np.dtype(dtype), Allowance(0.5, scale, True))
    assert found.astype(found.dtype.newbyteorder(">")).tobytes().hex() == "".join(values.values())


@pytest.mark.parametrize(("steps", "digest"), [
    (10240, "0ddb4b250abc34627cf0a18978ee33c3cc2db6460f25a79928d98264a8d24c17"),
    (20480, "846cd315651fef5b34d8cb6f8fa22ccc35e672d5acd811ba221cb37e5181d3ac"),
])
def test_mantissas(steps: int, digest: str) -> None:
    assert hashlib.sha256(_mantissas(steps).astype("<f8").tobytes()).hexdigest() == digest


# Whole files


def rewritten(path: Path, target: Path, flags: int, change: Callable[[bytes, bytes], tuple[bytes, bytes]] | None = None,
              **of_header: Any) -> Path:
    """A file of one tile with other flags, parts or header."""
    with open_container(path) as container:
        parts = container.read_parts([(0, "coarse"), (0, "detail")])
        with ContainerWriter(target, replace(container.header, **of_header)) as writer:
            writer.write_tile(*(change(*parts) if change else parts), flags=flags, quality=100)
            writer.finish(container.statistics)
    return target


@pytest.fixture(scope="module")
def bounded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One tile of one band, nodata 0, some of it nodata."""
    folder = tmp_path_factory.mktemp("bounded")
    values = NUMBERS_16.copy()
    values[0, :4] = 0
    sarz.compress(write_geotiff(folder / "x.tif", values, nodata=0), folder / "x.sarz", tile_size=64, max_error_db=0.5)
    with open_container(folder / "x.sarz") as container:
        assert container.index.entries["flags"].tolist() == [EMPTY | BOUNDED]
    return folder / "x.sarz"


@pytest.mark.parametrize("flags", [0, FALLBACK, BOUNDED, FALLBACK | BOUNDED, EMPTY | FALLBACK | BOUNDED])
def test_flags_that_a_bound_rules_out(tmp_path: Path, bounded: Path, flags: int) -> None:
    with pytest.raises(SarzFormatError, match="row 0, column 0, band group 0: the header has a bound, expected flag EMPTY"):
        sarz.open(rewritten(bounded, tmp_path / "y.sarz", flags))


def test_a_bounded_tile_without_a_bound(tmp_path: Path, bounded: Path) -> None:
    with pytest.raises(SarzFormatError, match="flag BOUNDED is set, but the header has no bound"):
        sarz.open(rewritten(bounded, tmp_path / "y.sarz", EMPTY | BOUNDED, bound=None))


def with_plane(plane: ClassPlane) -> Callable[[bytes, bytes], tuple[bytes, bytes]]:
    return lambda coarse, detail: (join_segments([pack_plane(plane), b"", b""]), detail)


def with_copy(copy: bytes) -> Callable[[bytes, bytes], tuple[bytes, bytes]]:
    return lambda coarse, detail: (coarse, join_segments([*split_segments(detail, 5)[:-1], copy]))


@pytest.mark.parametrize(("flags", "change", "message"), [
    (EMPTY, None, "copy and the flags"),
    (EMPTY, with_copy(b""), "an empty tile has coded pixels"),
    (EMPTY | BOUNDED, with_copy(b""), "copy and the flags"),
    (EMPTY | BOUNDED, with_plane(ClassPlane(NODATA, None)), "a bounded tile has no coded pixels"),
    (EMPTY | BOUNDED, with_plane(ClassPlane(VALID, None)), "contextual tile"),
    (EMPTY | BOUNDED, with_copy(b"\7rest"), "method 7, expected 0 or 2 for bounded ratios of uint16"),
    (EMPTY | BOUNDED, lambda coarse, detail: (coarse, b"\1x" + detail[1:]), "an empty tile holds latents"),
    (EMPTY | FALLBACK, with_copy(encode_lossless(NUMBERS_16)), "an empty tile has coded pixels"),
])
def test_tiles_that_contradict_themselves(tmp_path: Path, bounded: Path, flags: int, change: Any, message: str) -> None:
    path = rewritten(bounded, tmp_path / "y.sarz", flags, change)
    with sarz.open(path) as src, pytest.raises(DamagedTileError, match=message):
        src.read()
    assert message in sarz.verify(path).problems[0]


def test_a_finer_bound_than_its_tiles_keep_is_found_without_the_raster(tmp_path: Path, bounded: Path) -> None:
    path = rewritten(bounded, tmp_path / "y.sarz", EMPTY | BOUNDED, bound=Bound(DB, 0.4))
    (problem,) = sarz.verify(path).problems
    assert "numbers are 0.5 from the middle between them, more than the bound of 0.4" in problem
    assert sarz.verify(rewritten(bounded, tmp_path / "z.sarz", EMPTY | BOUNDED, bound=Bound(DB, 0.6))).ok


def test_reading_and_writing_within_a_bound_imports_no_torch(tmp_path: Path, harvey_grd: Path) -> None:
    script = f"""
import sys
import sarz_format as sarz
sarz.compress({str(harvey_grd)!r}, "x.sarz", max_error_db=1, tile_size=256)
with sarz.open("x.sarz") as src:
    src.read(window=sarz.Window(200, 200, 100, 100), masked=True)
sarz.decompress("x.sarz", "x.tif")
assert sarz.verify("x.sarz", {str(harvey_grd)!r}).ok
assert "torch" not in sys.modules
import torch
from sarz_format.codec.pool import parallel_map
assert set(parallel_map(lambda _: torch.get_num_threads(), range(8))) == {{1}}, "workers that started without torch"
"""
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True)


@pytest.mark.parametrize("name", GOLDEN_NAMES)
def test_golden_files_hold_bounded_tiles(name: str) -> None:
    with open_container(GOLDEN / f"{name}.sarz") as container:
        assert set(container.index.entries["flags"].tolist()) == {EMPTY | BOUNDED}
        methods = {split_segments(container.read_parts([(number, "detail")])[0], 2 * len(container.header.groups[0].bands) + 3)[-1][0]
                   for number in range(len(container.index))}
    expected = {"bounded_cells": NUMBERS, "bounded_steps": NUMBERS, "bounded_decibels": DECIBELS,
                "bounded_fixed_point": FIXED_POINT}[name]
    assert methods == {expected}
