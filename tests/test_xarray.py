"""The xarray engine. Oracles: rioxarray's engine on the decompressed GeoTIFF, and numpy on the whole array."""

from __future__ import annotations

import gc
import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import rioxarray  # noqa: F401 (its engine and accessor)
import xarray as xr
from affine import Affine
from conftest import RasterWriter, speckled_db
from hypothesis import given, settings
from hypothesis import strategies as st

import sarz_format as sarz
from sarz_format import xarray_array
from sarz_format.errors import SarzFileNotFoundError, SarzFormatError, SarzOptionError
from sarz_format.read_statistics import ReadStatistics
from sarz_format.xarray_array import FAR_APART, SarzArray, runs
from sarz_format.xarray_backend import SarzBackend

TILE = 64


def compressed(raster: Path, folder: Path, **options: Any) -> tuple[Path, Path]:
    """A .sarz file of a raster, and the GeoTIFF that it is decompressed to."""
    folder = Path(tempfile.mkdtemp(dir=folder))
    packed, unpacked = folder / f"{raster.stem}.sarz", folder / f"{raster.stem}.tif"
    sarz.compress(raster, packed, **{"tile_size": TILE, **options})
    sarz.decompress(packed, unpacked)
    return packed, unpacked


def opened(path: Any, **options: Any) -> xr.Dataset:
    return xr.open_dataset(path, engine=SarzBackend, **options)


def stats(dataset: xr.Dataset) -> ReadStatistics:
    """What reading the file under a dataset of xarray has cost."""
    array = dataset.band_data.variable._data
    while not isinstance(array, SarzArray):
        array = array.array
    return array.manager.acquire().dataset.stats


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory, harvey_db: Path) -> tuple[Path, Path]:
    """A pair in decibels with NaN, 248 x 328 in 4 x 6 tiles; read by all, written by none."""
    return compressed(harvey_db, tmp_path_factory.mktemp("xarray"))


@pytest.fixture(scope="module")
def packed(files: tuple[Path, Path]) -> Path:
    return files[0]


@pytest.fixture(scope="module")
def values(packed: Path) -> np.ndarray:
    """All pixels of `packed`."""
    with sarz.open(packed) as src:
        return src.read()


# The same as rioxarray gives


RASTERS = ["harvey_grd", "spatialist_db", "three_band_raster", "float64_raster", "one_pixel_raster"]


def assert_same(ours: xr.Dataset, theirs: xr.Dataset) -> None:
    """Identical data, coordinates, attributes and encoding, but for names and layouts of files, and for how WKT spells
    the CRS."""
    assert ours.rio.crs == theirs.rio.crs
    for dataset in (ours, theirs):
        for name in ("crs_wkt", "spatial_ref"):
            dataset.spatial_ref.attrs.pop(name, None)
    xr.testing.assert_identical(ours, theirs)
    for name in theirs.variables:
        assert set(ours[name].attrs) == set(theirs[name].attrs)
        ours_encoding, theirs_encoding = (
            {key: str(v) for key, v in dataset[name].encoding.items() if key not in ("source", "preferred_chunks")}
            for dataset in (ours, theirs)
        )
        assert ours_encoding == theirs_encoding


@pytest.mark.parametrize("raster", RASTERS)
def test_equals_rioxarray(raster: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    packed, unpacked = compressed(request.getfixturevalue(raster), tmp_path, tile_size=256)
    for options in ({}, {"mask_and_scale": False}, {"band_as_variable": True}):
        if options and raster == "one_pixel_raster":  # of which rioxarray makes numbers
            continue
        with opened(packed, **options) as ours, xr.open_dataset(unpacked, engine="rasterio", **options) as theirs:
            points = ours.rio.get_gcps() or [], theirs.rio.get_gcps() or []
            assert len(points[0]) == (210 if raster == "harvey_grd" else 0)
            assert list(map(str, points[0])) == list(map(str, points[1]))
            assert_same(ours, theirs)


@pytest.mark.parametrize("options", [
    {"parse_coordinates": False}, {"default_name": "sigma0"}, {"drop_variables": "band_data"},
    {"drop_variables": ["x"]}, {"decode_cf": False}, {"chunks": {}},
], ids=str)  # fmt: skip
def test_options_mean_what_they_mean_to_rioxarray(files: tuple[Path, Path], options: dict[str, Any]) -> None:
    if options == {"decode_cf": False}:  # rioxarray's engine refuses what xarray makes of it
        with opened(files[0], **options) as ours, opened(files[0], mask_and_scale=False) as same:
            xr.testing.assert_identical(ours, same)
        return
    with opened(files[0], **options) as ours, xr.open_dataset(files[1], engine="rasterio", **options) as theirs:
        assert_same(ours, theirs)


def test_rotated_rasters(write_raster: RasterWriter, tmp_path: Path) -> None:
    rotated = Affine(9, 2, 500_000, 2, -9, 5_000_000)
    raster = write_raster("rotated.tif", speckled_db((1, 70, 80)).astype(np.float32), transform=rotated)
    packed, unpacked = compressed(raster, tmp_path, lossless=True)
    with opened(packed, parse_coordinates=True) as ours, xr.open_dataset(unpacked, engine="rasterio") as theirs:
        assert_same(ours, theirs)
    with opened(packed) as ours:
        assert set(ours.coords) == {"band", "spatial_ref"} and ours.rio.transform() == rotated


def test_rioxarray_works_on_it(files: tuple[Path, Path]) -> None:
    with opened(files[0], chunks={}) as ours, xr.open_dataset(files[1], engine="rasterio", chunks={}) as theirs:
        assert ours.rio.transform() == theirs.rio.transform() and ours.rio.bounds() == theirs.rio.bounds()
        assert np.isnan(ours.band_data.rio.nodata) and np.isnan(ours.band_data.rio.encoded_nodata)
        left, bottom, right, top = ours.rio.bounds()
        quarter = {"minx": left, "miny": (bottom + top) / 2, "maxx": (left + right) / 2, "maxy": top}
        for ours_part, theirs_part in (
            (ours.rio.clip_box(**quarter), theirs.rio.clip_box(**quarter)),
            (ours.rio.clip([box_of(**quarter)]), theirs.rio.clip([box_of(**quarter)])),
            (ours.rio.reproject("EPSG:32615"), theirs.rio.reproject("EPSG:32615")),
        ):
            xr.testing.assert_equal(ours_part, theirs_part)
            assert ours_part.rio.crs == theirs_part.rio.crs


def box_of(minx: float, miny: float, maxx: float, maxy: float) -> dict[str, Any]:
    """A rectangle as GeoJSON."""
    ring = [(minx, miny), (maxx, miny), (maxx, maxy), (minx, maxy), (minx, miny)]
    return {"type": "Polygon", "coordinates": [ring]}


def test_scales_that_differ(write_raster: RasterWriter, tmp_path: Path) -> None:
    values = np.round(100 * speckled_db((2, 70, 80))).astype(np.int16)
    raster = write_raster("two.tif", values, nodata=-32768)
    with rasterio.open(raster, "r+") as dst:
        dst.scales, dst.offsets, dst.units = (0.01, 0.02), (0.0, 1.0), ("dB", "dB")
    packed, _ = compressed(raster, tmp_path, lossless=True)
    with opened(packed) as scaled, opened(packed, mask_and_scale=False) as stored:
        assert stored.band_data.attrs["scales"] == (0.01, 0.02) and stored.band_data.attrs["offsets"] == (0.0, 1.0)
        assert scaled.band_data.encoding["scales"] == (0.01, 0.02)
        np.testing.assert_array_equal(scaled.band_data[1], stored.band_data[1] * np.float32(0.02) + np.float32(1))


# Opening


def test_found_by_suffix_and_name(packed: Path) -> None:
    (entry,) = [entry for entry in entry_points(group="xarray.backends") if entry.name == "sarz"]
    assert entry.load() is SarzBackend
    with xr.open_dataset(packed) as by_suffix, xr.open_dataset(str(packed), engine="sarz") as by_name:
        xr.testing.assert_identical(by_suffix, by_name)


def test_guesses(packed: Path, files: tuple[Path, Path]) -> None:
    backend = SarzBackend()
    for name in (packed, str(packed), "SCENE.SARZ", "https://host/scene.sarz?token=a.b", "s3://bucket/scene.sarz"):
        assert backend.guess_can_open(name)
    for name in (files[1], "scene.sarz.tif", "https://host/scene.tif?name=a.sarz", b"II*\0", 3):
        assert not backend.guess_can_open(name)
    assert backend.guess_can_open(packed.read_bytes())
    with packed.open("rb") as stream:
        assert backend.guess_can_open(stream) and stream.tell() == 0


def test_opens_bytes_and_file_objects(packed: Path, values: np.ndarray) -> None:
    with packed.open("rb") as stream, opened(stream) as from_stream, opened(packed.read_bytes()) as from_bytes:
        np.testing.assert_array_equal(from_stream.band_data, values)
        np.testing.assert_array_equal(from_bytes.band_data, values)
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(from_bytes)).band_data, values)


def test_options_reach_the_reader(packed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}

    def recorded(path: Any, **options: Any) -> sarz.Dataset:
        asked.update(options)
        return sarz.open(path)

    monkeypatch.setattr(xarray_array, "open", recorded)
    xr.open_dataset(
        packed, engine=SarzBackend, storage_options={"anon": True}, backend_kwargs={"open_kwargs": {"device": "cpu"}}
    ).close()
    assert asked == {"storage_options": {"anon": True}, "device": "cpu"}


def test_errors_are_those_of_the_reader(packed: Path, files: tuple[Path, Path]) -> None:
    with pytest.raises(SarzFileNotFoundError):
        opened("nothing.sarz")
    with pytest.raises(SarzFormatError):
        opened(files[1])
    with pytest.raises(SarzOptionError, match="cache_bytes"):
        opened(packed, open_kwargs={"cache_bytes": -1})
    with pytest.raises(SarzOptionError, match="has no overviews"):
        opened(packed, overview_level=0)


def test_damage_is_masked_where_asked(packed: Path) -> None:
    data = bytearray(packed.read_bytes())
    data[-1] ^= 1  # in the last tile
    with pytest.raises(sarz.DamagedTileError), opened(bytes(data)) as dataset:
        dataset.load()
    with pytest.warns(sarz.TileDamageWarning), opened(bytes(data), open_kwargs={"on_damage": "mask"}) as dataset:
        assert np.isnan(dataset.band_data[:, -1, -1]).all() and not np.isnan(dataset.band_data[:, :64, :64]).all()


# Laziness


def test_opening_decodes_nothing_and_needs_no_torch(packed: Path) -> None:
    code = f"""
import sys, xarray
from sarz_format.xarray_backend import SarzBackend
with xarray.open_dataset({str(packed)!r}, engine=SarzBackend) as dataset:
    repr(dataset), dataset.rio.crs, dataset.band_data[:, 3:5, ::2], dataset.x.values
print(*[name for name in ("torch", "numba") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_what_is_indexed_is_decoded_and_not_more(packed: Path, values: np.ndarray) -> None:
    with opened(packed, cache=False) as dataset:
        assert stats(dataset).tiles_decoded == 0
        np.testing.assert_array_equal(dataset.band_data[:, 10:30, 60:63], values[:, 10:30, 60:63])
        assert stats(dataset).tiles_decoded == 4  # of 24: those that lie within 48 pixels of it
        corners = dataset.band_data[:, [0, -1], [0, -1]].values
        np.testing.assert_array_equal(corners, values[:, [0, -1]][:, :, [0, -1]])
        assert stats(dataset).tiles_decoded < 24


def test_distant_rows_are_decoded_apart() -> None:
    assert [(run.start, run.stop) for run in runs(slice(0, 1000, FAR_APART + 1), 1000)] == [
        (start, start + 1) for start in range(0, 1000, FAR_APART + 1)
    ]
    assert [(run.start, run.stop) for run in runs(slice(None), 1000)] == [(0, 1000)]
    assert [(run.start, run.stop) for run in runs(np.array([500, 3, 1, 1]), 1000)] == [(500, 501), (1, 4)]


def test_large_masked_reads_go_in_strips(packed: Path, values: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xarray_array, "STRIP_BYTES", 1)
    with opened(packed) as dataset:
        np.testing.assert_array_equal(dataset.band_data, values)
        np.testing.assert_array_equal(dataset.band_data[1, 70:200, 5:9], values[1, 70:200, 5:9])


# Indexing


def axis_index(size: int) -> st.SearchStrategy[Any]:
    """Integers, slices of any step, and arrays in any order, with repetitions, negative or boolean."""
    positions = st.integers(-size, size - 1)
    return st.one_of(
        positions,
        st.slices(size),
        st.lists(positions, min_size=1, max_size=6).map(np.array),
        st.lists(st.booleans(), min_size=size, max_size=size).map(np.array) if size < 10 else st.nothing(),
    )


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_outer_and_basic_indexing(packed: Path, values: np.ndarray, data: st.DataObject) -> None:
    key = [data.draw(axis_index(size)) for size in values.shape]
    expected = values
    for axis, part in reversed(list(enumerate(key))):
        expected = np.take(expected, part, axis) if isinstance(part, int) else expected[(slice(None),) * axis + (part,)]
    with opened(packed, cache=False) as dataset:
        np.testing.assert_array_equal(dataset.band_data[tuple(key)].values, expected)


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_vectorised_indexing(packed: Path, values: np.ndarray, data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 5))
    rows, cols = (
        data.draw(st.lists(st.integers(-size, size - 1), min_size=count, max_size=count)) for size in values.shape[1:]
    )
    with opened(packed, cache=False) as dataset:
        picked = dataset.band_data[:, xr.DataArray(rows, dims="point"), xr.DataArray(cols, dims="point")]
        np.testing.assert_array_equal(picked.values, values[:, rows, cols])


def test_by_coordinates(files: tuple[Path, Path]) -> None:
    with opened(files[0]) as ours, xr.open_dataset(files[1], engine="rasterio") as theirs:
        x, y = float(ours.x[100]), float(ours.y[50])
        place = {"x": slice(x, None), "y": slice(y, float(ours.y[60]))}
        xr.testing.assert_equal(ours.sel(place).band_data, theirs.sel(place).band_data)
        nearest = {"x": x + 1e-5, "y": y, "method": "nearest"}
        xr.testing.assert_equal(ours.sel(**nearest).band_data, theirs.sel(**nearest).band_data)


# Dask, processes, threads


def test_chunks_lie_on_borders_of_tiles(packed: Path, values: np.ndarray) -> None:
    with opened(packed, chunks={}) as dataset:
        assert dataset.band_data.chunks == ((2,), (64, 64, 64, 56), (64, 64, 64, 64, 64, 8))
        np.testing.assert_array_equal(dataset.band_data, values)
    with opened(packed, chunks="auto") as dataset:
        assert dataset.band_data.chunks == ((2,), (248,), (328,))
    with opened(packed, chunks={"y": 128, "x": -1}) as dataset:
        assert dataset.band_data.chunks == ((2,), (128, 120), (328,))
    with opened(packed, chunks={}, band_as_variable=True) as dataset:
        assert dataset.band_2.chunks == ((64, 64, 64, 56), (64, 64, 64, 64, 64, 8))


def test_chunks_hold_the_bands_that_are_coded_together(three_band_raster: Path, tmp_path: Path) -> None:
    with opened(compressed(three_band_raster, tmp_path)[0], chunks={}) as dataset:
        assert dataset.band_data.chunks[0] == (2, 1)


def test_pickles(packed: Path, values: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(packed.parent)
    with opened(packed.name, open_kwargs={"cache_bytes": 0}) as dataset:
        monkeypatch.chdir(tmp_path)
        again = pickle.loads(pickle.dumps(dataset))
        xr.testing.assert_identical(again, dataset)
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(dataset.band_data[1, 5:9])), values[1, 5:9])


def test_threads_share_one_file(packed: Path, values: np.ndarray) -> None:
    with opened(packed, cache=False) as dataset, ThreadPoolExecutor(4) as pool:
        rows = list(pool.map(lambda row: dataset.band_data[:, row].values, range(0, 248, 20)))
        np.testing.assert_array_equal(np.stack(rows, 1), values[:, 0:248:20])


@pytest.fixture
def one_open_file() -> Iterator[None]:
    """xarray keeps a single file open."""
    before = xr.get_options()["file_cache_maxsize"]
    xr.set_options(file_cache_maxsize=1)
    yield
    xr.set_options(file_cache_maxsize=before)


@pytest.mark.usefixtures("one_open_file")
def test_files_that_fall_out_of_the_cache_are_read_to_the_end(packed: Path, values: np.ndarray) -> None:
    with opened(packed, cache=False) as a, opened(packed, cache=False) as b, ThreadPoolExecutor(4) as pool:
        parts = list(pool.map(lambda i: (a, b)[i % 2].band_data[:, 4 * i].values, range(40)))
        np.testing.assert_array_equal(np.stack(parts, 1), values[:, 0:160:4])


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="needs /proc")
def test_closing_closes_the_file(packed: Path, tmp_path: Path, values: np.ndarray) -> None:
    def descriptors() -> int:
        links = (Path("/proc/self/fd") / name for name in os.listdir("/proc/self/fd"))
        return sum(os.path.exists(link) and os.path.samefile(link, copy) for link in links)

    copy = tmp_path / "copy.sarz"
    copy.write_bytes(packed.read_bytes())
    dataset = opened(copy, cache=False)
    assert descriptors() == 1
    dataset.close()
    assert descriptors() == 0
    np.testing.assert_array_equal(dataset.band_data[0, :5], values[0, :5])  # xarray opens files again when needed
    del dataset
    gc.collect()
    assert descriptors() == 0


CLUSTER = """
import sys
import xarray
from distributed import Client, LocalCluster
from sarz_format.xarray_backend import SarzBackend

if __name__ == "__main__":
    cluster = LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None)
    with cluster, Client(cluster) as client:
        dataset = xarray.open_dataset(sys.argv[1], engine=SarzBackend, chunks={"y": 128, "x": 128})
        pixels = dataset.band_data.persist()
        mean = pixels.mean(("y", "x"), dtype="float64").compute()
        chunks_by_worker = client.has_what().values()
        print(sum(map(bool, chunks_by_worker)), *mean.values)
"""


def test_two_processes_of_a_cluster(packed: Path, values: np.ndarray, tmp_path: Path) -> None:
    """In a process of its own, as users do: a cluster starts processes that import the main module."""
    script = tmp_path / "mean.py"
    script.write_text(CLUSTER)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, script, packed], capture_output=True, text=True, env=environment, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    workers, *means = done.stdout.split()
    assert workers == "2"
    means = [float(mean) for mean in means]
    np.testing.assert_allclose(means, np.nanmean(values.astype(np.float64), (1, 2)), rtol=1e-12)


# Overviews, by an interface that the reader may have


def test_overviews(packed: Path, values: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    def read_overview(self: sarz.Dataset, factor: int, window: sarz.Window, indexes: list[int]) -> np.ndarray:
        rows, cols = window.toslices()
        return values[[index - 1 for index in indexes], ::factor, ::factor][:, rows, cols]

    monkeypatch.setattr(sarz.Dataset, "overviews", lambda self, bidx: [2, 4])
    monkeypatch.setattr(sarz.Dataset, "read_overview", read_overview, raising=False)
    with opened(packed, overview_level=1, chunks={}) as dataset, opened(packed) as whole:
        assert dataset.sizes == {"band": 2, "y": 62, "x": 82}
        np.testing.assert_array_equal(dataset.band_data, values[:, ::4, ::4])
        assert dataset.rio.bounds() == pytest.approx(whole.rio.bounds())
        assert dataset.band_data.chunks == ((2,), (16, 16, 16, 14), (16, 16, 16, 16, 16, 2))
    with pytest.raises(SarzOptionError, match="levels 0 to 1"):
        opened(packed, overview_level=2)
