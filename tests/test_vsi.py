"""/vsisarz/: rasterio's own reader on a .sarz."""

from __future__ import annotations

import ctypes
import errno
import multiprocessing
import os
import pickle
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.mask
import sarz
from click.testing import CliRunner
from conftest import write_geotiff
from rasterio.enums import Resampling
from rasterio.rio.main import main_group
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window
from test_virtual_tiff import assert_says_the_same

from sarz_format.container import Container, open_container
from sarz_format.errors import SarzFileNotFoundError, SarzIOError
from sarz_format.vsi import files, registration
from sarz_format.vsi.paths import REMOTE, find

pytestmark = [
    pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning"),  # rasterio 1.4 with affine 3
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded, use of fork:DeprecationWarning"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("vsi")


@pytest.fixture(scope="module")
def points(folder: Path, harvey_grd: Path) -> Path:
    """A lossy pair of bands with 210 ground control points, 4 x 4 tiles of 128 pixels."""
    sarz.compress(harvey_grd, folder / "points.sarz", tile_size=128)
    return folder / "points.sarz"


@pytest.fixture(scope="module")
def exact(folder: Path, terramind_db: Path) -> Path:
    """A lossless pair in UTM with NaN for nodata, 224 x 224."""
    sarz.compress(terramind_db, folder / "exact.sarz", lossless=True)
    return folder / "exact.sarz"


@pytest.fixture(scope="module")
def large(folder: Path) -> Path:
    """Lossless uint8, 3 bands in UTM, 1100 x 1300 pixels, nodata 0: 9 GeoTIFF tiles a band."""
    values = np.arange(3 * 1100 * 1300).reshape(3, 1100, 1300) // 97 % 251
    write_geotiff(folder / "large.tif", values.astype(np.uint8), nodata=0)
    sarz.compress(folder / "large.tif", folder / "large.sarz", lossless=True)
    return folder / "large.sarz"


@pytest.fixture
def damaged(points: Path, tmp_path: Path) -> Path:
    """`points` with a flipped byte in the tile at row 1, column 2."""
    data = bytearray(points.read_bytes())
    with open_container(points) as container:
        data[container.index.entry(1, 2, 0).detail_offset + 5] ^= 255
    path = tmp_path / "damaged.sarz"
    path.write_bytes(data)
    return path


def vsi(path: Path) -> str:
    return f"/vsisarz/{path}"


def causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


@pytest.mark.parametrize("name", ["points", "exact", "large"])
def test_pixels_and_metadata_are_those_of_a_decompressed_file(name: str, request: pytest.FixtureRequest,
                                                              tmp_path: Path) -> None:  # fmt: skip
    path = request.getfixturevalue(name)
    sarz.decompress(path, tmp_path / "plain.tif")
    with rasterio.open(vsi(path)) as ours, rasterio.open(tmp_path / "plain.tif") as theirs, sarz.open(path) as native:
        assert type(ours) is rasterio.DatasetReader and ours.driver == "GTiff"
        assert ours.read().tobytes() == native.read().tobytes() == theirs.read().tobytes()
        assert_says_the_same(ours, theirs)
        assert ours.files == [vsi(path)]


def test_reads_equal_those_of_a_decompressed_file(large: Path, tmp_path: Path) -> None:
    sarz.decompress(large, tmp_path / "plain.tif")
    with rasterio.open(vsi(large)) as ours, rasterio.open(tmp_path / "plain.tif") as theirs, sarz.open(large) as native:
        calls = (
            {"window": Window(500, 510, 20, 10)},
            {"window": Window(1250.5, 1080.25, 40, 15), "out_shape": (3, 30, 55), "resampling": Resampling.cubic},
            {"out_shape": (3, 50, 60)},
            {"out_shape": (3, 50, 60), "resampling": Resampling.average, "masked": True},
            {"window": Window(-50, -50, 100, 100), "boundless": True, "masked": True},
            {"indexes": 2, "out_dtype": "float32", "fill_value": 7},
        )
        for call in calls:
            # A decompressed file has no overviews; those of /vsisarz/ are the native reader's.
            oracle = theirs if call.get("out_shape") != (3, 50, 60) else native
            np.testing.assert_equal(np.ma.filled(ours.read(**call), 99), np.ma.filled(oracle.read(**call), 99))
        assert (ours.dataset_mask() == theirs.dataset_mask()).all()
        assert (ours.read_masks(1) == theirs.read_masks(1)).all()
        xy = [ours.xy(row, col) for row, col in ((3, 4), (900, 1200), (-5, 3))]
        assert np.array_equal(list(ours.sample(xy)), list(theirs.sample(xy)))
        assert ours.checksum(3) == theirs.checksum(3)
        for options in ({"crs": "EPSG:4326"}, {"crs": "EPSG:3857", "resampling": Resampling.bilinear, "nodata": 0}):
            with WarpedVRT(ours, **options) as left, WarpedVRT(theirs, **options) as right:
                assert (left.read() == right.read()).all()


@pytest.mark.parametrize("arguments, output", [
    (["info", "{source}"], False),
    (["clip", "{source}", "{target}", "--bounds", "501000 4992000 505000 4998000"], True),
    (["warp", "{source}", "{target}", "--dst-crs", "EPSG:4326"], True),
    (["convert", "{source}", "{target}", "--dtype", "float32"], True),
    (["cogeo", "validate", "{source}"], False),
])  # fmt: skip
def test_rio(arguments: list[str], output: bool, large: Path, tmp_path: Path) -> None:
    results = []
    sarz.decompress(large, tmp_path / "plain.tif")
    for number, source in enumerate((vsi(large), str(tmp_path / "plain.tif"))):
        target = tmp_path / f"{number}.tif"
        done = CliRunner().invoke(main_group, [text.format(source=source, target=target) for text in arguments])
        assert done.exit_code == 0, done.output
        if output:
            with rasterio.open(target) as dst:
                results.append((dst.read().tobytes(), str(dst.transform), dst.crs))
    assert not output or results[0] == results[1]


def test_small_file_is_a_strictly_valid_cog(points: Path) -> None:
    done = CliRunner().invoke(main_group, ["cogeo", "validate", "--strict", vsi(points)])
    assert done.exit_code == 0 and "is a valid cloud optimized GeoTIFF" in done.output


def test_threads(large: Path) -> None:
    with rasterio.open(large.with_suffix(".tif")) as src:
        expected = src.read()
    windows = [Window(col, row, 300, 300) for row in range(0, 1100, 250) for col in range(0, 1300, 250)]

    def read(window: Window) -> bool:
        with rasterio.open(vsi(large)) as src:
            rows, cols = window.crop(1100, 1300).toslices()
            return bool((src.read(window=window) == expected[:, rows, cols]).all())

    registration._kept[1].forget()
    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(read, windows * 2))


def _sum(path: str) -> int:
    import sarz  # noqa: F401 (registers in a spawned process)

    with rasterio.open(path) as src:
        return int(src.read().sum())


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_processes(method: str, points: Path) -> None:
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"this platform does not {method}")
    expected = _sum(vsi(points))  # the parent's threads have decoded when it forks
    workers = 2 if method == "fork" else 1  # that must import torch
    with ProcessPoolExecutor(workers, multiprocessing.get_context(method)) as pool:
        assert list(pool.map(_sum, [vsi(points)] * 3, timeout=120)) == [expected] * 3


def test_open_dataset_survives_a_fork(points: Path) -> None:
    if not hasattr(os, "fork"):
        pytest.skip("this platform does not fork")
    context = multiprocessing.get_context("fork")
    with rasterio.open(vsi(points)) as src:
        expected = int(src.read(1, window=Window(0, 0, 100, 100)).sum())
        results = context.Queue()
        child = context.Process(target=lambda: results.put(int(src.read(1, window=Window(0, 0, 100, 100)).sum())))
        child.start()
        assert results.get(timeout=60) == expected
        child.join(60)
        assert child.exitcode == 0


def test_names_pickle(points: Path) -> None:
    with rasterio.open(vsi(points)) as src:
        name = pickle.loads(pickle.dumps(src.name))
    with rasterio.open(name) as src:
        assert src.count == 2


@pytest.mark.parametrize("window", [Window(0, 0, 512, 512), Window(300, 200, 10, 10)])
def test_damage_names_the_tile(damaged: Path, window: Window) -> None:
    with rasterio.open(vsi(damaged)) as src:
        with pytest.raises(rasterio.errors.RasterioIOError) as caught:
            src.read(window=window)
        assert any("tile row 1, column 2, band group 0 is damaged" in str(error) for error in causes(caught.value))


def test_damage_spoils_no_other_tile(large: Path, tmp_path: Path) -> None:
    data = bytearray(large.read_bytes())
    with open_container(large) as container:
        data[container.index.entry(2, 2, 0).detail_offset + 5] ^= 255
    (tmp_path / "damaged.sarz").write_bytes(data)
    with rasterio.open(vsi(tmp_path / "damaged.sarz")) as src, rasterio.open(large.with_suffix(".tif")) as original:
        with pytest.raises(rasterio.errors.RasterioIOError):
            src.read(1)
        window = Window(0, 0, 1000, 1000)
        assert (src.read(1, window=window) == original.read(1, window=window)).all()


def test_percent_signs_reach_the_message(points: Path, tmp_path: Path) -> None:
    with pytest.raises(rasterio.errors.RasterioIOError, match="100%s%n.sarz does not exist"):
        rasterio.open(vsi(tmp_path / "100%s%n.sarz"))


def test_not_a_sarz(tmp_path: Path) -> None:
    (tmp_path / "broken.sarz").write_bytes(b"no")
    with pytest.raises(rasterio.errors.RasterioIOError, match="broken.sarz"):
        rasterio.open(vsi(tmp_path / "broken.sarz"))
    (tmp_path / "other.tif").write_bytes(b"II*\0")
    with pytest.raises(rasterio.errors.RasterioIOError, match=os.strerror(errno.ENOENT)):
        rasterio.open(vsi(tmp_path / "other.tif"))
    with pytest.raises(rasterio.errors.RasterioIOError):
        rasterio.open(vsi(tmp_path))


def test_writing_is_refused(points: Path, tmp_path: Path) -> None:
    before = points.read_bytes()
    with pytest.raises(rasterio.errors.RasterioIOError, match="cannot be written through GDAL"):
        rasterio.open(vsi(points), "r+")
    profile = {"driver": "GTiff", "width": 3, "height": 3, "count": 1, "dtype": "uint8"}
    with pytest.raises(rasterio.errors.RasterioIOError):
        rasterio.open(vsi(tmp_path / "new.sarz"), "w", **profile)
    assert points.read_bytes() == before and not (tmp_path / "new.sarz").exists()


def test_paths(points: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(points.parent)
    shutil.copy(points, tmp_path / "any name")
    odd = tmp_path / "sp ace \u00e9.sarz"
    shutil.copy(points, odd)
    for name in ("/vsisarz/points.sarz", Path("/vsisarz") / str(points).lstrip("/"), vsi(tmp_path / "any name"), vsi(odd)):
        with rasterio.open(name) as src:
            assert src.count == 2


def test_sidecars_are_not_there(points: Path, tmp_path: Path) -> None:
    copy = tmp_path / "alone.sarz"
    shutil.copy(points, copy)
    write_geotiff(tmp_path / "alone.sarz.ovr", np.ones((1, 20, 20), np.uint8))
    (tmp_path / "alone.sarz.aux.xml").write_text("<PAMDataset><Metadata><MDI key='A'>1</MDI></Metadata></PAMDataset>")
    with rasterio.open(vsi(copy)) as src:
        assert src.overviews(1) == [2] and "A" not in src.tags() and src.files == [vsi(copy)]
    for suffix in (".ovr", ".aux.xml", ".msk"):
        assert find(f"{copy}{suffix}") is None


def test_statistics_leave_no_file(points: Path, tmp_path: Path) -> None:
    copy = tmp_path / "alone.sarz"
    shutil.copy(points, copy)
    with rasterio.open(vsi(copy)) as src, sarz.open(copy) as native:
        with pytest.warns(rasterio.errors.RasterioDeprecationWarning):
            assert src.statistics(1).max == native.read(1).max()
    assert [path.name for path in tmp_path.iterdir()] == ["alone.sarz"]


@pytest.mark.parametrize("name, there", [
    ("https://a.example/scene.sarz", True), ("s3://bucket/scene.sarz", True), ("https://a.example/scene.sarz?sig=x", True),
    ("https://a.example/scene.sarz.aux.xml", False), ("https://a.example/scene.sarz?sig=x.ovr", False),
    ("https://a.example/scene.tfw", False), ("https://[/scene.sarz", False),
])  # fmt: skip
def test_urls_are_taken_at_their_word(name: str, there: bool) -> None:
    place = find(name)
    assert (place is not None and place.stamp == REMOTE) == there


def test_url(monkeypatch: pytest.MonkeyPatch, points: Path) -> None:
    url, asked = "https://a.example/b/scene.sarz", []

    def open_url(path: str) -> Container:
        if "://" not in path:
            return open_container(path)
        asked.append(path)
        if path != url:
            raise SarzFileNotFoundError(f"{path} does not exist")
        return open_container(points.read_bytes())

    monkeypatch.setattr(files, "open_container", open_url)
    with rasterio.open(f"/vsisarz/{url}") as src, rasterio.open(vsi(points)) as local:
        assert src.files == [f"/vsisarz/{url}"] and (src.read() == local.read()).all()
    assert asked == [url]  # no looks for other files
    with pytest.raises(rasterio.errors.RasterioIOError, match="https://a.example/none.sarz does not exist"):
        rasterio.open("/vsisarz/https://a.example/none.sarz")


def test_changed_file(points: Path, exact: Path, tmp_path: Path) -> None:
    path = tmp_path / "changing.sarz"
    shutil.copy(points, path)
    with rasterio.open(vsi(path)) as src:
        first = src.read()
    shutil.copy(exact, path)
    with rasterio.open(vsi(path)) as src, sarz.open(path) as native:
        assert src.dtypes == native.dtypes != first.dtype
        registration._kept[1].forget()
        shutil.copy(points, path)
        with pytest.raises(rasterio.errors.RasterioIOError) as caught:
            src.read()
    assert any("has changed since it was opened" in str(error) for error in causes(caught.value))


def test_files_are_bounded(points: Path, tmp_path: Path) -> None:
    bounded = files.Files(limit=2)
    paths = [tmp_path / f"{number}.sarz" for number in range(4)]
    for path in paths:
        shutil.copy(points, path)
        bounded.get(str(path), find(str(path)).stamp)
    assert [path for path, _ in bounded._open] == [str(path) for path in paths[2:]]


def test_many_handles(points: Path) -> None:
    sources = [rasterio.open(vsi(points)) for _ in range(200)]
    first = sources[0].read(1, window=Window(10, 10, 5, 5))
    assert all((src.read(1, window=Window(10, 10, 5, 5)) == first).all() for src in sources)
    for src in sources:
        src.close()


class Vsi:
    """GDAL's functions on open files, by ctypes."""

    def __init__(self, path: str) -> None:
        self.gdal = registration._kept[0]
        self.handle = self.gdal.VSIFOpenL(path.encode(), b"rb")

    def seek(self, offset: int, whence: int = 0) -> int:
        self.gdal.VSIFSeekL(self.handle, offset % 2**64, whence)
        return int(self.gdal.VSIFTellL(self.handle))

    def read(self, size: int, count: int) -> tuple[int, bytes]:
        buffer = ctypes.create_string_buffer(size * count)
        return self.gdal.VSIFReadL(buffer, size, count, self.handle), buffer.raw


def test_seek_tell_and_read(points: Path) -> None:
    file = Vsi(vsi(points))
    size = file.seek(0, 2)
    assert size > 512 * 512 * 4
    buffer = ctypes.create_string_buffer(512)
    assert file.gdal.VSIStatExL(vsi(points).encode(), buffer, 0) == 0
    assert size in [int.from_bytes(buffer.raw[at : at + 8], "little") for at in range(0, 200, 8)]
    assert file.seek(-10, 2) == size - 10
    assert file.read(4, 5)[0] == 2  # whole items
    assert file.seek(10) == 10 and file.seek(-3, 1) == 7
    file.seek(0)
    assert file.read(2, 4) == (4, b"II\x2b\0\x08\0\0\0") and file.seek(0, 1) == 8
    assert file.seek(size + 100) == size + 100 and file.read(1, 4)[0] == 0
    assert file.gdal.VSIFCloseL(file.handle) == 0


def test_folders(points: Path, tmp_path: Path) -> None:
    gdal = registration._kept[0]
    buffer = ctypes.create_string_buffer(512)
    assert gdal.VSIStatExL(vsi(points.parent).encode(), buffer, 0) == 0
    assert gdal.VSIStatExL(vsi(points.parent / "nowhere").encode(), buffer, 0) == -1

    library = ctypes.CDLL(gdal.source)
    library.VSIReadDir.restype, library.VSIReadDir.argtypes = ctypes.POINTER(ctypes.c_char_p), [ctypes.c_char_p]
    library.CSLDestroy.argtypes = [ctypes.c_void_p]
    (tmp_path / "folder").mkdir()
    for name in ("b.sarz", "a.sarz", "a.sarz.aux.xml", "c.tif"):
        shutil.copy(points, tmp_path / name)
    names = library.VSIReadDir(vsi(tmp_path).encode())
    assert [names[number] for number in range(4)] == [b"a.sarz", b"b.sarz", b"folder", None]
    library.CSLDestroy(names)


AT_EXIT = """
import ctypes, gc, sys, threading
import rasterio, sarz
from rasterio.vrt import WarpedVRT

path = sys.argv[1]
src = rasterio.open(path)
src.read()
warped = WarpedVRT(rasterio.open(path), crs="EPSG:3857")
warped.read(1)
for leaked in (rasterio.open(path), warped):  # never closed by Python: GDAL closes them when Python has gone
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(leaked))
cycle = [rasterio.open(path)]
cycle.append(cycle)
gc.disable()

def read_for_ever():
    while True:
        with rasterio.open(path) as other:
            other.read(1)

threading.Thread(target=read_for_ever, daemon=True).start()
print("done", flush=True)
"""


def test_no_crash_at_exit(points: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", AT_EXIT, vsi(points)], capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")


def test_rio_plugin_alone_registers(points: Path) -> None:
    code = f"from rasterio.rio.main import main_group; main_group(['info', '--count', {vsi(points)!r}])"
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout == "2\n", done.stderr


def test_impossible_registration_is_said_when_asked_for(monkeypatch: pytest.MonkeyPatch, points: Path) -> None:
    monkeypatch.setattr(registration, "_kept", [])
    monkeypatch.setattr("sarz_format.vsi.gdal._FUNCTIONS", {"VSIInstallPluginHandlerOfTheFuture": (None, [])})
    registration.try_to_register()  # as the import does: silently
    with pytest.raises(SarzIOError, match=r"/vsisarz/ cannot be registered: .*OfTheFuture.*; sarz.open reads"):
        sarz.register_vsi()
    with sarz.open(points) as src:
        assert src.read(1).any()


def test_registering_again_does_nothing() -> None:
    before = list(registration._kept)
    sarz.register_vsi()
    assert registration._kept == before


def test_errors_of_other_threads_stay_there(points: Path, tmp_path: Path) -> None:
    """An error in one thread's callback is not raised in another's call."""
    stop = threading.Event()

    def fail() -> None:
        while not stop.is_set():
            with pytest.raises(rasterio.errors.RasterioIOError):
                rasterio.open(vsi(tmp_path / "missing.sarz"))

    thread = threading.Thread(target=fail)
    thread.start()
    try:
        for _ in range(50):
            with rasterio.open(vsi(points)) as src:
                src.read(1, window=Window(0, 0, 5, 5))
    finally:
        stop.set()
        thread.join()
