"""The virtual GeoTIFF, materialised: GDAL must read from it what it reads from a decompressed file."""

from __future__ import annotations

import shutil
import threading
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import sarz
from affine import Affine
from array_decoder import ArrayDecoder, open_like, write_tileless
from conftest import RasterWriter
from hypothesis import given
from hypothesis import strategies as st
from rasterio.control import GroundControlPoint
from rasterio.enums import ColorInterp
from rasterio.io import MemoryFile
from rasterio.rpc import RPC
from rasterio.windows import Window
from rio_cogeo.cogeo import cog_validate

from sarz_format.container import open_container
from sarz_format.metadata import RasterMetadata
from sarz_format.reader import Dataset
from sarz_format.virtual_tiff import TileStore, VirtualTiff
from sarz_format.virtual_tiff.decoding import rectangles
from sarz_format.virtual_tiff.layout import ALIGNMENT
from sarz_format.virtual_tiff.tiff import block_shape

pytestmark = pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning")  # rasterio 1.4 with affine 3

SAID = ("crs", "transform", "nodatavals", "descriptions", "units", "scales", "offsets", "colorinterp", "dtypes",
        "mask_flag_enums", "bounds", "res")  # fmt: skip
OF_THE_FILE = {"IMAGE_STRUCTURE", "DERIVED_SUBDATASETS"}


class WithOverviews(Dataset):
    """A dataset whose overviews are every second, fourth, ... pixel."""

    factors: Sequence[int] = (2, 4)

    def overviews(self, bidx: int) -> list[int]:
        return list(self.factors)

    def read_overview(
        self, factor: int, window: Window | None = None, indexes: Sequence[int] | None = None
    ) -> np.ndarray:
        values = self.read(indexes)[:, ::factor, ::factor]
        return values if window is None else values[(slice(None), *window.toslices())]


def with_overviews(geotiff: Path, factors: Sequence[int] = (2, 4)) -> WithOverviews:
    plain = open_like(geotiff)
    dataset = WithOverviews(open_container(plain.name), decoder_factory=plain._decoder_factory)
    dataset.factors = factors
    return dataset


def whole(tiff: VirtualTiff) -> bytes:
    data = tiff.read(0, tiff.size)
    assert len(data) == tiff.size
    return data


def assert_says_the_same(ours: rasterio.DatasetReader, theirs: rasterio.DatasetReader) -> None:
    for name in SAID:
        assert str(getattr(ours, name)) == str(getattr(theirs, name)), name
    assert [p.asdict() for p in ours.gcps[0]] == [p.asdict() for p in theirs.gcps[0]]
    assert ours.gcps[1] == theirs.gcps[1]
    assert (ours.rpcs and ours.rpcs.to_gdal()) == (theirs.rpcs and theirs.rpcs.to_gdal())
    for bidx in range(ours.count + 1):
        assert ours.tag_namespaces(bidx) == theirs.tag_namespaces(bidx)
        assert ours.tags(bidx) == theirs.tags(bidx)
        for namespace in set(ours.tag_namespaces(bidx)) - OF_THE_FILE:
            assert ours.tags(bidx, ns=namespace) == theirs.tags(bidx, ns=namespace)


def rich(dst: rasterio.io.DatasetWriter) -> None:
    """Everything that a GeoTIFF can say of a raster of two bands."""
    dst.descriptions = ("VV", "VH")
    dst.units = ("dB", "dB")
    dst.scales, dst.offsets = (0.01, 0.02), (1.5, -3.0)
    dst.update_tags(AREA_OR_POINT="Area", TIFFTAG_SOFTWARE="by hand", POLARISATION="VV VH", odd='<"&\u00e9>')
    dst.update_tags(ns="SAR", ORBIT="ascending")
    dst.update_tags(1, LOOKS="4")
    dst.update_tags(2, ns="CALIBRATION", CONSTANT="1e-3")


POINTS = [GroundControlPoint(row, col, 10 + col / 1e3, 45 - row / 1e3, row * 1.5, f"{row}-{col}", "tie")
          for row in (0, 75, 150) for col in (0, 100, 209)]  # fmt: skip
PLACES = {
    "utm": {"crs": "EPSG:32633", "transform": Affine(10, 0, 500_000, 0, -10, 5_000_000)},
    "rotated": {"crs": "EPSG:4326", "transform": Affine(0.01, 0.002, 7, 0.003, 0.02, -50)},
    "points": {"gcps": POINTS, "crs": "EPSG:4326"},
    "rpcs": {"rpcs": RPC(0, 1, 0, 1, [1.0] * 20, [2.0] * 20, 0, 1, 5, 6, [3.0] * 20, [4.0] * 20, 7, 8), "crs": None,
             "transform": None},
    "nowhere": {"crs": None, "transform": None},
    "crs only": {"crs": "EPSG:3031", "transform": None},
}  # fmt: skip


@pytest.fixture(params=PLACES)
def geotiff(request: pytest.FixtureRequest, write_raster: RasterWriter) -> Path:
    values = np.random.default_rng(1).integers(0, 30_000, (2, 150, 209), np.int16)
    profile = {"transform": None} | PLACES[request.param] | {"nodata": -32768}
    path = write_raster("rich.tif", values, **profile)
    with rasterio.open(path, "r+") as dst:
        rich(dst)
    return path


def test_template_warns_of_nothing(geotiff: Path) -> None:
    dataset = open_like(geotiff)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        VirtualTiff(dataset)


def test_metadata_are_those_of_a_decompressed_file(geotiff: Path, tmp_path: Path) -> None:
    dataset = open_like(geotiff)
    plain = tmp_path / "plain.tif"
    metadata = dataset.header.metadata
    with rasterio.open(plain, "w", **metadata.profile()) as dst:
        metadata.write_to(dst)
        dst.write(dataset.read())
    assert [path.name for path in tmp_path.glob("plain*")] == ["plain.tif"]  # all of it is in the GeoTIFF itself
    with MemoryFile(whole(VirtualTiff(dataset))) as memory, memory.open() as ours, rasterio.open(plain) as theirs:
        assert_says_the_same(ours, theirs)
        assert (ours.read() == theirs.read()).all()


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64"])
def test_dtypes(dtype: str, write_raster: RasterWriter) -> None:
    values = np.random.default_rng(2).integers(0, 100, (3, 60, 45)).astype(dtype)
    dataset = open_like(write_raster(f"{dtype}.tif", values, nodata=7))
    with MemoryFile(whole(VirtualTiff(dataset))) as memory, memory.open() as src:
        assert src.dtypes == (dtype,) * 3 and src.nodata == 7
        assert (src.read() == values).all()


def test_alpha(write_raster: RasterWriter) -> None:
    values = np.random.default_rng(3).integers(0, 2, (4, 60, 45)).astype(np.uint8) * 255
    path = write_raster("alpha.tif", values, photometric="RGB", alpha="YES")
    with MemoryFile(whole(VirtualTiff(open_like(path)))) as memory, memory.open() as src, rasterio.open(path) as original:
        assert src.colorinterp == original.colorinterp and src.colorinterp[3] is ColorInterp.alpha
        assert (src.dataset_mask() == original.dataset_mask()).all()


@pytest.mark.parametrize("shape", [(1, 1), (1, 700), (16, 16), (150, 209), (512, 513), (1025, 600)])
@pytest.mark.parametrize("factors", [(), (2,), (2, 4, 8)])
def test_valid_cog_with_overviews(shape: tuple[int, int], factors: tuple[int, ...], write_raster: RasterWriter,
                                  tmp_path: Path) -> None:  # fmt: skip
    values = np.random.default_rng(4).integers(0, 60_000, (2, *shape), np.uint16)
    dataset = with_overviews(write_raster("shaped.tif", values, nodata=0), factors)
    tiff = VirtualTiff(dataset)
    path = tmp_path / "virtual.tif"
    path.write_bytes(whole(tiff))
    with rasterio.open(path) as src:
        assert (src.read() == values).all()
        assert src.block_shapes == [block_shape(64, *shape)] * 2
        assert src.tags(ns="IMAGE_STRUCTURE") == {"INTERLEAVE": "BAND"}
        assert min(shape) < 100 or src.overviews(1) == list(factors)
    for level, factor in enumerate(factors):
        with rasterio.open(path, overview_level=level) as src:
            assert (src.read() == values[:, ::factor, ::factor]).all() and src.nodata == 0
    large = max(shape) > 512
    if min(shape) > 8 and (factors or not large):
        assert cog_validate(path, strict=True, quiet=True) == (True, [], [])


def test_one_group_interleaves_its_bands(harvey_grd: Path, tmp_path: Path) -> None:
    sarz.compress(harvey_grd, tmp_path / "pair.sarz", lossless=True)
    with sarz.open(tmp_path / "pair.sarz") as dataset, rasterio.open(harvey_grd) as original:
        with MemoryFile(whole(VirtualTiff(dataset))) as memory, memory.open() as src:
            assert src.interleaving is rasterio.enums.Interleaving.pixel
            assert (src.read() == original.read()).all()
            assert len(src.gcps[0]) == 210 and any(point.z for point in src.gcps[0])


def test_tiles_begin_on_blocks_of_network_caches(harvey_grd: Path, tmp_path: Path) -> None:
    tiff = VirtualTiff(with_overviews(Path(shutil.copy(harvey_grd, tmp_path))))
    with MemoryFile(whole(tiff)) as memory, memory.open() as src:
        for level in (None, 0, 1):
            assert int(src.get_tag_item("BLOCK_OFFSET_0_0", "TIFF", bidx=1, ovr=level)) % ALIGNMENT == 0


def test_any_range_is_that_slice(write_raster: RasterWriter) -> None:
    values = np.random.default_rng(5).integers(0, 60_000, (2, 600, 700), np.uint16)
    tiff = VirtualTiff(with_overviews(write_raster("ranges.tif", values)))
    data = whole(tiff)

    @given(st.lists(st.tuples(st.integers(0, tiff.size + 10), st.integers(0, 3_000_000)), max_size=5))
    def check(ranges: list[tuple[int, int]]) -> None:
        assert tiff.read_ranges(ranges) == [data[offset : offset + length] for offset, length in ranges]

    check()
    for number in range(200):  # around the directories and tables
        assert tiff.read(number * 7, 13) == data[number * 7 : number * 7 + 13]
    with pytest.raises(sarz.SarzOptionError):
        tiff.read(-1, 4)


@given(st.sets(st.tuples(st.integers(0, 6), st.integers(0, 6))))
def test_rectangles_cover_each_tile_once(tiles: set[tuple[int, int]]) -> None:
    covered = [(row, col) for box in rectangles(tiles)
               for row in range(box.row0, box.row1) for col in range(box.col0, box.col1)]  # fmt: skip
    assert sorted(covered) == sorted(tiles)


def test_a_rectangle_is_one_rectangle() -> None:
    assert len(list(rectangles((row, col) for row in range(5) for col in range(3, 9)))) == 1


def counted(geotiff: Path, **options: Any) -> tuple[VirtualTiff, ArrayDecoder]:
    dataset = with_overviews(geotiff, ())
    return VirtualTiff(dataset, **options), dataset._decoder_factory


def test_only_the_tiles_asked_for_are_decoded_and_together(write_raster: RasterWriter) -> None:
    values = np.random.default_rng(6).integers(0, 60_000, (1, 2048, 2048), np.uint16)
    tiff, decoder = counted(write_raster("large.tif", values))
    start, tile = tiff._regions[-1].start, 512 * 512 * 2
    assert decoder.boxes == []
    tiff.read(start + 5 * tile, 10)
    assert decoder.boxes == [(512, 512, 512, 512)]
    tiff.read(start + 5 * tile + 100, 10)
    assert len(decoder.boxes) == 1  # kept
    tiff.read_ranges([(start + number * tile, tile) for number in (5, 6, 9, 10)])
    assert decoder.boxes[1:] == [(512, 1024, 512, 512), (1024, 512, 512, 1024)]
    tiff.read_ranges([(start + number * tile, tile) for number in (0, 4, 8)])
    assert decoder.boxes[3:] == [(0, 0, 1536, 512)]


def test_store_is_bounded(write_raster: RasterWriter) -> None:
    values = np.zeros((1, 1024, 2048), np.uint8)
    store = TileStore(limit_bytes=3 * 512 * 512)
    tiff, decoder = counted(write_raster("bounded.tif", values), store=store)
    whole(tiff)
    assert store._size <= store.limit_bytes and len(store._kept) == 3
    tiff.read(tiff.size - 1, 1)
    boxes = len(decoder.boxes)
    tiff.read(tiff._regions[-1].start, 1)
    assert len(decoder.boxes) == boxes + 1  # dropped


def test_store_decodes_a_tile_once_for_all_threads() -> None:
    store, calls, gate = TileStore(), [], threading.Event()

    def decode(keys: Sequence[int]) -> dict[int, tuple[bytes]]:
        calls.extend(keys)
        gate.wait(5)
        return {key: (bytes([key]),) for key in keys}

    with ThreadPoolExecutor(8) as pool:
        jobs = [pool.submit(store.fetch, [number, 7], decode) for number in (1, 2, 1, 3)]
        gate.set()
        assert all(job.result()[7] == (b"\7",) for job in jobs)
    assert sorted(calls) == [1, 2, 3, 7]


def test_store_passes_a_failure_to_those_who_asked() -> None:
    store, entered, gate = TileStore(), threading.Event(), threading.Event()

    def fail(keys: Sequence[int]) -> dict[int, tuple[bytes]]:
        entered.set()
        gate.wait(5)
        raise sarz.DamagedTileError(0, 1, 0, "for a test")

    with ThreadPoolExecutor(2) as pool:
        failing = pool.submit(store.fetch, [1, 2], fail)
        entered.wait(5)
        waiting = pool.submit(store.fetch, [2], lambda keys: {2: (b"good",)})
        gate.set()
        with pytest.raises(sarz.DamagedTileError):
            failing.result()
        assert waiting.result() == {2: (b"good",)}
    assert store.fetch([1], lambda keys: {1: (b"later",)}) == {1: (b"later",)}


def test_scene_of_full_size_needs_little(tmp_path: Path) -> None:
    metadata = RasterMetadata(25_000, 16_700, "uint16", (0, 0))
    dataset = Dataset(open_container(write_tileless(tmp_path / "scene.sarz", metadata, 512)))
    tiff = VirtualTiff(dataset)
    assert tiff.size > 2 * 25_000 * 16_700 * 2
    assert sum(len(region.data) for region in tiff._regions if hasattr(region, "data")) < 40_000
