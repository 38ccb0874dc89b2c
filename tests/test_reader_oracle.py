"""The reader's oracle is rasterio: the same call on a GeoTIFF of the same pixels gives the same answer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from array_decoder import ArrayDecoder, open_like
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from rasterio.control import GroundControlPoint
from rasterio.enums import Resampling
from rasterio.windows import Window

from sarz_format import reader_copy
from sarz_format.reader import Dataset

HEIGHT, WIDTH, BANDS = 150, 209, 3
UTM = {"crs": "EPSG:32633", "transform": Affine(10, 0, 500_000, 0, -10, 5_000_000)}
POINTS = {
    "gcps": [GroundControlPoint(row, col, 10 + col / 1e3, 45 - row / 1e3, 0, f"{row}-{col}", "")
             for row in (0, 75, 150) for col in (0, 100, 209)],
    "crs": "EPSG:4326",
}  # fmt: skip
KINDS = ("uint16", "float32", "int16", "points", "rotated", "alpha")

pytestmark = [
    pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning"),
    pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning"),  # rasterio 1.4 with affine 3
]


def pixels(dtype: str, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    values = rng.gamma(4, 30, (BANDS, HEIGHT, WIDTH)).astype(dtype)
    values[:, rng.random((HEIGHT, WIDTH)) < 0.05] = 0
    values[0, :20, :30] = 0
    return values


def write(path: Path, values: np.ndarray, **profile: Any) -> Path:
    count, height, width = values.shape
    with rasterio.open(
        path, "w", driver="GTiff", count=count, height=height, width=width, dtype=values.dtype, tiled=True,
        blockxsize=64, blockysize=64, interleave="band", **profile,
    ) as dst:  # fmt: skip
        dst.write(values)
    return path


@pytest.fixture(scope="session")
def geotiffs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("reader")
    floats = pixels("float32", 1)
    floats[floats == 0] = np.nan
    paths = {
        "uint16": write(folder / "uint16.tif", pixels("uint16", 0), nodata=0, **UTM),
        "float32": write(folder / "float32.tif", floats, nodata=np.nan, **UTM),
        "int16": write(folder / "int16.tif", pixels("int16", 2) - np.int16(100), **UTM),
        "points": write(folder / "points.tif", pixels("uint16", 3), nodata=0, **POINTS),
        "rotated": write(folder / "rotated.tif", pixels("uint8", 4), nodata=255, crs="EPSG:4326",
                         transform=Affine(0.01, 0.002, 7, 0.003, 0.02, -50)),
        "alpha": write(folder / "alpha.tif", pixels("uint16", 5), photometric="MINISBLACK", alpha="YES", **UTM),
    }  # fmt: skip
    with rasterio.open(paths["alpha"], "r+") as dst:
        dst.write(np.where(dst.read(3) > 100, 65535, 0).astype("uint16"), 3)
    return paths


@pytest.fixture(scope="session")
def pairs(geotiffs: dict[str, Path]) -> dict[str, tuple[Dataset, rasterio.DatasetReader]]:
    return {kind: (open_like(path), rasterio.open(path)) for kind, path in geotiffs.items()}


def assert_same(ours: np.ndarray, theirs: np.ndarray, call: object) -> None:
    assert type(ours) is type(theirs), call
    assert ours.dtype == theirs.dtype, call
    assert ours.shape == theirs.shape, call
    np.testing.assert_array_equal(np.ma.getdata(ours), np.ma.getdata(theirs), str(call))
    if isinstance(theirs, np.ma.MaskedArray):
        np.testing.assert_array_equal(np.ma.getmaskarray(ours), np.ma.getmaskarray(theirs), str(call))
        assert (ours.mask is np.ma.nomask) == (theirs.mask is np.ma.nomask), call
        np.testing.assert_equal(ours.fill_value, theirs.fill_value, str(call))


def assert_same_answer(
    ours: Callable[..., np.ndarray], theirs: Callable[..., np.ndarray], call: dict[str, Any]
) -> None:
    """Both give the same array, or both fail."""
    try:
        expected = theirs(**call)
    except (TypeError, ValueError) as exc:  # NaN as the fill value of integers, for example
        with pytest.raises(type(exc)):
            ours(**call)
    else:
        assert_same(ours(**call), expected, call)


def windows(boundless: bool) -> st.SearchStrategy[Window]:
    """Windows that meet the raster (or any, if boundless), of whole and of broken pixels."""
    low = -40 if boundless else -10

    @st.composite
    def build(draw: st.DrawFn) -> Window:
        step = draw(st.sampled_from([1, 1, 0.5, 0.3]))
        row, col = draw(st.integers(low, HEIGHT - 2)), draw(st.integers(low, WIDTH - 2))
        height, width = draw(st.integers(1 - min(row, 0), 120)), draw(st.integers(1 - min(col, 0), 120))
        grow = 0 if step == 1 else draw(st.sampled_from([0.25, 0.7]))
        return Window(col + (step != 1) * step, row + (step != 1) * step / 3, width + grow, height + grow)

    return build()


@st.composite
def reads(draw: st.DrawFn) -> dict[str, Any]:
    boundless = draw(st.booleans())
    indexes = draw(st.one_of(st.none(), st.integers(1, BANDS), st.lists(st.integers(1, BANDS), min_size=1, max_size=4)))
    call = {
        "indexes": indexes,
        "window": draw(st.one_of(st.none(), windows(boundless))),
        "boundless": boundless,
        "masked": draw(st.booleans()),
        "fill_value": draw(st.sampled_from([None, None, 7])),
        "resampling": draw(st.sampled_from([
            Resampling.nearest, Resampling.nearest, Resampling.bilinear, Resampling.average, Resampling.cubic,
            Resampling.lanczos, Resampling.gauss, Resampling.mode, Resampling.cubic_spline, Resampling.rms,
        ])),
        "out_dtype": draw(st.sampled_from([None, None, "float64", "uint8", "int32"])),
    }  # fmt: skip
    shape = draw(st.one_of(st.none(), st.tuples(st.integers(1, 130), st.integers(1, 130))))
    return call if shape is None else {**call, "out_shape": shape}


@settings(max_examples=300, deadline=None)
@given(kind=st.sampled_from(KINDS), call=reads())
def test_read_equals_rasterio(pairs: dict[str, Any], kind: str, call: dict[str, Any]) -> None:
    assume(not (kind == "rotated" and call["boundless"]))  # shifted in rasterio, see below
    ours, theirs = pairs[kind]
    assert_same_answer(ours.read, theirs.read, call)


@settings(max_examples=100, deadline=None)
@given(kind=st.sampled_from(KINDS), call=reads())
def test_read_masks_equal_rasterio(pairs: dict[str, Any], kind: str, call: dict[str, Any]) -> None:
    assume(not (kind == "rotated" and call["boundless"]))
    ours, theirs = pairs[kind]
    call = {key: value for key, value in call.items() if key in ("window", "boundless", "resampling", "out_shape")}
    assert_same(ours.dataset_mask(**call), theirs.dataset_mask(**call), (kind, call))
    assert_same(ours.read_masks(2, **call), theirs.read_masks(2, **call), (kind, call))


@settings(max_examples=60, deadline=None)
@given(kind=st.sampled_from(KINDS), call=reads(), limit=st.sampled_from([0, 1 << 40]))
def test_copies_in_strips_and_on_disk_change_nothing(
    pairs: dict[str, Any], kind: str, call: dict[str, Any], limit: int
) -> None:
    assume(not (kind == "rotated" and call["boundless"]))
    ours, theirs = pairs[kind]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reader_copy, "MEMORY_LIMIT", limit)
        patch.setattr(reader_copy, "STRIP_BYTES", 1)
        patch.setattr(reader_copy, "_MAX_BLOCKS", 1000)
        assert_same_answer(ours.read, theirs.read, call)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("call", [
    {"window": ((3, 20), (None, 7))}, {"window": ((-20, None), (-9, -2))}, {"window": (slice(1, 9), slice(2, 4))},
    {"indexes": (2, 1)}, {"indexes": 3, "out_shape": (1, 20, 30)}, {"out_shape": (BANDS, 7, 9)},
    {"window": Window(5.3, 5.2, 0.3, 0.4), "out_shape": (4, 4)},
    {"masked": True}, {"out_dtype": "float32"},
])  # fmt: skip
def test_other_spellings_equal_rasterio(pairs: dict[str, Any], kind: str, call: dict[str, Any]) -> None:
    ours, theirs = pairs[kind]
    assert_same(ours.read(**call), theirs.read(**call), call)


@pytest.mark.parametrize("window", [((-20, 30), (-9, 50)), Window(-300, 4, 20, 20), Window(200, 140, 99, 99)])
def test_boundless_windows_of_a_rotated_raster_are_not_shifted(pairs: dict[str, Any], window: Any) -> None:
    ours, theirs = pairs["rotated"]
    padded = np.pad(theirs.read(), ((0, 0), (400, 400), (400, 400)), constant_values=255)
    (row0, row1), (col0, col1) = window.toranges() if isinstance(window, Window) else window
    expected = padded[:, 400 + row0 : 400 + row1, 400 + col0 : 400 + col1]
    np.testing.assert_array_equal(ours.read(window=window, boundless=True), expected)


@pytest.mark.parametrize("call", [{}, {"masked": True}, {"window": Window(3, 3, 30, 40)}])
@pytest.mark.parametrize(("indexes", "shape"), [(1, (50, 60)), (1, (1, 50, 60)), (None, (BANDS, HEIGHT, WIDTH))])
@pytest.mark.parametrize("dtype", ["uint16", "float32", "uint8"])
def test_out_takes_the_pixels(
    pairs: dict[str, Any], call: dict[str, Any], indexes: int | None, shape: tuple[int, ...], dtype: str
) -> None:
    ours, theirs = pairs["uint16"]
    mine, expected = np.zeros(shape, dtype), np.zeros(shape, dtype)
    got = ours.read(indexes, out=mine, **call)
    assert_same(got, theirs.read(indexes, out=expected, **call), call)
    np.testing.assert_array_equal(mine, expected)
    assert np.shares_memory(np.ma.getdata(got), mine)


ATTRIBUTES = (
    "profile meta crs transform gcps rpcs bounds res shape width height count indexes dtypes nodata nodatavals "
    "descriptions units scales offsets colorinterp block_shapes mask_flag_enums interleaving photometric"
).split()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ATTRIBUTES)
def test_attributes_equal_rasterio(pairs: dict[str, Any], kind: str, name: str) -> None:
    ours, theirs = (getattr(dataset, name) for dataset in pairs[kind])
    if name in ("profile", "meta"):
        theirs = {key: value for key, value in theirs.items() if key not in ("driver", "compress")}
        ours = {key: value for key, value in ours.items() if key != "driver"}
    if name == "gcps":
        (ours, our_crs), (theirs, their_crs) = ours, theirs
        assert our_crs == their_crs
        ours, theirs = ([point.asdict() for point in points] for points in (ours, theirs))
    assert type(ours) is type(theirs)
    np.testing.assert_equal(ours, theirs)


@pytest.mark.parametrize("kind", KINDS)
def test_methods_equal_rasterio(pairs: dict[str, Any], kind: str) -> None:
    ours, theirs = pairs[kind]
    assert list(ours.block_windows()) == list(theirs.block_windows()) == list(ours.block_windows(2))
    assert ours.block_window(1, 1, 2) == theirs.block_window(1, 1, 2)
    assert ours.tags() == theirs.tags()
    assert ours.tags(1) == theirs.tags(1)
    assert ours.overviews(1) == theirs.overviews(1)
    assert ours.checksum(2) == theirs.checksum(2)
    assert ours.checksum(1, Window(3, 4, 50, 60)) == theirs.checksum(1, Window(3, 4, 50, 60))
    window = Window(3, 4, 50.5, 60)
    assert ours.window_transform(window) == theirs.window_transform(window)
    assert ours.window_bounds(window) == theirs.window_bounds(window)
    bounds = theirs.window_bounds(Window(10, 20, 30, 40))
    if kind not in ("points", "rotated"):
        assert ours.window(*bounds) == theirs.window(*bounds)
        assert ours.lnglat() == theirs.lnglat()
    assert ours.xy(3, 4) == theirs.xy(3, 4)
    assert ours.index(*ours.xy(3, 4)) == (3, 4)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("masked", [False, True])
def test_sample_equals_rasterio(pairs: dict[str, Any], kind: str, masked: bool) -> None:
    ours, theirs = pairs[kind]
    places = [theirs.xy(row, col) for row, col in [(0, 0), (100, 100), (149, 208), (-5, 3), (20, 9999)]]
    for indexes in (None, 2, [3, 1]):
        for mine, expected in zip(
            ours.sample(places, indexes, masked), theirs.sample(places, indexes, masked), strict=True
        ):
            assert_same(mine, expected, (indexes, places))


def test_whole_pixels_are_decoded_without_margin(geotiffs: dict[str, Path]) -> None:
    with open_like(geotiffs["uint16"]) as dataset:
        decoder: ArrayDecoder = dataset._window_decoder()
        dataset.read(window=Window(10, 20, 30, 40))
        dataset.read(1, window=Window(10, 20, 30, 40), masked=True)
        assert decoder.boxes == [(20, 10, 40, 30)] * 2


def test_nearest_decimation_skips_tiles_without_a_pixel(geotiffs: dict[str, Path]) -> None:
    with open_like(geotiffs["uint16"]) as dataset:
        decoder: ArrayDecoder = dataset._window_decoder()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(reader_copy, "STRIP_BYTES", 1)
            dataset.read(out_shape=(1, 40))
        assert decoder.boxes == [(75, 0, 1, WIDTH)] or decoder.boxes == [(74, 0, 2, WIDTH)]
