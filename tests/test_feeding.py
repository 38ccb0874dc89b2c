"""The data set for training: which windows, what is in them, and DataLoaders with workers of every kind."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sarz.torch
import torch
from conftest import RasterWriter, speckled_db
from hypothesis import given
from hypothesis import strategies as st
from rasterio.windows import Window
from torch.utils.data import DataLoader, RandomSampler

import sarz_format as sarz_library
from sarz_format.errors import (
    BandIndexError,
    SarzFileNotFoundError,
    SarzOptionError,
    SarzWindowError,
    UnsupportedRasterError,
)
from sarz_format.feeding import WindowDataset
from sarz_format.window_choice import GridWindows, RandomWindows

TILE = 64


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory, harvey_db: Path, terramind_db: Path) -> list[Path]:
    """Two pairs in decibels with NaN: 248 x 328 and 224 x 224."""
    folder = tmp_path_factory.mktemp("feeding")
    paths = []
    for raster in (harvey_db, terramind_db):
        paths.append(folder / f"{raster.stem}.sarz")
        sarz_library.compress(raster, paths[-1], tile_size=TILE)
    return paths


@pytest.fixture(scope="module")
def wholes(files: list[Path]) -> list[np.ndarray]:
    """All pixels of `files`."""
    found = []
    for path in files:
        with sarz_library.open(path) as src:
            found.append(src.read())
    return found


@pytest.fixture(scope="module")
def digital_numbers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two bands of uint16 amplitude, 70 x 80, nodata 0 in a corner; lossless."""
    import rasterio
    from conftest import write_geotiff

    values = np.clip(10 ** ((speckled_db((2, 70, 80)) + 60) / 20), 1, 60000).astype(np.uint16)
    values[0, :9, :11] = 0
    folder = tmp_path_factory.mktemp("numbers")
    raster = write_geotiff(folder / "numbers.tif", values, nodata=0)
    with rasterio.open(raster, "r+") as dst:
        dst.descriptions = ("VV", "VH")
    sarz_library.compress(raster, folder / "numbers.sarz", tile_size=TILE, lossless=True)
    return folder / "numbers.sarz"


def assert_items(dataset: WindowDataset, items: list[dict[str, Any]], wholes: list[np.ndarray]) -> None:
    """Items hold the pixels of their windows, with 0 for NaN."""
    for item in items:
        file, window = dataset.window(int(item["index"]))
        assert item["path"] == str(dataset.paths[file])
        assert item["window"].tolist() == [window.row_off, window.col_off, window.height, window.width]
        expected = wholes[file][(slice(None), *window.toslices())]
        np.testing.assert_array_equal(item["valid"].numpy(), ~np.isnan(expected))
        np.testing.assert_array_equal(item["image"].numpy(), np.nan_to_num(expected, nan=0.0))


# Which windows


@given(st.lists(st.tuples(st.integers(5, 40), st.integers(7, 40)), max_size=4), st.integers(1, 12), st.integers(1, 12))
def test_a_grid_covers_every_raster(shapes: list[tuple[int, int]], down: int, across: int) -> None:
    size = (5, 7)
    choice = GridWindows(shapes, size, (down, across))
    seen = [np.zeros(shape, int) for shape in shapes]
    places = [choice[index] for index in range(len(choice))]
    assert len(set((file, w.row_off, w.col_off) for file, w in places)) == len(places)
    assert [file for file, _ in places] == sorted(file for file, _ in places)
    for file, window in places:
        part = seen[file][window.toslices()]
        assert part.shape == size
        part += 1
    for array in seen:
        assert array[-1, -1] and array[0, 0]
        assert down > 5 or across > 7 or array.all()


def test_random_places_are_equally_likely() -> None:
    shapes = [(10, 10), (12, 11), (10, 30)]
    choice = RandomWindows(shapes, (9, 10), 30_000, 3)
    counts: dict[tuple[int, int, int], int] = {}
    for index in range(len(choice)):
        file, window = choice[index]
        place = (file, window.row_off, window.col_off)
        counts[place] = counts.get(place, 0) + 1
    places = 2 * 1 + 4 * 2 + 2 * 21
    assert len(counts) == places
    assert max(counts.values()) < 1.3 * 30_000 / places and min(counts.values()) > 0.7 * 30_000 / places


def test_random_windows_are_these_for_ever() -> None:
    choice = RandomWindows([(1000, 2000), (500, 500)], (64, 32), 1 << 40, 7)
    places = [(file, w.row_off, w.col_off, w.height, w.width) for file, w in (choice[0], choice[1], choice[10**9])]
    assert places == [(1, 75, 150, 64, 32), (0, 374, 964, 64, 32), (1, 150, 90, 64, 32)]
    assert RandomWindows([(1000, 2000)], (64, 32), 1, 8)[0] != RandomWindows([(1000, 2000)], (64, 32), 1, 7)[0]


def test_listed_windows(files: list[Path], wholes: list[np.ndarray]) -> None:
    listed = [(files[1], Window(3, 4, 5, 6)), (0, Window(0, 0, 9, 8)), (str(files[0]), ((240, 300), (0, 5)))]
    dataset = WindowDataset(files, windows=listed)
    assert len(dataset) == 3
    assert dataset.window(2) == (0, Window(0, 240, 5, 8)) == dataset.window(-1)
    assert_items(dataset, [dataset[i] for i in range(3)], wholes)


@pytest.mark.parametrize("arguments, message", [
    ({}, "size or windows"), ({"size": 0}, "size is 0"), ({"size": (4, 5, 6)}, "size is"), ({"size": 2.5}, "size is"),
    ({"size": 8, "stride": 0}, "stride is 0"), ({"size": 8, "stride": 8, "samples": 3}, "give one"),
    ({"size": 8, "samples": -1}, "samples is -1"), ({"size": 8, "samples": 1, "seed": -1}, "seed is -1"),
    ({"size": 225}, "has 224 rows and 224 columns"), ({"size": 8, "windows": []}, "cannot be, too"),
    ({"windows": [("nothing.sarz", Window(0, 0, 1, 1))]}, "not one of the 2 paths"),
    ({"windows": [(2, Window(0, 0, 1, 1))]}, "not one of the 2 paths"),
    ({"size": 8, "units": "watts"}, "units is 'watts'"), ({"size": 8, "dtype": torch.int16}, "floating-point"),
    ({"size": 8, "max_open": 0}, "max_open is 0"), ({"size": 8, "open_kwargs": {"overlap": 3}}, "overlap"),
], ids=str)  # fmt: skip
def test_arguments_are_checked(files: list[Path], arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(SarzOptionError, match=message):
        WindowDataset(files, **arguments)


def test_files_are_checked(
    files: list[Path], three_band_raster: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sarz_library.compress(three_band_raster, tmp_path / "three.sarz", lossless=True)
    with pytest.raises(SarzOptionError, match="has 2 bands, .* has 3"):
        WindowDataset([*files, tmp_path / "three.sarz"], 32)
    assert len(WindowDataset([*files, tmp_path / "three.sarz"], 32, indexes=[2, 1])) > 0
    with pytest.raises(BandIndexError):
        WindowDataset(files, 32, indexes=[3])
    with pytest.raises(SarzFileNotFoundError):
        WindowDataset(["nothing.sarz"], 32)
    with pytest.raises(SarzOptionError, match="a sequence of paths"):
        WindowDataset(str(files[0]), 32)
    with pytest.raises(SarzOptionError, match="no files"):
        WindowDataset([], 32, samples=1)
    for window, error in ((Window(0.5, 0, 3, 3), "fractions"), (Window(500, 0, 3, 3), "outside")):
        with pytest.raises(SarzWindowError, match=error):
            WindowDataset(files, windows=[(0, window)])
    assert len(WindowDataset([], 32)) == 0
    monkeypatch.setattr(sarz_library.Dataset, "dtypes", ("complex64",) * 2)
    with pytest.raises(UnsupportedRasterError, match="complex64"):
        WindowDataset(files, 32)


# What is in them


def test_items_on_a_grid(files: list[Path], wholes: list[np.ndarray]) -> None:
    dataset = WindowDataset(files, 96, stride=80, max_open=1)
    assert len(dataset) == 3 * 4 + 3 * 3
    assert_items(dataset, dataset.__getitems__(list(range(len(dataset)))[::-1]), wholes)
    assert_items(dataset, [dataset[0], dataset[-1]], wholes)
    assert dataset[-1]["index"] == len(dataset) - 1
    with pytest.raises(IndexError):
        dataset[len(dataset)]
    assert sum(1 for _ in dataset) == len(dataset)
    dataset.close()
    assert_items(dataset, [dataset[5]], wholes)


def test_a_batch_is_decoded_at_once(files: list[Path]) -> None:
    dataset = WindowDataset(files[:1], 32, stride=8, open_kwargs={"cache_bytes": 0})
    dataset.__getitems__([0, 1, 2, 1])
    together = dataset._files[0].stats.tiles_decoded
    dataset[0]
    assert dataset._files[0].stats.tiles_decoded == 2 * together


def test_decibels_of_digital_numbers(digital_numbers: Path) -> None:
    with sarz_library.open(digital_numbers) as src:
        stored = src.read()
    native = WindowDataset([digital_numbers], windows=[(0, Window(0, 0, 80, 70))])[0]
    np.testing.assert_array_equal(native["image"].numpy(), stored.astype(np.float32))
    np.testing.assert_array_equal(native["valid"].numpy(), stored != 0)
    in_db = WindowDataset([digital_numbers], 70, indexes=[2, 1], units="db", fill_value=-99, dtype=torch.float64)[0]
    expected = 20 * np.log10(np.maximum(stored[[1, 0], :, :70], 1).astype(np.float64))
    expected[stored[[1, 0], :, :70] == 0] = -99
    np.testing.assert_allclose(in_db["image"].numpy(), expected, rtol=1e-14, atol=1e-14)
    as_it_is = WindowDataset([digital_numbers], 9, units="db", fill_value=None, indexes=[1])[0]
    assert torch.isneginf(as_it_is["image"]).all() and not as_it_is["valid"].any()


def test_decibels_of_power_and_of_scaled_decibels(
    write_raster: RasterWriter, three_band_raster: Path, tmp_path: Path
) -> None:
    power = (10 ** (speckled_db((1, 40, 40)) / 10)).astype(np.float32)
    power[0, 3, 4] = -1
    sarz_library.compress(write_raster("power.tif", power), tmp_path / "power.sarz", lossless=True)
    item = WindowDataset([tmp_path / "power.sarz"], 40, units="db")[0]
    assert not item["valid"][0, 3, 4] and item["valid"].sum() == 40 * 40 - 1 and item["image"][0, 3, 4] == 0
    np.testing.assert_allclose(item["image"].numpy()[0, 4:], 10 * np.log10(power[0, 4:].astype(float)), rtol=1e-6)
    sarz_library.compress(three_band_raster, tmp_path / "packed.sarz", lossless=True)
    item = WindowDataset([tmp_path / "packed.sarz"], 40, units="db")[0]
    with sarz_library.open(tmp_path / "packed.sarz") as src:
        np.testing.assert_allclose(item["image"].numpy(), 0.01 * src.read()[:, :40, :40], rtol=1e-6)


def test_damage_is_not_valid(digital_numbers: Path) -> None:
    data = bytearray(digital_numbers.read_bytes())
    data[-1] ^= 1
    dataset = WindowDataset([bytes(data)], 64, open_kwargs={"on_damage": "mask"})
    with pytest.warns(sarz_library.TileDamageWarning):
        last = dataset[-1]
    assert not last["valid"][:, -1, -1].any() and last["path"] == "<bytes>"
    assert dataset[0]["valid"][:, 20:60, 20:60].all() or not dataset[0]["valid"].all()


def doubled(sample: dict[str, Any]) -> torch.Tensor:
    """A transform that every worker can import."""
    return 2 * sample["image"]


def test_transforms(files: list[Path]) -> None:
    dataset = WindowDataset(files, 64, transform=doubled)
    assert torch.equal(dataset[3], 2 * WindowDataset(files, 64)[3]["image"])


# In DataLoaders


def test_pickles_without_open_files(files: list[Path], wholes: list[np.ndarray]) -> None:
    dataset = WindowDataset(files, 64, samples=10, seed=3)
    before = len(pickle.dumps(dataset))
    dataset[0]
    assert len(pickle.dumps(dataset)) == before < 2000
    again = pickle.loads(pickle.dumps(dataset))
    assert_items(again, [again[4]], wholes)


@pytest.mark.filterwarnings("ignore:This DataLoader will create 2 worker processes:UserWarning")  # on a single core
@pytest.mark.parametrize("context", ["fork", "spawn"])
def test_workers_read_what_the_main_process_reads(context: str, files: list[Path], wholes: list[np.ndarray]) -> None:
    """After the main process has decoded with these files, too: forked workers must not use its threads and files."""
    dataset = WindowDataset(files, 64, samples=10, seed=1)
    here = [dataset[index] for index in range(10)]
    loader = DataLoader(dataset, batch_size=4, num_workers=2, multiprocessing_context=context)
    batches = list(loader)
    assert [len(batch["image"]) for batch in batches] == [4, 4, 2]
    assert torch.equal(torch.cat([batch["image"] for batch in batches]), torch.stack([item["image"] for item in here]))
    assert torch.cat([batch["index"] for batch in batches]).tolist() == list(range(10))
    assert_items(dataset, here, wholes)
    assert_items(dataset, [dataset[0]], wholes)  # and the main process goes on


def test_a_sampler_draws_from_windows_without_end(files: list[Path], wholes: list[np.ndarray]) -> None:
    dataset = WindowDataset(files, 64, samples=1 << 40, seed=1)
    drawn = []
    for _ in range(2):
        generator = torch.Generator().manual_seed(5)
        sampler = RandomSampler(dataset, replacement=True, num_samples=6, generator=generator)
        loader = DataLoader(dataset, batch_size=3, sampler=sampler)
        drawn.append([index for batch in loader for index in batch["index"]])
    assert drawn[0] == drawn[1] and len(set(map(int, drawn[0]))) == 6


def test_a_forked_child_leaves_the_files_of_its_parent_open(files: list[Path]) -> None:
    code = f"""
import os
from sarz_format.open_files import OpenFiles
files = OpenFiles([{str(files[0])!r}], {{"device": "cpu"}}, 2)
parents = files[0]
child = os.fork()
if not child:
    own = files[0]
    os._exit(own is parents or own.closed or parents.closed)
print(os.waitpid(child, 0)[1], parents.closed, files[0] is parents)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0", "False", "True"]


def test_the_import_name_has_it() -> None:
    assert sarz.torch.WindowDataset is WindowDataset
    code = "import sys, sarz; a = 'torch' in sys.modules; import sarz.torch; print(a, 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]
