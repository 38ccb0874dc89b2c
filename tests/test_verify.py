"""`sarz.verify`: every damaged tile is named, and the error measured anew is the recorded one."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
from made_model import made_models  # noqa: F401 (a fixture)
from scenes import EMPTY_TILE, FALLBACK_TILE, SHAPE, TILE, kinds_scene, write_kinds_scene

import sarz_format as sarz
from sarz_format.container import open_container
from sarz_format.container_writer import ContainerWriter
from sarz_format.errors import DamagedTileError
from sarz_format.grid import TileGrid
from sarz_format.statistics import BandStatistics

pytestmark = pytest.mark.usefixtures("made_models")

GRID = TileGrid(*SHAPE, TILE)
TILES = GRID.rows * GRID.cols * 2


@pytest.fixture(scope="module")
def folder(made_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: F811
    """`scene.tif` and `scene.sarz` of it: every kind of tile and pixel in two band groups."""
    folder = tmp_path_factory.mktemp("verify")
    sarz.compress(write_kinds_scene(folder / "scene.tif"), folder / "scene.sarz", tile_size=TILE, quality=40)
    return folder


@pytest.fixture
def scene(folder: Path) -> Path:
    return folder / "scene.sarz"


@pytest.fixture
def raster(folder: Path) -> Path:
    return folder / "scene.tif"


def flipped(path: Path, *tiles: tuple[int, int, int, str]) -> bytes:
    """The file with a byte of parts of some tiles flipped."""
    data = bytearray(path.read_bytes())
    index = open_container(bytes(data)).index
    for row, col, group, part in tiles:
        entry = index.entry(row, col, group)
        data[getattr(entry, f"{part}_offset") + getattr(entry, f"{part}_length") // 2] ^= 4
    return bytes(data)


def with_statistics(path: Path, target: Path, statistics: list[BandStatistics]) -> Path:
    """The same tiles under other statistics."""
    with open_container(path) as container, ContainerWriter(target, container.header) as writer:
        for number in range(len(container.index)):
            entry = container.index[number]
            coarse, detail = container.read_parts([(number, "coarse"), (number, "detail")])
            writer.write_tile(coarse, detail, flags=entry.flags, quality=entry.quality)
        writer.finish(statistics)
    return target


def changed(raster: Path, target: Path, values: np.ndarray | None = None, **profile: object) -> Path:
    """A copy of the raster with other values or another profile."""
    with rasterio.open(raster) as src, rasterio.open(target, "w", **{**src.profile, **profile}) as dst:
        dst.write(src.read() if values is None else values)
        dst.descriptions = src.descriptions
    return target


def test_a_sound_file(scene: Path) -> None:
    calls: list[tuple[int, int]] = []
    report = sarz.verify(scene, progress=lambda done, total: calls.append((done, total)))
    assert report.ok and report.problems == [] and report.damaged_tiles == []
    assert report.tiles == TILES and calls == [(8, TILES), (16, TILES), (TILES, TILES)]
    assert report.bytes_read >= report.input_bytes == scene.stat().st_size
    assert [band["valid_pixels"] for band in report.bands] == [s.count for s in open_container(scene).statistics]
    assert all(band["measured"] is None for band in report.bands)


def test_the_error_measured_anew_is_the_recorded_one(scene: Path, raster: Path) -> None:
    report = sarz.verify(scene, raster)
    assert report.ok, report.problems
    recorded = open_container(scene).statistics
    values = kinds_scene()
    with sarz.open(scene) as src:
        decoded = src.read()
    for band, (figures, statistics) in enumerate(zip(report.bands, recorded)):
        measured = figures["measured"]
        assert measured["equals_recorded"] and measured["rmse_db"] == statistics.rmse_db > 0
        row, col = measured["worst_row"], measured["worst_col"]
        error_db = 10 * abs(np.log10(float(decoded[band, row, col])) - np.log10(float(values[band, row, col])))
        assert error_db == pytest.approx(statistics.max_error_db, abs=6e-4)


@pytest.mark.parametrize("name", ["harvey_grd", "ssl4eo_db", "harvey_sigma0", "spatialist_db"])
def test_real_rasters(name: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    raster = request.getfixturevalue(name)
    sarz.compress(raster, tmp_path / "x.sarz", tile_size=128)
    report = sarz.verify(tmp_path / "x.sarz", raster)
    assert report.ok, report.problems
    assert all(band["measured"]["equals_recorded"] for band in report.bands)


def test_bytes_and_an_open_dataset(scene: Path, raster: Path) -> None:
    with rasterio.open(raster) as src:
        assert sarz.verify(scene.read_bytes(), src).ok
        assert not src.closed


def test_every_damaged_tile_is_named(scene: Path, raster: Path) -> None:
    hurt = [(0, 0, 0, "detail"), (0, 1, 1, "coarse"), (*EMPTY_TILE, 0, "coarse"), (*FALLBACK_TILE, 0, "detail")]
    for against in (None, raster):
        with warnings.catch_warnings(record=True) as caught:
            report = sarz.verify(flipped(scene, *hurt), against)
        assert not caught and not report.ok and report.tiles == TILES
        assert report.damaged_tiles == sorted(tile[:3] for tile in hurt)
        assert len(report.problems) == len(hurt)  # what is whole still agrees with the raster
        for row, col, group, part in hurt:
            (line,) = [p for p in report.problems if f"tile row {row}, column {col}, band group {group}" in p]
            assert f"CRC-32 of its {part} part" in line


def test_damage_that_no_checksum_tells(scene: Path, tmp_path: Path) -> None:
    with open_container(scene) as container, ContainerWriter(tmp_path / "x.sarz", container.header) as writer:
        for number in range(len(container.index)):
            coarse, detail = container.read_parts([(number, "coarse"), (number, "detail")])
            if number == 3:
                detail = detail[:-9] + bytes(9)
            writer.write_tile(coarse, detail, flags=container.index[number].flags, quality=40)
        writer.finish(list(container.statistics))
    report = sarz.verify(tmp_path / "x.sarz")
    assert report.damaged_tiles == [(0, 1, 1)]


def test_a_wrong_count_is_found_without_the_raster(scene: Path, tmp_path: Path) -> None:
    first, *rest = open_container(scene).statistics
    bad = with_statistics(scene, tmp_path / "x.sarz", [replace(first, count=first.count + 1), *rest])
    (problem,) = sarz.verify(bad).problems
    assert problem.startswith("band 1:") and str(first.count + 1) in problem


def test_a_wrong_error_is_found_with_the_raster(scene: Path, raster: Path, tmp_path: Path) -> None:
    first, second, third = open_container(scene).statistics
    wrong = replace(second, sum_error_mdb=second.sum_error_mdb + 1)
    bad = with_statistics(scene, tmp_path / "x.sarz", [first, wrong, third])
    assert sarz.verify(bad).ok
    report = sarz.verify(bad, raster)
    (problem,) = report.problems
    assert problem.startswith("band 2: the error recorded is")
    assert [band["measured"]["equals_recorded"] for band in report.bands] == [True, False, True]


def pixel_of(values: np.ndarray, chosen: np.ndarray) -> tuple[int, ...]:
    """The last pixel of a mask over the first band's tile (0, 2), which is coded."""
    box = np.zeros(values.shape, bool)
    box[0, :TILE, 2 * TILE : 3 * TILE] = True
    return tuple(np.argwhere(box & chosen)[-1])


def test_another_valid_pixel_changes_the_error_alone(scene: Path, raster: Path, tmp_path: Path) -> None:
    values = kinds_scene()
    values[pixel_of(values, np.isfinite(values) & (values > 0))] *= 2
    (problem,) = sarz.verify(scene, changed(raster, tmp_path / "x.tif", values)).problems
    assert problem.startswith("band 1: the error recorded is")


def test_another_exact_pixel_is_found(scene: Path, raster: Path, tmp_path: Path) -> None:
    values = kinds_scene()
    _, row, col = place = pixel_of(values, values < 0)
    values[place] = -5e-3
    report = sarz.verify(scene, changed(raster, tmp_path / "x.tif", values))
    assert report.problems == [
        f"band 1: 1 pixels that are stored exactly differ from the raster, the first at row {row}, column {col}"
    ]
    assert report.bands[0]["measured"]["changed_exact_pixels"] == 1


def test_another_pixel_of_a_lossless_tile_is_found(scene: Path, raster: Path, tmp_path: Path) -> None:
    values = kinds_scene()
    row, col = FALLBACK_TILE[0] * TILE + 3, FALLBACK_TILE[1] * TILE + 4
    values[0, row, col] = np.nextafter(values[0, row, col], np.float32(1e30))
    (problem,) = sarz.verify(scene, changed(raster, tmp_path / "x.tif", values)).problems
    assert problem.endswith(f"the first at row {row}, column {col}")


def test_moved_nodata_is_found(scene: Path, raster: Path, tmp_path: Path) -> None:
    values = kinds_scene()
    _, row, col = place = pixel_of(values, np.isfinite(values) & (values > 0))
    values[place] = np.nan
    problems = sarz.verify(scene, changed(raster, tmp_path / "x.tif", values)).problems
    assert any(f"something else in the raster, the first at row {row}, column {col}" in p for p in problems)


def test_other_georeferencing_is_told(scene: Path, raster: Path, tmp_path: Path) -> None:
    moved = rasterio.Affine(10, 0, 500_010, 0, -10, 5_000_000)
    other = changed(raster, tmp_path / "x.tif", transform=moved, crs="EPSG:32634")
    problems = sarz.verify(scene, other).problems
    assert [p.split(" differs")[0] for p in problems] == ["crs", "transform"]
    assert "500010" in problems[1]


def test_another_raster_is_an_error(scene: Path, raster: Path, tmp_path: Path, harvey_grd: Path) -> None:
    with pytest.raises(sarz.SarzOptionError, match="2 bands, but .* has 3"):
        sarz.verify(scene, harvey_grd)
    with pytest.raises(sarz.SarzOptionError, match="512 x 512 pixels, but .* has 150 x 212"):
        sarz.verify(scene, harvey_grd, indexes=[1, 2, 1])
    with pytest.raises(sarz.SarzOptionError, match="float64, but .* has float32"):
        sarz.verify(scene, changed(raster, tmp_path / "x.tif", kinds_scene().astype(float), dtype="float64"))
    with pytest.raises(sarz.SarzOptionError, match="bands 1 to 2"):
        sarz.verify(scene, harvey_grd, indexes=[1, 2, 3])
    with pytest.raises(sarz.SarzOptionError, match="none was given"):
        sarz.verify(scene, indexes=[1])
    with pytest.raises(sarz.SarzFileNotFoundError):
        sarz.verify(scene, tmp_path / "missing.tif")


def test_bands_of_the_raster(raster: Path, tmp_path: Path) -> None:
    sarz.compress(raster, tmp_path / "x.sarz", indexes=[3, 1], tile_size=TILE, quality=40)
    assert sarz.verify(tmp_path / "x.sarz", raster, indexes=[3, 1]).ok
    assert not sarz.verify(tmp_path / "x.sarz", raster, indexes=[1, 3]).ok


def test_nothing_valid(all_nodata_raster: Path, tmp_path: Path) -> None:
    sarz.compress(all_nodata_raster, tmp_path / "x.sarz")
    report = sarz.verify(tmp_path / "x.sarz", all_nodata_raster)
    assert report.ok
    measured = report.to_json()["bands"][0]["measured"]
    assert measured["pixels_compared"] == 0 and measured["rmse_db"] is None and measured["worst_row"] is None


def test_a_damaged_header_is_an_error(scene: Path) -> None:
    data = bytearray(scene.read_bytes())
    data[70] ^= 1
    with pytest.raises(sarz.SarzFormatError):
        sarz.verify(bytes(data))
    with pytest.raises(sarz.SarzFormatError) as caught:
        sarz.verify(b"II*\0 a GeoTIFF")
    assert not isinstance(caught.value, DamagedTileError)
