"""Complex rasters: stored to the bit, read as rasterio reads them, and refused where decibels are asked for."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from click.testing import CliRunner, Result
from conftest import write_geotiff
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from rasterio.enums import Resampling
from rasterio.rio.main import main_group
from rasterio.windows import Window
from test_reader_oracle import assert_same_answer

import sarz_format as sarz
from sarz_format.codec.payload import join_segments
from sarz_format.codec.tile import TileParts, pack_coarse
from sarz_format.container import open_container
from sarz_format.dtypes import COMPLEX_DTYPES, DTYPES, array_dtype, from_parts, part_dtype, to_parts, value_bytes
from sarz_format.errors import SarzFormatError, TileDamageWarning
from sarz_format.fallback import decode_lossless
from sarz_format.header import pack_header, unpack_header

SHAPE, TILE = (3, 75, 140), 64


def scene(dtype: str) -> np.ndarray:
    """Speckle with a frame of zeros, zero real parts, and in floats NaN payloads, infinities, -0.0 and subnormals."""
    rng = np.random.default_rng(4)
    values = rng.normal(0, 90, SHAPE) + 1j * rng.normal(0, 90, SHAPE)
    values[:, :, :6] = 0
    if dtype == "complex_int16":
        values.real, values.imag = np.rint(values.real) + 0.0, np.rint(values.imag) + 0.0
        values[0, 40, 40:44] = [32767 - 32768j, -32768 + 32767j, 1j, -1]
        return values.astype(np.complex64)
    values = values.astype(dtype)
    parts = values.view(values.real.dtype)
    parts[0, 20, 20:30] = [np.nan, np.inf, -np.inf, -0.0, 0.0, 1e-42, -1e-42, 1, -0.0, np.nan]
    bits = parts.view(f"u{parts.itemsize}")
    bits[1, 21, 20:30] = bits[0, 20, 20] + np.arange(10, dtype=bits.dtype)  # payloads
    return values


def write(path: Path, dtype: str, values: np.ndarray | None = None, **profile: Any) -> Path:
    return write_geotiff(path, scene(dtype) if values is None else values, dtype=dtype, **profile)


def compressed(path: Path, **options: Any) -> Path:
    out = path.with_suffix(".sarz")
    sarz.compress(path, out, lossless=True, tile_size=TILE, **options)
    return out


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main_group, ["sarcodec", *map(str, arguments)])


@pytest.mark.parametrize("dtype", COMPLEX_DTYPES)
@pytest.mark.parametrize("nodata", [None, 0, math.nan])
def test_every_bit_comes_back(tmp_path: Path, dtype: str, nodata: float | None) -> None:
    if dtype == "complex_int16" and nodata is not None and math.isnan(nodata):
        nodata = -32768
    raster = write(tmp_path / "x.tif", dtype, nodata=nodata)
    path = tmp_path / "x.sarz"
    report = sarz.compress(raster, path, lossless=True, tile_size=TILE)
    assert (report.lossless, report.tiles, report.fallback_tiles, report.dtype) == (True, 12, 12, dtype)
    assert report.input_bytes == math.prod(SHAPE) * {"complex_int16": 4, "complex64": 8, "complex128": 16}[dtype]
    assert (report.scale, math.isnan(report.rmse_db)) == ("amplitude", True)
    values = scene(dtype)
    with sarz.open(path) as dataset, rasterio.open(raster) as src:
        assert dataset.dtypes == src.dtypes == (dtype,) * 3
        assert dataset.read().dtype == src.read().dtype == array_dtype(dtype)
        assert dataset.read().tobytes() == src.read().tobytes() == values.tobytes()
        assert np.array_equal(dataset.read_masks(), src.read_masks())
        assert np.array_equal(dataset.dataset_mask(), src.dataset_mask())
        assert dataset.checksum(2) == src.checksum(2)
        np.testing.assert_equal(dataset.nodatavals, src.nodatavals)
    sarz.decompress(path, tmp_path / "y.tif")
    with rasterio.open(tmp_path / "y.tif") as back:
        assert back.dtypes == (dtype,) * 3
        assert back.read().tobytes() == values.tobytes()
        np.testing.assert_equal(back.nodata, nodata)
    verified = sarz.verify(path, raster)
    assert verified.problems == [] and all(band["valid_pixels"] == 0 for band in verified.bands)


@pytest.fixture(scope="session")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[sarz.Dataset, rasterio.DatasetReader]]:
    folder = tmp_path_factory.mktemp("complex")
    rasters = {dtype: write(folder / f"{dtype}.tif", dtype, nodata=0, tiled=True, blockxsize=64, blockysize=64)
               for dtype in COMPLEX_DTYPES}
    rasters["masked by nothing"] = write(folder / "none.tif", "complex64", np.nan_to_num(scene("complex64")))
    return {name: (sarz.open(compressed(path)), rasterio.open(path)) for name, path in rasters.items()}


@st.composite
def reads(draw: st.DrawFn) -> dict[str, Any]:
    boundless = draw(st.booleans())
    low = -20 if boundless else 0
    row, col = draw(st.integers(low, 73)), draw(st.integers(low, 138))
    height, width = draw(st.integers(1 - min(row, 0), 70)), draw(st.integers(1 - min(col, 0), 70))
    call = {
        "indexes": draw(st.one_of(st.none(), st.integers(1, 3), st.lists(st.integers(1, 3), min_size=1, max_size=3))),
        "window": draw(st.sampled_from([None, Window(col, row, width, height)])),
        "boundless": boundless, "masked": draw(st.booleans()), "fill_value": draw(st.sampled_from([None, None, 7])),
        "resampling": draw(st.sampled_from([Resampling.nearest, Resampling.nearest, Resampling.bilinear,
                                            Resampling.average, Resampling.cubic])),
        "out_dtype": draw(st.sampled_from([None, None, None, "complex128", "complex64"])),
    }
    shape = draw(st.one_of(st.none(), st.tuples(st.integers(1, 60), st.integers(1, 60))))
    return call if shape is None else {**call, "out_shape": shape}


@settings(max_examples=120, deadline=None)
@given(kind=st.sampled_from([*COMPLEX_DTYPES, "masked by nothing"]), call=reads())
def test_read_equals_rasterio(pairs: dict[str, Any], kind: str, call: dict[str, Any]) -> None:
    # Where GDAL resamples complex values beyond the raster's border, it weights what is there otherwise than for real ones.
    assume(not call["boundless"] or call["resampling"] == Resampling.nearest)
    ours, theirs = pairs[kind]
    assert_same_answer(ours.read, theirs.read, call)


@pytest.mark.parametrize("kind", COMPLEX_DTYPES)
def test_other_calls_equal_rasterio(pairs: dict[str, Any], kind: str) -> None:
    ours, theirs = pairs[kind]
    places = [theirs.xy(row, col) for row, col in [(0, 0), (30, 50), (74, 139), (-5, 3)]]
    if kind == "complex_int16":  # numpy has no such dtype, and rasterio's own sampling asks it for one
        for dataset in (ours, theirs):
            with pytest.raises(TypeError, match="complex_int16"):
                next(dataset.sample(places))
    else:
        for mine, expected in zip(ours.sample(places), theirs.sample(places), strict=True):
            np.testing.assert_array_equal(mine, expected)
    for name in ("crs", "transform", "nodata", "dtypes", "count", "shape", "scales", "colorinterp", "mask_flag_enums"):
        np.testing.assert_equal(getattr(ours, name), getattr(theirs, name))
    window = Window(30, 10, 50, 40)
    out = np.zeros((40, 50), array_dtype(kind))
    assert ours.read(2, window=window, out=out).tobytes() == theirs.read(2, window=window).tobytes()


@pytest.mark.parametrize("dtype", COMPLEX_DTYPES)
def test_cogs_and_parts(tmp_path: Path, dtype: str) -> None:
    values = np.tile(np.nan_to_num(scene(dtype))[:2], (1, 8, 4))
    path = tmp_path / "x.sarz"
    sarz.compress(write(tmp_path / "x.tif", dtype, values, nodata=0), path, lossless=True)
    for compression in (None, "lzw", "none"):
        sarz.decompress(path, tmp_path / "y.tif", cog=True, compression=compression, overwrite=True)
        with rasterio.open(tmp_path / "y.tif") as cog:
            assert cog.read().tobytes() == values.tobytes()
            assert cog.overviews(1) == [2]
        with rasterio.open(tmp_path / "y.tif", overview_level=0) as overview:  # pixels, not means, which lose power
            assert set(overview.read(1).ravel()) <= set(values[0].ravel())
    sarz.decompress(path, tmp_path / "z.tif", window=Window(30, 10, 50, 40), indexes=[2, 1])
    with rasterio.open(tmp_path / "z.tif") as part:
        assert part.read().tobytes() == values[[1, 0], 10:50, 30:80].tobytes()
        assert part.transform == Affine(10, 0, 500_300, 0, -10, 4_999_900)


@pytest.mark.parametrize("dtype", COMPLEX_DTYPES)
def test_lossy_is_refused_with_advice_that_works(tmp_path: Path, dtype: str) -> None:
    values = np.where(np.abs(scene(dtype)) > 1, scene(dtype), 1)
    values = np.where(np.isfinite(values), values, 1).astype(array_dtype(dtype))
    raster = write(tmp_path / "x.tif", dtype, values)
    for options in ({"quality": 50}, {"rmse_db": 0.5}, {"ratio": 8}, {}):
        with pytest.raises(sarz.UnsupportedRasterError, match=dtype) as failure:
            sarz.compress(raster, tmp_path / "x.sarz", **options)
    message = str(failure.value)
    assert "--lossless" in message and not (tmp_path / "x.sarz").exists()
    source = re.search(r"(DERIVED_\S+), with --scale amplitude", message)
    assert run("compress", source[1], tmp_path / "a.sarz", "--scale", "amplitude", "--tile-size", 64).exit_code == 0
    with sarz.open(tmp_path / "a.sarz") as dataset:
        assert dataset.crs and dataset.transform == Affine(10, 0, 500_000, 0, -10, 5_000_000)
        error_db = 20 * np.log10(dataset.read()[:, :, 6:] / np.abs(values[:, :, 6:]))
        assert np.sqrt(np.mean(error_db**2)) < 3


def test_the_command_line(tmp_path: Path) -> None:
    raster, path = write(tmp_path / "slc.tif", "complex_int16"), tmp_path / "slc.sarz"
    refused = run("compress", raster, path)
    assert refused.exit_code == 1 and "complex_int16" in refused.stderr and "--lossless" in refused.stderr
    made = run("compress", raster, path, "--lossless", "--json")
    assert made.exit_code == 0 and json.loads(made.stdout)["dtype"] == "complex_int16"
    shown = run("info", path)
    assert "3 band(s) of complex_int16" in shown.stdout and "every pixel is stored exactly" in shown.stdout
    assert run("verify", path, "--against", raster).exit_code == 0
    compared = run("compare", raster, path)
    assert compared.exit_code == 1 and "DERIVED" in compared.stderr and "verify" in compared.stderr
    other = run("decompress", path, tmp_path / "y.tif", "--dtype", "float32")
    assert other.exit_code == 1 and "complex" in other.stderr
    scaled = run("compress", raster, tmp_path / "z.sarz", "--lossless", "--scale", "db")
    assert scaled.exit_code == 1 and "scale 'db'" in scaled.stderr


def test_verify_finds_another_raster(tmp_path: Path) -> None:
    for dtype in COMPLEX_DTYPES:
        raster = write(tmp_path / f"{dtype}.tif", dtype)
        path = compressed(raster)
        values = scene(dtype)
        values[1, 30, 40] += 1j
        other = write(tmp_path / "other.tif", dtype, values)
        problems = sarz.verify(path, other).problems
        assert len(problems) == 1 and "band 2: 1 pixels that are stored exactly" in problems[0]
        assert "row 30, column 40" in problems[0]


def test_nodata_given_and_out_of_range(tmp_path: Path) -> None:
    raster = write(tmp_path / "x.tif", "complex_int16")
    with sarz.open(compressed(raster, nodata=0)) as dataset:
        assert dataset.nodata == 0
        assert np.array_equal(dataset.read_masks(1) == 0, scene("complex_int16")[0].real == 0)
    for bad in (40000, 0.5, math.nan):
        with pytest.raises(sarz.SarzOptionError, match="nodata"):
            compressed(raster, nodata=bad, overwrite=True)


def test_damaged_tiles_are_named_and_masked(tmp_path: Path) -> None:
    path = compressed(write(tmp_path / "x.tif", "complex64", nodata=0))
    with open_container(path) as container:
        entry = container.index[2]
    data = bytearray(path.read_bytes())
    data[entry.detail_offset + 40] ^= 1
    path.write_bytes(data)
    with sarz.open(path) as dataset, pytest.raises(sarz.DamagedTileError, match="CRC-32"):
        dataset.read()
    with sarz.open(path, on_damage="mask") as dataset, pytest.warns(TileDamageWarning):
        values = dataset.read()
    row, col = entry.tile_row * TILE, entry.tile_col * TILE
    bands = dataset.header.groups[entry.group].bands
    expected = scene("complex64")
    expected[list(bands), row : row + TILE, col : col + TILE] = 0
    assert values.tobytes() == expected.tobytes()


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_damaged_copies_are_tile_damage_alone(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Bytes behind the checksums: a copy that does not decode names its tile, and nothing else is raised."""
    name, coarse, detail = data.draw(st.sampled_from(_tiles(tmp_path_factory)))
    parts = TileParts.unpack(coarse, detail, 2, (12, 13))
    damaged = bytearray(parts.copy)
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    cut = damaged[: data.draw(st.sampled_from([len(damaged), data.draw(st.integers(1, len(damaged)))]))]
    broken = TileParts.unpack(pack_coarse(list(parts.planes), [b"", b""]),
                              join_segments([b"", b"", b"", b"", b"", b"", bytes(cut)]), 2, (12, 13))
    try:
        copy = decode_lossless(broken.copy, (4, 12, 13), part_dtype(name))
        assert from_parts(copy, name).shape == (2, 12, 13)
    except SarzFormatError:
        pass


def _tiles(factory: pytest.TempPathFactory) -> list[tuple[str, bytes, bytes]]:
    if not _TILES:
        folder = factory.mktemp("tiles")
        for dtype in COMPLEX_DTYPES:
            path = compressed(write(folder / f"{dtype}.tif", dtype, np.ascontiguousarray(scene(dtype)[:2, 15:27, 10:23])))
            with open_container(path) as container:
                _TILES.append((dtype, *container.read_parts([(0, "coarse"), (0, "detail")])))
    return _TILES


_TILES: list[tuple[str, bytes, bytes]] = []


@settings(max_examples=150, deadline=None)
@given(dtype=st.sampled_from(DTYPES), shape=st.tuples(*[st.integers(1, 5)] * 3), data=st.data())
def test_parts_come_back(dtype: str, shape: tuple[int, int, int], data: st.DataObject) -> None:
    part = part_dtype(dtype)
    planes = (2 * shape[0] if dtype in COMPLEX_DTYPES else shape[0]), *shape[1:]
    raw = data.draw(hnp.arrays(np.dtype(f"u{part.itemsize}"), planes)).view(part)
    values = from_parts(raw, dtype)
    assert values.dtype == array_dtype(dtype) and values.shape == shape
    again = to_parts(values, dtype)
    assert again.dtype == part and again.tobytes() == raw.tobytes()
    assert value_bytes(dtype) * values.size == raw.nbytes


def test_the_order_of_parts() -> None:
    values = np.array([[[1 + 2j, 3 + 4j]], [[5 + 6j, 7 + 8j]]], np.complex64)
    assert to_parts(values, "complex_int16").tolist() == [[[1, 3]], [[2, 4]], [[5, 7]], [[6, 8]]]


def test_every_dtype_of_rasterio_is_taken() -> None:
    """float16 and CInt32 are not among them: rasterio 1.4 has no name for them."""
    assert set(DTYPES) == {name for name in rasterio.dtypes.dtype_fwd.values() if name}


def test_a_header_of_complex_values_must_be_lossless(tmp_path: Path) -> None:
    path = compressed(write(tmp_path / "x.tif", "complex64"))
    with open_container(path) as container:
        header = container.header
    assert unpack_header(*pack_header(header)) == header
    with pytest.raises(SarzFormatError, match="complex64 and is not lossless"):
        pack_header(replace(header, lossless=False))


@pytest.mark.parametrize("dtype", COMPLEX_DTYPES)
@pytest.mark.parametrize("kind", ["constant", "checkerboard", "noise"])
def test_adversarial_rasters(tmp_path: Path, dtype: str, kind: str) -> None:
    shape = (1, 70, 70)
    part = part_dtype(dtype)
    if kind == "noise":
        planes = np.random.default_rng(0).integers(0, 256, (2, 70, 70 * part.itemsize), dtype=np.uint8).view(part)
    else:
        limits = np.iinfo(part) if part.kind == "i" else np.finfo(part)
        low = limits.max if kind == "constant" else limits.min
        planes = np.where(np.indices((2, 70, 70)).sum(0) % 2, low, limits.max).astype(part)
    values = from_parts(planes, dtype)
    path = compressed(write(tmp_path / "x.tif", dtype, values))
    with sarz.open(path) as dataset:
        assert dataset.shape == shape[1:]
        assert dataset.read().tobytes() == values.tobytes()
    assert path.stat().st_size < 1.02 * planes.nbytes + 2000
