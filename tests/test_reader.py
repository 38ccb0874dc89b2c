"""Opening, closing, pickling, threads, damage and bad arguments; tests/test_reader_oracle.py has what reads return."""

from __future__ import annotations

import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import rasterio.errors
import rasterio.mask
from affine import Affine
from array_decoder import ArrayDecoder, open_like, write_tileless
from rasterio.enums import MaskFlags, Resampling
from rasterio.windows import Window

from sarz_format import reader_copy
from sarz_format import reader as sarz_reader
from sarz_format.container import open_container
from sarz_format.errors import (
    SarzError,
    SarzFileNotFoundError,
    SarzFormatError,
    SarzIOError,
    SarzOptionError,
    SarzWindowError,
)
from sarz_format.metadata import RasterMetadata
from sarz_format.reader import Dataset
from sarz_format.reader_options import ReadOptions

pytestmark = pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning")  # rasterio 1.4, affine 3


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """Two bands of uint16, 100 x 130, nodata 0 in one corner."""
    values = np.random.default_rng(0).integers(1, 500, (2, 100, 130)).astype(np.uint16)
    values[:, :10, :10] = 0
    path = tmp_path / "made.tif"
    with rasterio.open(
        path, "w", driver="GTiff", count=2, height=100, width=130, dtype="uint16", nodata=0, crs="EPSG:32633",
        transform=Affine(10, 0, 500_000, 0, -10, 5_000_000),
    ) as dst:  # fmt: skip
        dst.write(values)
        dst.descriptions = ("VV", "VH")
        dst.update_tags(mission="S1A")
        dst.update_tags(ns="ORBIT", pass_direction="ASCENDING")
        dst.update_tags(2, calibration="sigma0")
    return path


@pytest.fixture
def dataset(made: Path) -> Dataset:
    return open_like(made)


def in_memory(tmp_path: Path, values: np.ndarray, nodata: tuple[float | None, ...], **options: Any) -> Dataset:
    """A Dataset of an array; `damaged` goes to the decoder."""
    damaged = options.pop("damaged", None)
    metadata = RasterMetadata(values.shape[2], values.shape[1], values.dtype.name, nodata)
    path = write_tileless(tmp_path / "memory.sarz", metadata)
    decoder = ArrayDecoder(values, damaged, nodata[0] or 0)
    return Dataset(open_container(path), ReadOptions(**options), decoder_factory=decoder)


def test_opening_and_metadata_need_no_torch(made: Path) -> None:
    open_like(made).close()
    code = f"""
import sys
from sarz_format import reader
with reader.open({str(made.with_suffix(".sarz"))!r}) as src:
    src.profile, src.tags(), src.bounds, src.mask_flag_enums, src.stats, list(src.block_windows())
print(*[name for name in ("torch", "numba", "xarray") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_open_names_what_is_wrong(tmp_path: Path, made: Path) -> None:
    with pytest.raises(SarzFileNotFoundError):
        sarz_reader.open(tmp_path / "nothing.sarz")
    with pytest.raises(SarzFormatError):
        sarz_reader.open(made)
    with pytest.raises(SarzOptionError, match="mode"):
        sarz_reader.open(made, "w")


@pytest.mark.parametrize("option", [
    {"batch_size": 0}, {"batch_size": "many"}, {"overlap": 4}, {"overlap": -8}, {"cache_bytes": -1},
    {"cache_bytes": True}, {"on_damage": "ignore"},
])  # fmt: skip
def test_options_are_checked_on_opening(option: dict[str, Any]) -> None:
    with pytest.raises(SarzOptionError, match=next(iter(option))):
        ReadOptions(**option)


def test_opens_bytes_and_file_objects(dataset: Dataset, made: Path) -> None:
    path = made.with_suffix(".sarz")
    with sarz_reader.open(path.read_bytes()) as src:
        assert src.profile == dataset.profile
    with path.open("rb") as stream, sarz_reader.open(stream) as src:
        assert src.profile == dataset.profile


def test_says_what_it_is(dataset: Dataset, made: Path) -> None:
    assert dataset.driver == "SARZ"
    assert dataset.mode == "r"
    assert dataset.name == str(made.with_suffix(".sarz"))
    assert repr(dataset) == f"<open Dataset name={dataset.name!r} mode='r'>"
    assert dataset.tags()["mission"] == "S1A"
    assert dataset.tags(ns="ORBIT") == {"pass_direction": "ASCENDING"}
    assert dataset.tags(2) == {"calibration": "sigma0"}
    assert dataset.get_tag_item("calibration", bidx=2) == "sigma0"
    assert dataset.get_tag_item("nothing") is None
    assert "ORBIT" in dataset.tag_namespaces()
    assert all(dataset.tags(ns=name) for name in dataset.tag_namespaces())
    assert dataset.tag_namespaces(1) == []
    with pytest.raises(ValueError, match="colour table"):
        dataset.colormap(1)


def test_profile_makes_a_geotiff(dataset: Dataset, tmp_path: Path) -> None:
    with rasterio.open(tmp_path / "clone.tif", "w", **{**dataset.profile, "driver": "GTiff"}) as dst:
        assert dst.block_shapes == dataset.block_shapes


def test_closed(dataset: Dataset) -> None:
    with dataset:
        assert not dataset.closed
    assert dataset.closed
    assert repr(dataset).startswith("<closed Dataset")
    assert dataset.width == 130
    for use in (dataset.read, dataset.read_masks, dataset.dataset_mask, lambda: dataset.stats):
        with pytest.raises(SarzIOError, match="closed"):
            use()
    with pytest.raises(SarzIOError):
        pickle.dumps(dataset)
    dataset.close()


def test_pickles_by_path_and_options(made: Path) -> None:
    dataset = open_like(made, cache_bytes=1 << 20, on_damage="mask")
    again = pickle.loads(pickle.dumps(dataset))
    assert again.options == dataset.options
    assert again.name == dataset.name
    np.testing.assert_array_equal(again.read(), dataset.read())
    dataset.close()
    assert not again.closed


def test_threads_read_the_same(dataset: Dataset) -> None:
    calls: list[dict[str, Any]] = [
        {"window": Window(3, 5, 40, 50)}, {"masked": True}, {"out_shape": (20, 30), "resampling": Resampling.average},
        {"window": Window(-10, -10, 50, 50), "boundless": True}, {"indexes": 2},
    ] * 8  # fmt: skip
    expected = [dataset.read(**call) for call in calls]
    with ThreadPoolExecutor(8) as pool:
        for one, other in zip(pool.map(lambda call: dataset.read(**call), calls), expected, strict=True):
            np.testing.assert_array_equal(np.ma.getdata(one), np.ma.getdata(other))
            np.testing.assert_array_equal(np.ma.getmaskarray(one), np.ma.getmaskarray(other))


@pytest.mark.parametrize("indexes", [0, 3, -1, [1, 3]])
def test_no_such_band(dataset: Dataset, indexes: Any) -> None:
    for read in (dataset.read, dataset.read_masks):
        with pytest.raises(IndexError, match="bands 1 to 2") as caught:
            read(indexes)
        assert isinstance(caught.value, SarzError)


@pytest.mark.parametrize("use", [
    lambda src: src.tags(3), lambda src: src.overviews(3), lambda src: src.block_window(3, 0, 0),
    lambda src: src.checksum(3), lambda src: list(src.block_windows(3)), lambda src: src.tag_namespaces(3),
])  # fmt: skip
def test_no_such_band_elsewhere(dataset: Dataset, use: Any) -> None:
    with pytest.raises(IndexError, match="bands 1 to 2"):
        use(dataset)


@pytest.mark.parametrize("window", [
    Window(130, 0, 5, 5), Window(-10, -10, 5, 5), Window(5, 5, 0, 5), Window(5.2, 5.2, 0.3, 0.4),
    Window(float("nan"), 0, 5, 5), Window(0, 0, float("inf"), 5), [0, 0, 5, 5], 7, "window", ((0, 5), 7), (1, 2, 3),
])  # fmt: skip
@pytest.mark.parametrize("how", [{}, {"masked": True}])
def test_windows_outside_or_empty_are_refused(dataset: Dataset, window: Any, how: dict[str, Any]) -> None:
    with pytest.raises(SarzWindowError):
        dataset.read(window=window, **how)


@pytest.mark.parametrize("how", [
    {"out_shape": (20,)}, {"out_shape": (3, 20, 20)}, {"out_shape": (0, 20)}, {"out_shape": (20.5, 20)},
    {"out_shape": 20}, {"out_shape": (1, 2, 3, 4)}, {"out": np.zeros((100, 130), "uint16")},
    {"out": np.zeros((2, 4, 4), "uint16"), "out_shape": (4, 4)}, {"indexes": []}, {"resampling": Resampling.sum},
    {"resampling": "nearest"},
])  # fmt: skip
def test_other_arguments_that_do_not_fit(dataset: Dataset, how: dict[str, Any]) -> None:
    with pytest.raises(SarzOptionError):
        dataset.read(**how)


def test_bands_with_different_nodata(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 4, (3, 30, 40)).astype(np.int16)
    dataset = in_memory(tmp_path, values, (0, 3, None))
    assert dataset.nodatavals == (0.0, 3.0, None)
    assert dataset.mask_flag_enums == ([MaskFlags.nodata], [MaskFlags.nodata], [MaskFlags.all_valid])
    expected = np.stack([values[0] == 0, values[1] == 3, np.zeros((30, 40), bool)])
    masked = dataset.read(masked=True)
    np.testing.assert_array_equal(masked.mask, expected)
    np.testing.assert_array_equal(masked.data, values)
    np.testing.assert_array_equal(dataset.read_masks(), np.where(expected, 0, 255))
    assert (dataset.dataset_mask() == 255).all()
    out = np.zeros((2, 10, 20), "int16")
    result = dataset.read([2, 1], out=out, masked=True, window=Window(5, 5, 20, 10))
    np.testing.assert_array_equal(out, values[[1, 0], 5:15, 5:25])
    np.testing.assert_array_equal(result.mask, expected[[1, 0], 5:15, 5:25])
    mask = np.zeros((30, 40), "uint8")
    assert dataset.dataset_mask(out=mask).base is not None
    assert (mask == 255).all()


@pytest.mark.parametrize("nodata", [None, 0, 500])
def test_damaged_pixels_are_masked(tmp_path: Path, nodata: int | None) -> None:
    values = np.random.default_rng(0).integers(1, 400, (2, 200, 150)).astype(np.uint16)
    damaged = np.zeros((200, 150), bool)
    damaged[70:140, 30:90] = True
    dataset = in_memory(tmp_path, values, (nodata,) * 2, damaged=damaged, on_damage="mask")
    expected = np.where(damaged, nodata or 0, values)
    np.testing.assert_array_equal(dataset.read(), expected)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reader_copy, "STRIP_BYTES", 1)  # strips without damage too
        masked = dataset.read(masked=True)
        np.testing.assert_array_equal(dataset.read_masks(1), np.where(damaged, 0, 255))
    np.testing.assert_array_equal(masked.data, expected)
    np.testing.assert_array_equal(masked.mask, np.stack([damaged] * 2))
    np.testing.assert_array_equal(dataset.dataset_mask(), np.where(damaged, 0, 255))
    assert not dataset.read(1, window=Window(0, 0, 150, 70), masked=True).mask.any()
    average = dataset.read(1, out_shape=(20, 15), masked=True, resampling=Resampling.average)
    np.testing.assert_array_equal(average.mask, damaged.reshape(20, 10, 15, 10).all((1, 3)))
    assert average.min() > 100  # no zeros averaged in


def test_damage_is_an_error_unless_masked(tmp_path: Path) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise SarzFormatError("damaged")

    values = np.ones((1, 20, 20), np.uint16)
    dataset = in_memory(tmp_path, values, (0,))
    dataset._window_decoder().read = broken
    for read in (dataset.read, dataset.read_masks, lambda: dataset.read(masked=True, out_shape=(5, 5))):
        with pytest.raises(SarzFormatError, match="damaged"):
            read()


@pytest.mark.parametrize("nodata", [float("nan"), -1, 70000])
def test_nodata_that_the_dtype_cannot_hold_masks_nothing(tmp_path: Path, nodata: float) -> None:
    dataset = in_memory(tmp_path, np.zeros((1, 20, 30), np.uint16), (nodata,))
    assert dataset.nodata is None
    assert dataset.mask_flag_enums == ([MaskFlags.all_valid],)
    assert not np.ma.is_masked(dataset.read(masked=True))


def test_masks_of_a_raster_without_nodata_decode_nothing(tmp_path: Path) -> None:
    dataset = in_memory(tmp_path, np.ones((2, 90, 80), np.float32), (None, None))
    assert (dataset.read_masks() == 255).all()
    assert (dataset.dataset_mask() == 255).all()
    assert dataset.stats.tiles_decoded == 0


def test_one_pixel(tmp_path: Path) -> None:
    dataset = in_memory(tmp_path, np.array([[[7]], [[9]]], np.uint16), (0, 0))
    np.testing.assert_array_equal(dataset.read(), [[[7]], [[9]]])
    np.testing.assert_array_equal(dataset.read(2, out_shape=(2, 2), masked=True), [[9, 9], [9, 9]])
    assert list(dataset.block_windows()) == [((0, 0), Window(0, 0, 1, 1))]


def test_stats_count_bytes(dataset: Dataset) -> None:
    before = dataset.stats
    assert before.bytes_read > 0
    assert before.requests == 1
    assert before.tiles_decoded == 0
    dataset.read()
    assert dataset.stats.tiles_decoded == 1


def test_gcps_and_rpcs(tmp_path: Path, harvey_grd: Path) -> None:
    rpcs = rasterio.rpc.RPC(10, 20, 30, 40, [1] * 20, [2] * 20, 5, 6, 7, 8, [3] * 20, [4] * 20, 9, 10)
    with rasterio.open(harvey_grd) as src:
        metadata = replace(RasterMetadata.from_dataset(src), rpcs=rpcs.to_gdal())
        values = src.read()
    path = write_tileless(tmp_path / "grd.sarz", metadata)
    with Dataset(open_container(path), decoder_factory=ArrayDecoder(values)) as dataset:
        assert len(dataset.gcps[0]) == 210
        assert dataset.gcps[1].to_epsg() == 4326
        assert dataset.crs is None
        assert dataset.transform == Affine.identity()
        assert dataset.rpcs == rpcs
        assert dataset.tags(ns="RPC") == rpcs.to_gdal()
        assert dataset.xy(100, 100, transform_method=rasterio.enums.TransformMethod.gcps)


def test_rasterio_functions_take_a_dataset(dataset: Dataset, made: Path) -> None:
    shape = {"type": "Polygon", "coordinates": [[[500200, 4999900], [500700, 4999850], [500300, 4999300],
                                                 [500200, 4999900]]]}  # fmt: skip
    with rasterio.open(made) as oracle:
        ours, our_transform = rasterio.mask.mask(dataset, [shape], crop=True)
        theirs, their_transform = rasterio.mask.mask(oracle, [shape], crop=True)
    np.testing.assert_array_equal(ours, theirs)
    assert our_transform == their_transform


def test_copies_leave_nothing_behind(dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    monkeypatch.setattr(reader_copy, "MEMORY_LIMIT", 0)
    assert dataset.read(masked=True).mask.any()
    assert not list(folder.iterdir())
    monkeypatch.setattr(reader_copy.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 10}))
    with pytest.raises(SarzIOError, match="TMPDIR"):
        dataset.read(masked=True)
    assert not list(folder.iterdir())
