"""Overviews of files: against the specification's plain reader, against averages of decoded pixels, and what they read."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from conftest import speckled_db, write_geotiff
from hypothesis import given, settings
from hypothesis import strategies as st
from made_model import PATHS, forced_arithmetic, made_models  # noqa: F401 (a fixture)
from plain_overview import plain_cells, plain_corrected, plain_halved, plain_power, plain_unevenness
from rasterio.windows import Window
from scenes import EMPTY_TILE, FALLBACK_TILE, TILE, write_kinds_scene

import sarz_format as sarz
from sarz_format.codec import pool
from sarz_format.container import open_container
from sarz_format.decoder import WindowDecoder
from sarz_format.grid import Box
from sarz_format.index import ENTRY_BYTES
from sarz_format.mask import VALID, ZERO
from sarz_format.overview import overview_box
from sarz_format.source import BytesSource

FACTORS = (2, 4, 8, 16, 32, 64, 128, 256)


@pytest.fixture(scope="module")
def scene(made_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: F811
    """Every kind of tile and pixel in linear power, two band groups."""
    folder = tmp_path_factory.mktemp("scene")
    sarz.compress(write_kinds_scene(folder / "scene.tif"), folder / "scene.sarz", tile_size=TILE, quality=40)
    return folder / "scene.sarz"


@pytest.fixture(scope="module")
def overviews(scene: Path) -> dict[int, np.ndarray]:
    with sarz.open(scene) as src:
        return {factor: src.read_overview(factor) for factor in FACTORS}


def plain_sums(path: Path, group: int) -> tuple[np.ndarray, np.ndarray]:
    """Count and power ``(bands, cell rows, cell cols)`` at the factor of 8, by the specification's words."""
    with open_container(path) as container:
        decoder, grid, entry = WindowDecoder(container), container.header.grid, container.header.groups[group]
        engine = decoder._engine(group)
        rows, cols = grid.latents.shape
        y, known = np.zeros((rows, cols, 4 * len(entry.bands)), int), np.zeros((rows, cols), bool)
        count, total = np.zeros((2, len(entry.bands), 2 * rows, 2 * cols))
        tiles = {position: tile for row in range(grid.rows) for position, tile in
                 zip(((row, col) for col in range(grid.cols)), decoder.load_row(group, row))}
        for position, tile in tiles.items():
            if tile.latents is not None:
                y[grid.tile_latents(*position).slices()] = tile.latents[..., engine.coder.coarse]
                known[grid.tile_latents(*position).slices()] = True
        cells = plain_cells(y, engine.network.model.S, engine.network.model.Q)
        known = known.repeat(2, 0).repeat(2, 1)
        uneven = [plain_unevenness(band, known) for band in cells]
        values, _ = decoder.read(entry.bands, 0, 0, grid.height, grid.width)
        for position, tile in tiles.items():
            box = grid.tile(*position)
            for member, band in enumerate(entry.bands):
                plane = tile.planes[member].array(box.shape)
                for i in range(box.row0 // 8, -(-box.row1 // 8)):
                    for j in range(box.col0 // 8, -(-box.col1 // 8)):
                        part = Box(8 * i, 8 * j, 8 * i + 8, 8 * j + 8).intersection(box)
                        classes = plane[part.slices(box)]
                        if tile.entry.fallback:
                            v = np.zeros((8, 8))
                            n = np.zeros((8, 8))
                            pixels = values[(member, *part.slices())].astype(np.float64)
                            good = np.isfinite(pixels) & (pixels >= 0)
                            v[: pixels.shape[0], : pixels.shape[1]] = np.where(good, pixels, 0)
                            n[: pixels.shape[0], : pixels.shape[1]] = good
                            for _ in range(3):
                                n, v = plain_halved(n), plain_halved(v)
                            count[member, i, j], total[member, i, j] = n[0, 0], v[0, 0]
                            continue
                        valid, zero = (classes == VALID).sum(), (classes == ZERO).sum()
                        count[member, i, j] = valid + zero
                        if valid:
                            p = plain_corrected(cells[member, i, j], uneven[member][i, j], tile.entry.overview[member])
                            total[member, i, j] = valid * plain_power(p, container.header.offsets_db[band])
        return count[:, : -(-grid.height // 8), : -(-grid.width // 8)], total[:, : -(-grid.height // 8), : -(-grid.width // 8)]


@pytest.mark.parametrize("group", [0, 1])
def test_overviews_are_those_of_the_specification(scene: Path, overviews: dict[int, np.ndarray], group: int) -> None:
    count, total = plain_sums(scene, group)
    with open_container(scene) as container:
        bands = container.header.groups[group].bands
    for factor in FACTORS[2:]:
        for member, band in enumerate(bands):
            with np.errstate(invalid="ignore"):
                expected = (total[member] / count[member]).astype(np.float32)
            expected[total[member] == 0] = 0
            expected[count[member] == 0] = np.nan
            np.testing.assert_array_equal(overviews[factor][band], expected, f"{factor} {band}")
        count, total = (np.array([plain_halved(band) for band in a]) for a in (count, total))


def averages(values: np.ndarray, factor: int) -> np.ndarray:
    """Mean power of what is finite and not negative in ``(bands, rows, cols)``, NaN where there is none."""
    bands, rows, cols = values.shape
    box = overview_box(rows, cols, factor)
    padded = np.full((bands, box.row1 * factor, box.col1 * factor), np.nan)
    padded[:, :rows, :cols] = np.where(np.isfinite(values) & (values >= 0), values, np.nan)
    blocks = padded.reshape(bands, box.row1, factor, box.col1, factor)
    with np.errstate(invalid="ignore"):
        return np.nansum(blocks, axis=(2, 4)) / np.isfinite(blocks).sum(axis=(2, 4))


@pytest.mark.parametrize("factor", [2, 4])
def test_small_factors_average_decoded_pixels(scene: Path, overviews: dict[int, np.ndarray], factor: int) -> None:
    with sarz.open(scene) as src:
        expected = averages(src.read(), factor)
    assert np.isnan(expected).any() and (expected == 0).any()
    np.testing.assert_allclose(overviews[factor], expected, rtol=1e-6)


@settings(max_examples=40, deadline=None)
@given(factor=st.sampled_from(FACTORS[:-2]), data=st.data())
def test_any_window_is_a_part_of_the_whole(
    scene: Path, overviews: dict[int, np.ndarray], factor: int, data: st.DataObject
) -> None:
    rows, cols = overviews[factor].shape[1:]
    top, left = data.draw(st.integers(0, rows - 1)), data.draw(st.integers(0, cols - 1))
    height, width = data.draw(st.integers(1, rows - top)), data.draw(st.integers(1, cols - left))
    bands = data.draw(st.lists(st.integers(1, 3), min_size=1, max_size=3))
    with sarz.open(scene, cache_bytes=data.draw(st.sampled_from([0, 1 << 28]))) as src:
        part = src.read_overview(factor, Window(left, top, width, height), bands)
    expected = overviews[factor][[band - 1 for band in bands], top : top + height, left : left + width]
    np.testing.assert_array_equal(part, expected)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("batch_size", [1, 5])
def test_arithmetic_and_batch_do_not_matter(
    scene: Path, overviews: dict[int, np.ndarray], path: str, batch_size: int
) -> None:
    with forced_arithmetic(path), sarz.open(scene, device="cpu", batch_size=batch_size) as src:
        for factor in (4, 8, 32):
            np.testing.assert_array_equal(src.read_overview(factor), overviews[factor])


@pytest.mark.parametrize("threads", [1, 3])
def test_threads_do_not_matter(scene: Path, overviews: dict[int, np.ndarray], threads: int) -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        pool._forget()
        with sarz.open(scene, device="cpu") as src:
            np.testing.assert_array_equal(src.read_overview(8), overviews[8])
    finally:
        torch.set_num_threads(before)
        pool._forget()


def test_strips_do_not_matter(
    scene: Path, overviews: dict[int, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sarz_format.overview_decoder.COARSE_STRIP", 1)
    monkeypatch.setattr("sarz_format.overview_decoder.PIECE", 64)
    with sarz.open(scene) as src:
        for factor in FACTORS:
            np.testing.assert_array_equal(src.read_overview(factor), overviews[factor])


@settings(max_examples=8, deadline=None)
@given(height=st.integers(1, 150), width=st.integers(1, 150), tile_size=st.sampled_from([64, 128, 192]))
def test_rasters_of_any_shape(made_models: Path, tmp_path_factory: pytest.TempPathFactory, height: int, width: int,  # noqa: F811
                              tile_size: int) -> None:
    folder = tmp_path_factory.mktemp("shape")
    values = speckled_db((1, height, width)).astype(np.float32)
    values[0, : height // 3, : width // 3] = np.nan
    sarz.compress(write_geotiff(folder / "a.tif", values, nodata=np.nan), folder / "a.sarz", tile_size=tile_size)
    with sarz.open(folder / "a.sarz") as src:
        decoded = src.read()
        for factor in (2, 8, 128):
            small = src.read_overview(factor)
            expected = 10 * np.log10(averages(10 ** (decoded / 10), factor))
            assert small.shape == expected.shape
            np.testing.assert_array_equal(np.isnan(small), np.isnan(expected))
            if factor < 8:
                np.testing.assert_allclose(small, expected, atol=1 / 128)


@pytest.fixture(scope="module")
def crop(tmp_path_factory: pytest.TempPathFactory, harvey_grd: Path) -> Path:
    """A real raster, coded with the installed model."""
    path = tmp_path_factory.mktemp("crop") / "crop.sarz"
    sarz.compress(harvey_grd, path, tile_size=256)
    return path


@pytest.mark.parametrize("name", ["harvey_grd", "terramind_db", "harvey_sigma0", "spatialist_db"])
@pytest.mark.parametrize("quality", [20, 55])
def test_coarse_overviews_have_the_mean_power_of_real_rasters(
    request: pytest.FixtureRequest, tmp_path: Path, name: str, quality: int
) -> None:
    path = tmp_path / "raster.sarz"
    scale = sarz.compress(request.getfixturevalue(name), path, quality=quality).scale
    power = {"amplitude": lambda v: v.astype(float) ** 2, "intensity": lambda v: v, "db": lambda v: 10 ** (v / 10)}[scale]
    with sarz.open(path) as src:
        pixels, small = (power(src.read(masked=True)), power(src.read_overview(8)))
    rows, cols = (n // 8 for n in pixels.shape[1:])
    blocks = np.ma.filled(pixels.astype(float), np.nan)[:, : 8 * rows, : 8 * cols].reshape(-1, rows, 8, cols, 8)
    for band, mean in zip(small[:, :rows, :cols], blocks.mean((2, 4))):
        whole = np.isfinite(mean)
        error = 10 * np.log10(band[whole] / mean[whole])
        assert abs(10 * np.log10(band[whole].sum() / mean[whole].sum())) < 0.05
        assert np.sqrt(np.mean(error**2)) < 1.1
        assert abs(error.mean()) < 0.45


class RecordingSource(BytesSource):
    """Notes which bytes are read."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.ranges: list[tuple[int, int]] = []

    def _read(self, offset: int, length: int) -> bytes:
        self.ranges.append((offset, offset + length))
        return super()._read(offset, length)


@pytest.mark.parametrize("factor", [8, 64])
def test_no_detail_byte_is_read(crop: Path, factor: int) -> None:
    source = RecordingSource(crop.read_bytes())
    with sarz.open(source) as src:
        opened = len(source.ranges)
        src.read_overview(factor)
        offset, length = src._opened().coarse_section
        assert source.ranges[opened:] == [(offset, offset + length)]
    with sarz.open(source) as src:
        source.ranges.clear()
        src.read_overview(8, Window(2, 3, 4, 4))
        [(start, stop)] = source.ranges
        assert start >= offset and stop <= offset + length


def test_lossless_tiles_are_read_whole(scene: Path) -> None:
    source = RecordingSource(scene.read_bytes())
    with sarz.open(source) as src:
        source.ranges.clear()
        row, col = FALLBACK_TILE
        src.read_overview(8, Window(col * TILE // 8, row * TILE // 8, 2, 2))
        entry = src._opened().index.entry(row, col, 0)
    assert any(a <= entry.detail_offset < b for a, b in source.ranges)


def test_empty_tiles_are_nodata_without_their_detail(scene: Path, overviews: dict[int, np.ndarray]) -> None:
    row, col = EMPTY_TILE
    assert np.isnan(overviews[8][:, row * 8 : row * 8 + 8, col * 8 :]).all()


def test_files_without_corrections_take_usual_ones(crop: Path) -> None:
    data = bytearray(crop.read_bytes())
    with open_container(bytes(data)) as container:
        start, tiles = container.preamble.index_offset, len(container.index)
        assert (container.index.entries["overview"] != 0).all()
    for tile in range(tiles):
        data[start + tile * ENTRY_BYTES + 36 : start + (tile + 1) * ENTRY_BYTES] = bytes(4)
    index_crc = zlib.crc32(data[start : start + tiles * ENTRY_BYTES])
    data[0x24:0x28] = struct.pack("<I", index_crc)
    data[0x3C:0x40] = struct.pack("<I", zlib.crc32(data[:0x3C]))
    with sarz.open(bytes(data)) as old, sarz.open(crop) as new:
        np.testing.assert_array_equal(old.read(), new.read())
        a, b = (src.read_overview(8).astype(float) for src in (old, new))
        assert 0.02 < abs(20 * np.log10(a / b)).mean() < 1.0


def test_damage_of_a_coarse_part(crop: Path) -> None:
    data = bytearray(crop.read_bytes())
    with open_container(bytes(data)) as container:
        data[container.index.entry(0, 0, 0).coarse_offset + 20] ^= 1
    with sarz.open(crop) as src:
        whole = src.read_overview(8)
    with sarz.open(bytes(data)) as src, pytest.raises(sarz.DamagedTileError, match="tile row 0, column 0"):
        src.read_overview(8)
    with sarz.open(bytes(data), on_damage="mask") as src, pytest.warns(sarz.TileDamageWarning, match="masked"):
        small = src.read_overview(8)
        assert (small[:, :34, :34] == 0).all() and np.array_equal(small[:, 34:], whole[:, 34:])
        assert (small[:, 34:] > 0).all()
        coarser = src.read_overview(64)
        assert (coarser[:, :4, :4] == 0).all()
        assert (coarser[:, 4, :4] > 0).all()  # what is left of these


def test_damage_of_a_detail_part_is_not_met(crop: Path) -> None:
    data = bytearray(crop.read_bytes())
    with open_container(bytes(data)) as container:
        data[container.index.entry(0, 0, 0).detail_offset + 20] ^= 1
    with sarz.open(crop) as whole, sarz.open(bytes(data)) as src:
        np.testing.assert_array_equal(src.read_overview(8), whole.read_overview(8))
        with pytest.raises(sarz.DamagedTileError):
            src.read_overview(4)


def test_a_lossless_file_is_averaged(tmp_path: Path, harvey_grd: Path) -> None:
    sarz.compress(harvey_grd, tmp_path / "a.sarz", lossless=True, tile_size=192)
    with rasterio.open(harvey_grd) as original, sarz.open(tmp_path / "a.sarz") as src:
        values = original.read().astype(float)
        values[values == 0] = np.nan
        for factor in (2, 8, 64):
            expected = np.sqrt(averages(values**2, factor))
            np.testing.assert_allclose(src.read_overview(factor), expected, atol=0.5 + 1e-6)


def test_angles_are_averaged_as_they_are(tmp_path: Path, made_models: Path) -> None:  # noqa: F811
    values = np.stack([speckled_db((90, 130)), np.linspace(30, 40, 90)[:, None] + np.zeros(130)]).astype(np.float32)
    path = write_geotiff(tmp_path / "a.tif", values, nodata=np.nan)
    with rasterio.open(path, "r+") as dst:
        dst.descriptions = ("VV", "incidence angle")
    sarz.compress(path, tmp_path / "a.sarz", tile_size=64)
    with sarz.open(tmp_path / "a.sarz") as src:
        for factor in (4, 16):
            expected = averages(values[1:].astype(float), factor)[0]
            np.testing.assert_allclose(src.read_overview(factor, indexes=2), expected, rtol=1e-6)


def test_a_constant_raster_stays_constant(tmp_path: Path, constant_raster: Path) -> None:
    sarz.compress(constant_raster, tmp_path / "a.sarz", tile_size=64)
    with sarz.open(tmp_path / "a.sarz") as src:
        for factor in (8, 32):
            assert np.abs(src.read_overview(factor).astype(int) - 100).max() <= 1


def test_what_overviews_cost_is_counted(crop: Path) -> None:
    with sarz.open(crop) as src:
        opened = src.stats
        src.read_overview(8)
        assert src.stats.tiles_decoded == 4 and src.stats.requests == opened.requests + 1
        src.read_overview(16)
        assert src.stats.tiles_decoded == 4 and src.stats.cache_hits == 4


