"""Decimated reads equal rasterio's of a GeoTIFF of the same pixels that has the same overviews."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from array_decoder import ArrayDecoder, open_like
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.control import GroundControlPoint
from rasterio.enums import Resampling
from rasterio.windows import Window
from test_metadata import rational_polynomials
from test_reader_oracle import POINTS, UTM, assert_same, assert_same_answer, write

import sarz_format as sarz
from sarz_format import reader_copy
from sarz_format.overview import overview_box, overview_factors
from sarz_format.reader import Dataset

BANDS, HEIGHT, WIDTH = 3, 1101, 1190
FACTORS = [2, 4, 8]
KINDS = ("uint16", "float32", "int16", "points", "alpha")

pytestmark = pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning")  # rasterio 1.4 with affine 3


def pixels(dtype: str, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    values = rng.gamma(4, 30, (BANDS, HEIGHT, WIDTH)).astype(dtype)
    values[:, rng.random((HEIGHT, WIDTH)) < 0.05] = 0
    values[0, :200, :300] = 0
    return values


def with_overviews(path: Path) -> Path:
    """Give a GeoTIFF overviews of its own, of pixels that no other way of decimating gives."""
    with rasterio.open(path, "r+") as dst:
        dst.build_overviews(FACTORS, Resampling.mode)
    return path


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Dataset, rasterio.DatasetReader]]:
    folder = tmp_path_factory.mktemp("overviews")
    floats = pixels("float32", 1)
    floats[floats == 0] = np.nan
    points = {"gcps": [GroundControlPoint(p.row * 7, p.col * 5, p.x, p.y, p.z) for p in POINTS["gcps"]],
              "crs": POINTS["crs"]}
    paths = {
        "uint16": write(folder / "uint16.tif", pixels("uint16", 0), nodata=0, **UTM),
        "float32": write(folder / "float32.tif", floats, nodata=np.nan, **UTM),
        "int16": write(folder / "int16.tif", pixels("int16", 2) - np.int16(100), **UTM),
        "points": write(folder / "points.tif", pixels("uint16", 3), nodata=0, **points),
        "alpha": write(folder / "alpha.tif", pixels("uint16", 5), photometric="MINISBLACK", alpha="YES", **UTM),
    }  # fmt: skip
    with rasterio.open(paths["alpha"], "r+") as dst:
        dst.write(np.where(dst.read(3) > 100, 65535, 0).astype("uint16"), 3)
    return {kind: (open_like(with_overviews(path)), rasterio.open(path)) for kind, path in paths.items()}


@st.composite
def windows(draw: st.DrawFn) -> Window:
    step = draw(st.sampled_from([0, 0, 0.5, 0.3]))
    row, col = draw(st.integers(-10, HEIGHT - 2)), draw(st.integers(-10, WIDTH - 2))
    height, width = draw(st.integers(1 - min(row, 0), HEIGHT)), draw(st.integers(1 - min(col, 0), WIDTH))
    return Window(col + step, row + step / 3, width + step / 2, height + step / 2)


@st.composite
def reads(draw: st.DrawFn) -> dict[str, Any]:
    return {
        "indexes": draw(st.one_of(st.none(), st.integers(1, BANDS), st.lists(st.integers(1, BANDS), min_size=1, max_size=3))),
        "window": draw(st.one_of(st.none(), windows())),
        "masked": draw(st.booleans()),
        "resampling": draw(st.sampled_from([Resampling.nearest, Resampling.nearest, Resampling.bilinear,
                                            Resampling.average, Resampling.cubic, Resampling.mode, Resampling.gauss])),
        "out_dtype": draw(st.sampled_from([None, None, "float64", "uint8"])),
        "out_shape": draw(st.tuples(st.integers(1, 700), st.integers(1, 700))),
    }  # fmt: skip


@settings(max_examples=80, deadline=None)
@given(kind=st.sampled_from(KINDS), call=reads())
def test_read_equals_rasterio(pairs: dict[str, Any], kind: str, call: dict[str, Any]) -> None:
    ours, theirs = pairs[kind]
    assert_same_answer(ours.read, theirs.read, call)


@settings(max_examples=30, deadline=None)
@given(kind=st.sampled_from(KINDS), call=reads())
def test_masks_equal_rasterio(pairs: dict[str, Any], kind: str, call: dict[str, Any]) -> None:
    ours, theirs = pairs[kind]
    call = {key: call[key] for key in ("window", "resampling", "out_shape")}
    assert_same(ours.dataset_mask(**call), theirs.dataset_mask(**call), (kind, call))
    assert_same(ours.read_masks(2, **call), theirs.read_masks(2, **call), (kind, call))


@settings(max_examples=30, deadline=None)
@given(ratio=st.sampled_from([1.0, 1.6, 1.61, 1.66, 1.67, 1.8, 1.9, 1.95, 2.0, 2.1, 3.2, 3.3, 3.9, 4.0, 6.4, 6.6, 7.9, 8.2, 30]),
       other=st.sampled_from([0.5, 1.0, 2.0, 4.0, 9.0]), resampling=st.sampled_from([Resampling.nearest, Resampling.bilinear]))
def test_the_overview_is_the_one_that_gdal_takes(
    pairs: dict[str, Any], ratio: float, other: float, resampling: Resampling
) -> None:
    ours, theirs = pairs["int16"]
    call = {"out_shape": (max(1, round(HEIGHT / ratio)), max(1, round(WIDTH / other))), "resampling": resampling}
    assert_same(ours.read(**call), theirs.read(**call), call)


@pytest.mark.parametrize("limit", [0, 1 << 40])
def test_in_memory_and_on_disk(pairs: dict[str, Any], limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader_copy, "MEMORY_LIMIT", limit)
    monkeypatch.setattr(reader_copy, "STRIP_BYTES", 1)
    ours, theirs = pairs["uint16"]
    assert_same(ours.read(out_shape=(100, 110)), theirs.read(out_shape=(100, 110)), limit)


def test_nothing_is_left_in_memory_of_gdal(pairs: dict[str, Any]) -> None:
    ours, _ = pairs["uint16"]
    names: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        real = reader_copy._delete_overview
        patch.setattr(reader_copy, "_delete_overview", lambda path: (names.append(path), real(path)))
        ours.read(out_shape=(100, 110))
    assert names and not any(rasterio.shutil.exists(name + ".ovr") for name in names)


def test_only_pixels_of_the_overview_are_decoded(pairs: dict[str, Any]) -> None:
    ours, _ = pairs["uint16"]
    decoder: ArrayDecoder = ours._window_decoder()
    decoder.boxes.clear(), decoder.overview_boxes.clear()
    ours.read(window=Window(800, 800, 160, 80), out_shape=(10, 20))
    assert not decoder.boxes
    [(row, col, height, width)] = decoder.overview_boxes
    assert 90 <= row <= 100 and 90 <= col <= 100 and height <= 20 and width <= 30


def test_without_overviews_the_pixels_themselves_are_read(pairs: dict[str, Any], tmp_path: Path) -> None:
    _, theirs = pairs["uint16"]
    plain = write(tmp_path / "plain.tif", theirs.read(), nodata=0, **UTM)
    with open_like(plain, overviews=False) as dataset, rasterio.open(plain) as src:
        assert dataset.overviews(1) == FACTORS
        call = {"out_shape": (70, 80), "resampling": Resampling.average}
        assert_same(dataset.read(**call), src.read(**call), call)


def test_boundless_reads_do_not_go_by_overviews(pairs: dict[str, Any]) -> None:
    ours, _ = pairs["uint16"]
    decoder: ArrayDecoder = ours._window_decoder()
    decoder.overview_boxes.clear()
    ours.read(1, window=Window(-100, -100, 900, 900), boundless=True, out_shape=(90, 90))
    assert not decoder.overview_boxes


def test_damage_without_nodata_is_masked(pairs: dict[str, Any], tmp_path: Path) -> None:
    _, theirs = pairs["int16"]
    path = with_overviews(write(tmp_path / "damaged.tif", theirs.read(), **UTM))
    with open_like(path) as dataset:
        damaged = np.zeros((HEIGHT, WIDTH), bool)
        damaged[:200, :200] = True
        dataset._window_decoder().damaged = damaged
        masked = dataset.read(1, out_shape=(110, 119), masked=True)
        assert masked.mask[:19, :19].all() and not masked.mask[25:, 25:].any()


@pytest.mark.parametrize("kind", ["uint16", "points"])
@pytest.mark.parametrize("level", [0, 2])
def test_an_overview_opened_as_the_raster(pairs: dict[str, Any], kind: str, level: int) -> None:
    ours, theirs = pairs[kind]
    factory = ours._window_decoder()
    opened = sarz.open(ours.name, overview_level=level)
    small = Dataset(opened._opened(), opened.options, decoder_factory=factory)
    with rasterio.open(theirs.name, overview_level=level) as expected:
        assert small.shape == expected.shape and small.overviews(1) == overview_factors(*expected.shape)
        if kind != "points":  # GDAL gives zeros there
            np.testing.assert_allclose(small.transform[:6], expected.transform[:6], rtol=1e-12)
        ours_at, theirs_at = ([(p.row, p.col) for p in points.gcps[0]] for points in (small, expected))
        np.testing.assert_allclose(ours_at, theirs_at)
        assert_same(small.read(), expected.read(), level)
        window = Window(10, 5, 60, 50)
        assert_same(small.read(2, window=window, masked=True), expected.read(2, window=window, masked=True), level)
    again = pickle.loads(pickle.dumps(small))
    assert again.shape == small.shape
    again.close(), small.close()


def test_no_such_overview(pairs: dict[str, Any]) -> None:
    name = pairs["uint16"][0].name
    with pytest.raises(sarz.SarzOptionError, match=r"overview_level 3: the raster has 3 overview\(s\)"):
        sarz.open(name, overview_level=3)
    with pytest.raises(sarz.SarzOptionError, match="overview_level is -1"):
        sarz.open(name, overview_level=-1)
    with pytest.raises(sarz.SarzOptionError, match="overviews is 1"):
        sarz.open(name, overviews=1)


def test_rpcs_are_scaled_as_gdal_does_it(tmp_path: Path) -> None:
    path = write(tmp_path / "rpcs.tif", pixels("uint16", 0), **UTM)
    with rasterio.open(path, "r+") as dst:
        dst.rpcs = rational_polynomials()
    with_overviews(path)
    with open_like(path) as ours, rasterio.open(path, overview_level=1) as expected:
        small = sarz.open(ours.name, overview_level=1)
        for name in ("line_off", "line_scale", "samp_off", "samp_scale"):
            assert getattr(small.rpcs, name) == pytest.approx(getattr(expected.rpcs, name), rel=1e-9)


@pytest.mark.parametrize("factor", [2, 8])
def test_read_overview(pairs: dict[str, Any], factor: int) -> None:
    ours, theirs = pairs["uint16"]
    with rasterio.open(theirs.name, overview_level=FACTORS.index(factor)) as small:
        expected = small.read()
    assert expected.shape[1:] == overview_box(HEIGHT, WIDTH, factor).shape
    np.testing.assert_array_equal(ours.read_overview(factor), expected)
    np.testing.assert_array_equal(ours.read_overview(factor, indexes=2), expected[1])
    np.testing.assert_array_equal(ours.read_overview(factor, indexes=[3, 1, 3]), expected[[2, 0, 2]])
    window = Window(3, 2, 5, 4)
    np.testing.assert_array_equal(ours.read_overview(factor, window, [2]), expected[1:2, 2:6, 3:8])
    np.testing.assert_array_equal(ours.read_overview(factor, ((2, 6), (3, None))), expected[:, 2:6, 3:])


@pytest.mark.parametrize("factor", [0, 1, 3, -2, 2.0, True, 1 << 17, "8"])
def test_refused_factors(pairs: dict[str, Any], factor: Any) -> None:
    with pytest.raises(sarz.SarzOptionError, match="expected a power of two"):
        pairs["uint16"][0].read_overview(factor)


def test_refused_windows(pairs: dict[str, Any]) -> None:
    ours, _ = pairs["uint16"]
    with pytest.raises(sarz.SarzWindowError, match="whole pixels"):
        ours.read_overview(8, Window(0.5, 0, 3, 3))
    with pytest.raises(sarz.SarzWindowError, match="outside"):
        ours.read_overview(8, Window(149, 0, 3, 3))
    with pytest.raises(IndexError):
        ours.read_overview(8, indexes=4)
