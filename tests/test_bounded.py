"""Files with a bound: every valid pixel, as it is written back, is within it, whatever the raster."""

from __future__ import annotations

import json
import math
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from click.testing import CliRunner, Result
from conftest import speckled_db, write_geotiff
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.rio.main import main_group
from rasterio.windows import Window
from test_lossless import FLOATS, INTEGERS, no_models

import sarz_format as sarz
from sarz_format.container import open_container
from sarz_format.index import BOUNDED, EMPTY, FALLBACK

TILE = 64
FACTORS = {"amplitude": 20, "intensity": 10}
DTYPES = INTEGERS + FLOATS

Bound = dict[str, float]
"""``max_error_db`` or ``max_error``, as an argument of `sarz.compress`."""


def bits(values: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(values).view(f"u{values.dtype.itemsize}")


def assert_within(original: np.ndarray, decoded: np.ndarray, scale: str, bound: Bound, nodata: float | None = None,
                  gain: float = 1.0) -> None:
    """Compare by the definition, in extended precision: what has to be exact, and the error of all else."""
    ((name, value),) = bound.items()
    ratio = name == "max_error_db" and scale != "db"
    fill = np.zeros(original.shape, bool) if nodata is None else (original == nodata) | (np.isnan(original) & np.isnan(nodata))
    with np.errstate(invalid="ignore"):
        exact = ~np.isfinite(original) | (original == 0) | (ratio & (original < 0))
    assert np.array_equal(bits(decoded)[exact & ~fill], bits(original)[exact & ~fill])
    assert np.array_equal(decoded[fill], original[fill], equal_nan=True)
    a, b = (x[~exact & ~fill].astype(np.longdouble) for x in (original, decoded))
    if nodata is not None:
        assert not (b == nodata).any()
    assert (b != 0).all()
    if ratio:
        assert (b > 0).all()
        error = FACTORS[scale] * np.abs(np.log10(b / a))
    else:
        error = np.abs(b - a) * abs(np.longdouble(gain))
    assert (error <= np.longdouble(value) * (1 + np.longdouble(1e-9))).all()


def compressed(folder: Path, values: np.ndarray, bound: Bound, scale: str = "auto", nodata: float | None = None,
               **tags: Any) -> tuple[Path, Path, Any]:
    raster = write_geotiff(folder / "x.tif", values, nodata=nodata)
    if tags:
        with rasterio.open(raster, "r+") as dst:
            for key, value in tags.items():
                setattr(dst, key, value)
    report = sarz.compress(raster, folder / "x.sarz", tile_size=TILE, scale=scale, overwrite=True, **bound)
    return raster, folder / "x.sarz", report


# Any raster


def extremes(dtype: np.dtype, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """The odd numbers of a dtype."""
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        return rng.choice(np.array([info.min, info.min + 1, 0, 1, 2, 3, 7, info.max - 1, info.max], dtype), shape)
    info = np.finfo(dtype)
    tiny = info.smallest_subnormal
    odd = np.array([np.nan, -np.nan, np.inf, -np.inf, 0.0, -0.0, tiny, -tiny, tiny * 3, info.tiny, info.tiny / 4, info.max,
                    -info.max, info.eps, 1, 1 + info.eps, -1, 1e-30, 1e30], dtype)
    values = rng.choice(odd, shape)
    payload = rng.integers(0, 4, shape).astype(f"u{dtype.itemsize}")
    where = np.isnan(values)
    bits(values)[where] += payload[where]
    return values


def content(kind: str, dtype: np.dtype, rng: np.random.Generator, shape: tuple[int, int, int]) -> np.ndarray:
    """A raster of some kind."""
    rows, cols = np.indices(shape[1:])
    if kind == "extremes":
        return extremes(dtype, rng, shape)
    if kind == "bits":
        return rng.integers(0, 256, (*shape, dtype.itemsize), dtype=np.uint8).view(dtype)[..., 0]
    if kind == "checkerboard":
        two = extremes(dtype, rng, (2,))
        return np.broadcast_to(np.where((rows + cols) % 2, *two), shape).astype(dtype)
    if kind == "constant":
        return np.full(shape, extremes(dtype, rng, (1,))[0])
    high = min(float(np.iinfo(dtype).max), 3e5) if dtype.kind in "iu" else 3e5
    if kind == "wide":  # 600 dB in floats: every exponent counts
        exponents = rng.uniform(-30 if dtype.kind == "f" else 0, math.log10(high), shape)
        values = (10**exponents).astype(dtype)
    else:
        values = (0.4 * high * 10 ** ((speckled_db(shape) + 5) / 20)).clip(0, high).astype(dtype)
    if kind == "signed" and dtype.kind != "u":
        values[rng.random(shape) < 0.5] *= -1
    if kind == "mixed":
        odd = rng.random(shape) < 0.03
        values[odd] = extremes(dtype, rng, shape)[odd]
    return values


KINDS = ("extremes", "bits", "checkerboard", "constant", "wide", "signed", "mixed")
BOUNDS_DB = (0.01, 0.05, 0.25, 1.0, 3.0, 10.0)
BOUNDS = (5e-324, 1e-12, 1e-3, 0.5, 1.0, 3.0, 77.5, 1e6, 1e300)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(DTYPES), st.sampled_from(KINDS), st.sampled_from(["amplitude", "intensity", "db"]),
       st.sampled_from([("max_error_db", b) for b in BOUNDS_DB] + [("max_error", b) for b in BOUNDS] + [("lossless", True)]),
       st.tuples(st.integers(1, 3), st.sampled_from([1, 2, 63, 65, 70]), st.sampled_from([1, 3, 64, 130])),
       st.integers(0, 2**32 - 1), st.sampled_from([None, 0, 1, math.nan, "value"]))
def test_any_raster_keeps_any_bound(tmp_path_factory: pytest.TempPathFactory, dtype: str, kind: str, scale: str,
                                    goal: tuple[str, Any], shape: tuple[int, int, int], seed: int, nodata: Any) -> None:
    values = content(kind, np.dtype(dtype), np.random.default_rng(seed), shape)
    nodata = values.flat[values.size // 2].item() if nodata == "value" else nodata
    if dtype in INTEGERS and nodata is not None and math.isnan(nodata):
        nodata = None
    if nodata is not None and not math.isnan(nodata) and abs(nodata) > 2**53:  # GDAL's nodata values are doubles
        nodata = None
    name, value = goal
    folder = tmp_path_factory.mktemp("any")
    raster, path, report = compressed(folder, values, {name: value}, scale, nodata)
    with rasterio.open(raster) as src, sarz.open(path) as dst:
        values, decoded = src.read(), dst.read()
        assert np.array_equal(src.read_masks(), dst.read_masks())
    if report.lossless:
        assert decoded.tobytes() == values.tobytes()
    else:
        assert_within(values, decoded, scale, {name: value}, nodata)
        assert report.bound["worst"] <= value * (1 + 1e-9)
    checked = sarz.verify(path, raster)
    assert checked.problems == []
    assert checked.bound is None or checked.bound["pixels_outside"] == 0


# Real ones


@pytest.mark.parametrize("name", ["harvey_grd", "harvey_sigma0", "harvey_vv_vh_db", "spatialist_vv_db"])
@pytest.mark.parametrize("bound", [{"max_error_db": 0.25}, {"max_error_db": 1.0}, {"max_error": 0.7}])
def test_real_rasters(tmp_path: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch, name: str, bound: Bound) -> None:
    raster, path = data_dir / f"{name}.tif", tmp_path / "x.sarz"
    no_models(monkeypatch)
    if name == "harvey_grd" and "max_error" in bound:
        bound = {"max_error": 8.1}
    report = sarz.compress(raster, path, tile_size=128, **bound)
    ((_, value),) = bound.items()
    with rasterio.open(raster) as src, sarz.open(path) as dst:
        values, decoded = src.read(), dst.read()
        assert_within(values, decoded, report.scale, bound, src.nodata)
        window = Window(100, 90, 60, 55)
        assert np.array_equal(dst.read(1, window=window), decoded[0, 90:145, 100:160], equal_nan=True)
        again = pickle.loads(pickle.dumps(dst))
        assert np.array_equal(again.read(), decoded, equal_nan=True)
        again.close()
    assert 0.97 * value < report.bound["worst"] <= value * (1 + 1e-9)
    assert max(report.bound["worst_by_band"]) == report.bound["worst"]
    assert report.fallback_tiles == report.empty_tiles == 0 and report.arithmetic == "none"
    if report.scale == "db" or "max_error_db" in bound:
        assert report.max_error_db == pytest.approx(report.bound["worst"], abs=6e-4)
    assert sarz.verify(path).ok and sarz.verify(path, raster).ok
    sarz.decompress(path, tmp_path / "y.tif", cog=True)
    with rasterio.open(tmp_path / "y.tif") as back:
        assert np.array_equal(back.read(), decoded, equal_nan=True)


def test_decibels_in_hundredths_are_within_whole_numbers(tmp_path: Path) -> None:
    values = np.rint(100 * speckled_db((2, 70, 90))).astype(np.int16)
    values[:, :9, :9] = -32768
    raster, path, report = compressed(tmp_path, values, {"max_error_db": 0.3}, nodata=-32768, scales=(0.01, 0.1),
                                      offsets=(0, 3))
    assert report.scale == "db" and report.bound["worst_by_band"] == pytest.approx([0.03, 0.3])
    with sarz.open(path) as src:
        decoded = src.read()
    # The pair is coded together, so the coarser band's scale decides: 3 numbers.
    assert_within(values[:1], decoded[:1], "db", {"max_error_db": 0.03}, -32768, 0.01)
    assert_within(values[1:], decoded[1:], "db", {"max_error_db": 0.3}, -32768, 0.1)
    assert sarz.verify(path, raster).ok


@pytest.mark.parametrize(("scale", "bound"), [("amplitude", {"max_error": 0.99}), ("db", {"max_error_db": 0.5})])
def test_a_bound_below_the_resolution_is_lossless_and_says_so(tmp_path: Path, scale: str, bound: Bound) -> None:
    values = np.random.default_rng(1).integers(1, 99, (2, 70, 70)).astype(np.int16)
    raster, path, report = compressed(tmp_path, values, bound, scale)
    assert report.lossless and report.bound is None and report.fallback_tiles == report.tiles
    assert "below the resolution of int16 numbers: stored losslessly" in report.notes[0]
    assert sarz.verify(path, raster).ok


def test_lossless_where_that_is_smaller(tmp_path: Path) -> None:
    """A ramp that repeats deflates to next to nothing; speckle beside it is coded within the bound."""
    values = np.tile(np.arange(1, 65, dtype=np.uint16) * 601, (1, 64, 3))
    values[0, :, 128:] = (3e4 * 10 ** (speckled_db((64, 64)) / 20)).astype(np.uint16) + 1
    _, path, report = compressed(tmp_path, values, {"max_error_db": 0.25}, "amplitude")
    with open_container(path) as container:
        assert container.index.entries["flags"].tolist() == [EMPTY | FALLBACK] * 2 + [EMPTY | BOUNDED]
    assert (report.tiles, report.fallback_tiles) == (3, 2)


def test_angles_and_alpha_bands_are_exact(tmp_path: Path) -> None:
    values = (10 ** (speckled_db((3, 70, 90)) / 10)).astype(np.float32)
    raster, path, report = compressed(tmp_path, values, {"max_error_db": 1.0},
                                      descriptions=("VV", "localIncidenceAngle", "VH"))
    with sarz.open(path) as src:
        decoded = src.read()
    assert decoded[1].tobytes() == values[1].tobytes() and (decoded[::2] != values[::2]).any()
    assert "band 2 (localIncidenceAngle) is an incidence angle: kept losslessly" in report.notes
    assert sarz.verify(path, raster).ok


def test_a_scale_of_zero_has_no_bound(tmp_path: Path) -> None:
    with pytest.raises(sarz.UnsupportedRasterError, match="band 1 has scale 0"):
        compressed(tmp_path, np.ones((1, 5, 5), np.uint8), {"max_error": 2.0}, "amplitude", scales=(0.0,))


@pytest.mark.parametrize("workers", [1, 3])
def test_the_same_bytes_from_any_number_of_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, harvey_grd: Path,
                                                   workers: int) -> None:
    from sarz_format.codec import pool

    monkeypatch.setattr(pool, "_pool", None)
    monkeypatch.setattr(pool, "worker_count", lambda: workers)
    sarz.compress(harvey_grd, tmp_path / "x.sarz", max_error_db=0.5, tile_size=128)
    monkeypatch.undo()
    sarz.compress(harvey_grd, tmp_path / "y.sarz", max_error_db=0.5, tile_size=128)
    assert (tmp_path / "x.sarz").read_bytes() == (tmp_path / "y.sarz").read_bytes()


# What is asked for and told


@pytest.mark.parametrize(("given", "message"), [
    ({"max_error_db": 0.5, "quality": 50}, "quality and max_error_db are given: expected one of quality, rmse_db"),
    ({"max_error_db": 0.5, "max_error": 5}, "max_error_db and max_error are given"),
    ({"max_error": 5, "lossless": True}, "lossless and max_error are given"),
    ({"max_error": 5, "bpp": 1}, "bpp and max_error are given"),
    ({"max_error": 0}, "max_error 0: expected a finite number above 0"),
    ({"max_error": math.inf}, "max_error inf"),
    ({"max_error": "1"}, "max_error '1'"),
    ({"max_error_db": 0.009}, "max_error_db 0.009: expected 0.01 to 10"),
    ({"max_error_db": 11}, "max_error_db 11"),
    ({"max_error_db": math.nan}, "max_error_db nan"),
    ({"max_error_db": True}, "max_error_db True"),
])
def test_options_that_do_not_go(tmp_path: Path, harvey_grd: Path, given: dict[str, Any], message: str) -> None:
    with pytest.raises(sarz.SarzOptionError, match=message):
        sarz.compress(harvey_grd, tmp_path / "x.sarz", **given)
    assert not list(tmp_path.iterdir())


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main_group, ["sarcodec", *map(str, arguments)])


def test_the_command_line_shows_bound_and_worst_error(tmp_path: Path, harvey_grd: Path) -> None:
    path = tmp_path / "x.sarz"
    made = run("compress", harvey_grd, path, "--max-error-db", 0.5)
    assert made.exit_code == 0 and "bound 0.5 dB, worst 0.4999" in made.stdout and "quality" not in made.stdout
    shown = run("info", path)
    assert "coding      every pixel within 0.5 dB, tiles of 512" in shown.stdout and "0 coded, 1 bounded" in shown.stdout
    assert "model" not in shown.stdout
    described = json.loads(run("info", "--json", "--tiles", path).stdout)
    assert described["bound"] == {"unit": "db", "value": 0.5} and described["tile_table"][0]["kind"] == "bounded"
    checked = run("verify", path, "--against", harvey_grd)
    assert checked.exit_code == 0 and "bound    0.5 dB, worst 0.4999: kept" in checked.stdout
    assert "bound    0.5 dB\n" in run("verify", path).stdout
    compared = run("compare", harvey_grd, path)
    assert "amplitude, bound 0.5 dB" in compared.stdout
    assert json.loads(run("compare", harvey_grd, path, "--json").stdout)["bound_b"] == {"unit": "db", "value": 0.5}
    refused = run("compress", harvey_grd, path, "--max-error", 5, "--lossless", "--overwrite")
    assert refused.exit_code == 2 and "--max-error and --lossless exclude each other" in refused.stderr
    assert run("compress", harvey_grd, path, "--max-error-db", 20, "--overwrite").exit_code == 2


def test_a_violated_bound_is_found_and_fails(tmp_path: Path, harvey_grd: Path) -> None:
    path, other = tmp_path / "x.sarz", tmp_path / "other.tif"
    sarz.compress(harvey_grd, path, max_error_db=0.5, tile_size=128)
    with rasterio.open(harvey_grd) as src:
        values, profile = src.read(), src.profile
        with sarz.open(path) as dst:
            decoded = dst.read()
        gcps = src.gcps
    values[1, 200, 300] = 2 * decoded[1, 200, 300]
    values[1, 201, 7] = math.ceil(1.06 * decoded[1, 201, 7])
    with rasterio.open(other, "w", **{**profile, "crs": None}) as dst:
        dst.write(values)
        dst.gcps = gcps
    report = sarz.verify(path, other)
    worst = report.bands[1]["measured"]["bound"]
    assert (worst["worst_row"], worst["worst_col"], worst["pixels_outside"]) == (200, 300, 2)
    assert report.bound["pixels_outside"] == 2 and report.bound["worst"] == pytest.approx(20 * math.log10(2))
    assert any("band 2: 2 pixels are off by more than the bound of 0.5 dB, the first at row 200, column 300, the furthest "
               "by 6.0206" in problem for problem in report.problems)
    result = run("verify", path, "--against", other)
    assert result.exit_code == 1 and "NOT KEPT by 2 pixels" in result.stdout


def test_a_damaged_tile_is_masked_alone(tmp_path: Path, harvey_grd: Path) -> None:
    path = tmp_path / "x.sarz"
    sarz.compress(harvey_grd, path, max_error_db=0.5, tile_size=128)
    with sarz.open(path) as src:
        whole = src.read()
    with open_container(path) as container:
        entry = container.index.entry(1, 2, 0)
    data = bytearray(path.read_bytes())
    data[entry.detail_offset + 40] ^= 1
    with pytest.raises(sarz.DamagedTileError, match="CRC-32"):
        sarz.open(bytes(data)).read()
    with pytest.warns(sarz.errors.TileDamageWarning), sarz.open(bytes(data), on_damage="mask") as src:
        values = src.read()
    assert not values[:, 128:256, 256:384].any()
    values[:, 128:256, 256:384] = whole[:, 128:256, 256:384]
    assert np.array_equal(values, whole)
    assert sarz.verify(bytes(data)).damaged_tiles == [(1, 2, 0)]
