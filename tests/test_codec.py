"""Reading exactly: every window, however decoded, is a part of the whole, and the whole is what plain integers give."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Context, Decimal
from pathlib import Path

import numpy as np
import plain_network
import pytest
import torch
from conftest import speckled_db, write_geotiff
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_model import PATHS, forced_arithmetic, made_models, torch_threads  # noqa: F401 (a fixture)
from rasterio.windows import Window
from scenes import EMPTY_TILE, FALLBACK_TILE, SHAPE, TILE, kinds_scene, write_kinds_scene

import sarz_format as sarz
from sarz_format.codec.device import load_engine
from sarz_format.codec.mosaic import BatchRunner
from sarz_format.container import open_container
from sarz_format.grid import BLOCK
from sarz_format.tiles import TileCache, TileLoader
from sarz_format.weights import find_model

pytestmark = pytest.mark.usefixtures("made_models")

CPU = torch.device("cpu")
HALO = 48
"""Pixels around a window whose tiles it needs: three blocks of the networks, one of the border filter."""


@pytest.fixture(scope="module")
def scene(made_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: F811
    """Every kind of tile and pixel, compressed with the made-up models."""
    folder = tmp_path_factory.mktemp("scene")
    sarz.compress(write_kinds_scene(folder / "scene.tif"), folder / "scene.sarz", tile_size=TILE, quality=60)
    return folder / "scene.sarz"


@pytest.fixture(scope="module")
def whole(scene: Path) -> np.ndarray:
    with sarz.open(scene) as src:
        return src.read()


def same(a: np.ndarray, b: np.ndarray) -> bool:
    """Equal to the bit."""
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def part_of(array: np.ndarray, window: Window) -> np.ndarray:
    rows, cols = window.toslices()
    return np.ascontiguousarray(array[..., rows, cols])


@st.composite
def windows(draw: st.DrawFn, shape: tuple[int, int] = SHAPE) -> Window:
    row, col = draw(st.integers(0, shape[0] - 1)), draw(st.integers(0, shape[1] - 1))
    return Window(col, row, draw(st.integers(1, shape[1] - col)), draw(st.integers(1, shape[0] - row)))


def test_the_scene_has_every_kind_of_tile(scene: Path) -> None:
    with open_container(scene) as container:
        index = container.index
        for group in range(2):
            assert index.entry(*EMPTY_TILE, group).empty
            assert index.entry(*FALLBACK_TILE, group).fallback
        coded = [not (index[i].empty or index[i].fallback) for i in range(len(index))]
        assert sum(coded) >= len(coded) // 2


# The whole raster.


def latents_of(path: Path, group: int) -> tuple[np.ndarray, np.ndarray]:
    """Latents of a whole raster, and what is added to its pixels, ``(bands, height, width)``.

    Entropy-decoded by the library, tile by tile, and put together here.
    """
    with open_container(path) as container:
        grid, entry = container.header.grid, container.header.groups[group]
        engine = load_engine(find_model(entry.model, entry.weights_sha256), CPU)
        loader = TileLoader(container, TileCache(0), "raise")
        positions = [(r, c) for r in range(grid.rows) for c in range(grid.cols)]
        field = np.zeros((*grid.latents.shape, BLOCK**2 * len(entry.bands)), np.int64)
        added = np.zeros((len(entry.bands), grid.height, grid.width), np.int64)
        for (row, col), tile in loader.load(group, engine, BatchRunner(1), positions).items():
            rows, cols = grid.tile(row, col).slices()
            for member, corrections in enumerate(tile.corrections):
                part = added[member, rows, cols]
                sums = 4 * corrections.gains.repeat(64, 0).repeat(64, 1)[: part.shape[0], : part.shape[1]].astype(int)
                sums.reshape(-1)[corrections.positions] += 115 * corrections.targets
                part[...] = sums
            if tile.latents is not None:
                step = grid.tile_size // BLOCK
                field[row * step : (row + 1) * step, col * step : (col + 1) * step] = tile.latents
    return field, added


def power_of(pixels: np.ndarray, offset_db: int) -> np.ndarray:
    """Linear power float32 of pixels of 1/128 dB about an offset, by exact arithmetic."""
    context = Context(prec=40)
    levels, inverse = np.unique(pixels, return_inverse=True)
    exponents = [context.divide(Decimal(int(p) + 128 * offset_db), Decimal(1280)) for p in levels]
    table = np.array([float(context.power(Decimal(10), e)) for e in exponents])
    return table.astype(np.float32)[inverse].reshape(pixels.shape)


def oracle(path: Path, original: np.ndarray) -> np.ndarray:
    """What reading the whole of a raster of linear power must give: no tiles, no torch, integers all the way.

    Where the original has no logarithm, and in lossless tiles, its own values.
    """
    with open_container(path) as container:
        header, index = container.header, container.index
    expected = original.copy()
    height, width = original.shape[1:]
    for group, entry in enumerate(header.groups):
        model = load_engine(find_model(entry.model, entry.weights_sha256), CPU).network.model
        latents, added = latents_of(path, group)
        pixels = plain_network.synthesis(model, latents)[:, :height, :width] + added
        for member, band in enumerate(entry.bands):
            with np.errstate(invalid="ignore"):
                coded = np.isfinite(original[band]) & (original[band] > 0)
            for row in range(header.grid.rows):
                for col in range(header.grid.cols):
                    if index.entry(row, col, group).fallback:
                        coded[header.grid.tile(row, col).slices()] = False
            expected[band, coded] = power_of(pixels[member], header.offsets_db[band])[coded]
    return expected


def test_reading_equals_the_oracle(scene: Path, whole: np.ndarray) -> None:
    expected = oracle(scene, kinds_scene())
    assert same(whole, expected)
    assert not same(whole, kinds_scene())


def test_reading_equals_the_oracle_with_the_installed_models(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sarz_format.weights.DEFAULT_MODELS", {2: "s1-pair-1", 1: "s1-single-1"})
    src, dst = write_kinds_scene(tmp_path / "scene.tif"), tmp_path / "scene.sarz"
    sarz.compress(src, dst, tile_size=TILE)
    with sarz.open(dst) as dataset:
        assert same(dataset.read(), oracle(dst, kinds_scene()))


# Windows.


OPTIONS = st.fixed_dictionaries({
    "batch_size": st.sampled_from(["auto", 1, 2, 7]), "cache_bytes": st.sampled_from([0, 1 << 20, 1 << 28]),
    "overlap": st.sampled_from([None, 48, 64, 4096])})


@pytest.fixture(scope="module", params=PATHS)
def arithmetic(request: pytest.FixtureRequest) -> Iterator[str]:
    with forced_arithmetic(request.param):
        yield request.param


def test_all_arithmetics_read_the_same(scene: Path, whole: np.ndarray, arithmetic: str) -> None:
    with sarz.open(scene, cache_bytes=0) as src:
        assert same(src.read(), whole)
        assert src._window_decoder().arithmetic == arithmetic


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(windows(), OPTIONS)
def test_any_window_is_a_part_of_the_whole(
    scene: Path, whole: np.ndarray, arithmetic: str, window: Window, options: dict
) -> None:
    with sarz.open(scene, device="cpu", **options) as src:
        assert same(src.read(window=window), part_of(whole, window))
        assert same(src.read(window=window), part_of(whole, window))


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_do_not_matter(scene: Path, whole: np.ndarray, arithmetic: str, threads: int) -> None:
    window = Window(70, 70, 40, 3)
    with torch_threads(threads), sarz.open(scene, cache_bytes=0) as src:
        assert same(src.read(2, window=window), part_of(whole[1], window))


@settings(deadline=None, max_examples=10)
@given(windows(), st.lists(st.integers(1, 3), min_size=1, max_size=4))
def test_any_bands_in_any_order(scene: Path, whole: np.ndarray, window: Window, bands: list[int]) -> None:
    with sarz.open(scene) as src:
        assert same(src.read(bands, window=window), part_of(whole[[b - 1 for b in bands]], window))
        assert same(src.read(bands[0], window=window), part_of(whole[bands[0] - 1], window))


def test_reads_from_several_threads(scene: Path, whole: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    places = [Window(int(c), int(r), int(w), int(h)) for r, c, h, w in zip(
        rng.integers(0, 100, 40), rng.integers(0, 150, 40), rng.integers(1, 50, 40), rng.integers(1, 62, 40))]
    with sarz.open(scene, cache_bytes=300_000) as src, ThreadPoolExecutor(6) as pool:
        parts = list(pool.map(lambda window: src.read(window=window), places))
    assert all(same(part, part_of(whole, window)) for part, window in zip(parts, places))


def test_a_pickled_dataset_reads_the_same(scene: Path, whole: np.ndarray) -> None:
    with sarz.open(scene) as src:
        src.read(1, window=Window(0, 0, 3, 3))
        copy = pickle.loads(pickle.dumps(src))
    with copy:
        assert same(copy.read(), whole)


# A smaller overlap.


@pytest.mark.parametrize("overlap", [0, 16, 32])
def test_blended_windows_are_parts_of_the_blended_whole(scene: Path, overlap: int) -> None:
    with sarz.open(scene, overlap=overlap) as src:
        blended = src.read()
        for window in (Window(0, 0, 1, 1), Window(60, 62, 9, 5), Window(100, 30, 112, 120), Window(127, 0, 2, 150)):
            assert same(src.read(window=window), part_of(blended, window))


@pytest.mark.parametrize("overlap", [0, 16, 32])
def test_blending_is_close_and_keeps_what_is_exact(scene: Path, whole: np.ndarray, overlap: int) -> None:
    original = kinds_scene()
    with sarz.open(scene, overlap=overlap) as src:
        blended = src.read()
    with np.errstate(invalid="ignore"):
        coded = np.isfinite(original) & (original > 0)
    assert np.array_equal(blended[~coded], original[~coded], equal_nan=True)
    coded[:, 2 * TILE - HALO :, TILE - HALO : 2 * TILE + HALO] = False  # Around the tile that is 140 dB brighter.
    error_db = 10 * np.log10(blended[coded].astype(float) / whole[coded])
    assert error_db.any()
    assert np.sqrt((error_db**2).mean()) < (0.5 if overlap else 3)


# What reading costs.


def test_only_the_tiles_that_a_window_needs_are_decoded(scene: Path) -> None:
    near = {(r, c) for r in (1, 2) for c in (0, 1)}
    with sarz.open(scene) as src:
        assert src.stats.tiles_decoded == 0
        src.read(2, window=Window(HALO - 1, TILE + HALO, 17, 3))  # Columns 32 to 63 see up to 111; rows 64 to 175.
        assert src.stats.tiles_decoded == len(near)
        src.read(1, window=Window(112, 112, 1, 1))  # Another group; its block sees 64 to 175.
        assert src.stats.tiles_decoded == len(near) + 4


def test_only_the_bytes_that_a_window_needs_are_read(tmp_path: Path) -> None:
    power = (10 ** (speckled_db((1, 768, 768)) / 10)).astype(np.float32)
    sarz.compress(write_geotiff(tmp_path / "large.tif", power), tmp_path / "large.sarz", tile_size=TILE, quality=100)
    with sarz.open(tmp_path / "large.sarz") as src:
        opening = src.stats
        assert (opening.requests, opening.bytes_read) == (1, 128 * 1024)
        src.read(1, window=Window(100, 100, 1, 1))
        assert src.stats.requests <= 4  # Two rows of tiles, two parts each.
        assert src.stats.bytes_read - opening.bytes_read < (tmp_path / "large.sarz").stat().st_size / 5


def test_tiles_are_kept_and_the_memory_is_bounded(scene: Path) -> None:
    window = Window(70, 70, 20, 20)
    with sarz.open(scene) as src:
        src.read(1, window=window)
        first = src.stats
        src.read(3, window=window)
        assert src.stats.tiles_decoded == first.tiles_decoded
        assert src.stats.cache_hits == first.cache_hits + first.tiles_decoded
        assert src.stats.bytes_read == first.bytes_read
    with sarz.open(scene, cache_bytes=0) as src:
        src.read(1, window=window)
        first = src.stats
        src.read(1, window=window)
        assert src.stats.tiles_decoded == 2 * first.tiles_decoded
        assert src.stats.cache_hits == 0


def test_the_cache_keeps_what_was_used_last(scene: Path) -> None:
    with open_container(scene) as container:
        entry = container.header.groups[1]
        engine = load_engine(find_model(entry.model, entry.weights_sha256), CPU)
        loader = TileLoader(container, TileCache(1 << 30), "raise")
        tiles = loader.load(1, engine, BatchRunner(1), [(0, 0), (0, 1), (1, 0)])
    cache = TileCache(tiles[0, 0].nbytes + tiles[0, 1].nbytes)
    cache.put((1, 0, 0), tiles[0, 0])
    cache.put((1, 0, 1), tiles[0, 1])
    assert cache.get((1, 0, 0)) is tiles[0, 0]
    cache.put((1, 1, 0), tiles[1, 0])
    assert cache.get((1, 0, 1)) is None
    assert cache.get((1, 0, 0)) is tiles[0, 0]


@given(st.integers(0, 300), st.integers(0, 300), st.integers(1, 200), st.integers(1, 200), st.integers(1, 9))
def test_pieces_cover_a_strip_once(row: int, col: int, height: int, width: int, threads: int) -> None:
    """Pieces that different cores decode: together the strip, and no two in the same blocks."""
    from sarz_format import window_jobs
    from sarz_format.grid import BLOCK, Box

    strip = Box(row, col, row + height, col + width)
    seen = np.zeros((row + height, col + width), int)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(window_jobs, "worker_count", lambda: threads)
        pieces = window_jobs.strip_pieces(strip, 64, torch.device("cpu"))
    for piece in pieces:
        seen[piece.slices()] += 1
    assert (seen[row:, col:] == 1).all() and seen.sum() == height * width
    assert len({piece.blocks(BLOCK) for piece in pieces}) == len(pieces)
