"""Damaged files: every flipped byte is found and named, and what is whole still reads."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from conftest import speckled_db, write_geotiff
from hypothesis import given, settings
from hypothesis import strategies as st
from made_model import made_models  # noqa: F401 (a fixture)
from rasterio.windows import Window
from scenes import EMPTY_TILE, FALLBACK_TILE, SHAPE, TILE, write_kinds_scene

import sarz_format as sarz
from sarz_format.codec.payload import join_segments, split_segments
from sarz_format.container import open_container
from sarz_format.container_writer import ContainerWriter
from sarz_format.deflate import deflate
from sarz_format.errors import DamagedTileError, SarzFormatError, TileDamageWarning
from sarz_format.grid import TileGrid
from sarz_format.index import EMPTY, FALLBACK, TileEntry
from sarz_format.mask import EXACT, NODATA, VALID, ZERO, class_plane, pack_plane

pytestmark = pytest.mark.usefixtures("made_models")

HALO = 48
GRID = TileGrid(*SHAPE, TILE)

Change = Callable[[TileEntry, bytes, bytes], tuple[bytes, bytes, int]]
"""``(entry, coarse, detail)`` to the coarse part, the detail part and the flags."""


@pytest.fixture(scope="module")
def scene(made_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: F811
    """Every kind of tile, and two band groups: bands 3 and 1 in group 0, band 2 in group 1."""
    folder = tmp_path_factory.mktemp("scene")
    sarz.compress(write_kinds_scene(folder / "scene.tif"), folder / "scene.sarz", tile_size=TILE, quality=40)
    return folder / "scene.sarz"


@pytest.fixture(scope="module")
def whole(scene: Path) -> np.ndarray:
    with sarz.open(scene) as src:
        return src.read()


def flipped(path: Path, *offsets: int) -> bytes:
    data = bytearray(path.read_bytes())
    for offset in offsets:
        data[offset] ^= 1 << offset % 8
    return bytes(data)


def offset_of(path: Path, row: int, col: int, group: int, part: str = "detail") -> int:
    """A byte in the middle of a tile's part."""
    with open_container(path) as container:
        entry = container.index.entry(row, col, group)
    return getattr(entry, f"{part}_offset") + getattr(entry, f"{part}_length") // 2


def spoiled(row: int, col: int) -> np.ndarray:
    """The pixels that a damaged tile spoils: its own, and those of tiles with latents that see its latents."""
    mask = np.zeros(SHAPE, bool)
    mask[GRID.tile(row, col).grown(HALO).intersection(GRID.raster).slices()] = True
    if (row, col) != EMPTY_TILE:
        mask[GRID.tile(*EMPTY_TILE).slices()] = False
    return mask


def test_every_flipped_byte_before_the_tiles_is_found(scene: Path) -> None:
    with open_container(scene) as container:
        end = container.detail_section[0]
    for offset in range(end):
        with pytest.raises(SarzFormatError):
            sarz.open(flipped(scene, offset))


@pytest.mark.parametrize("part", ["coarse", "detail"])
def test_a_flipped_byte_of_a_tile_is_an_error_that_names_it(scene: Path, part: str) -> None:
    for row in range(GRID.rows):
        for col in range(GRID.cols):
            for group, band in ((0, 1), (1, 2)):
                damaged = flipped(scene, offset_of(scene, row, col, group, part))
                box = GRID.tile(row, col)
                with sarz.open(damaged) as src, pytest.raises(DamagedTileError) as caught:
                    src.read(band, window=Window(box.col0 + 3, box.row0 + 5, 2, 2))
                assert (caught.value.tile_row, caught.value.tile_col, caught.value.group) == (row, col, group)
                assert f"tile row {row}, column {col}, band group {group}" in str(caught.value)


def test_other_windows_of_a_damaged_file_still_read(scene: Path, whole: np.ndarray) -> None:
    with sarz.open(flipped(scene, offset_of(scene, 1, 1, 0))) as src:
        assert np.array_equal(src.read(2), whole[1], equal_nan=True)
        window = Window(176, 0, 36, 150)
        assert np.array_equal(src.read(window=window), whole[:, :, 176:], equal_nan=True)
        with pytest.raises(DamagedTileError):
            src.read(1, window=Window(175, 80, 1, 1))


@pytest.mark.parametrize("part", ["coarse", "detail"])
@pytest.mark.parametrize("position", [(1, 1), (0, 0), (2, 3), EMPTY_TILE, FALLBACK_TILE])
def test_masking_takes_a_tile_and_its_halo_and_nothing_else(
    scene: Path, whole: np.ndarray, position: tuple[int, int], part: str
) -> None:
    mask = spoiled(*position)
    with sarz.open(flipped(scene, offset_of(scene, *position, 0, part)), on_damage="mask") as src:
        with pytest.warns(TileDamageWarning, match=f"tile row {position[0]}, column {position[1]}, band group 0"):
            values = src.read([1, 3])
        masked = src.read([1, 3], masked=True)
        assert np.array_equal(src.read(2), whole[1], equal_nan=True)
    assert np.isnan(values[:, mask]).all()
    assert np.array_equal(values[:, ~mask], whole[[0, 2]][:, ~mask], equal_nan=True)
    assert masked.mask[:, mask].all()
    assert np.array_equal(masked.mask[:, ~mask], np.isnan(whole[[0, 2]][:, ~mask]))


def test_masking_without_nodata_leaves_zeros(tmp_path: Path) -> None:
    values = np.rint(10 ** (speckled_db((1, 64, 200)) / 20) * 300).clip(1).astype(np.uint16)
    sarz.compress(write_geotiff(tmp_path / "x.tif", values), tmp_path / "x.sarz", tile_size=TILE)
    damaged = flipped(tmp_path / "x.sarz", offset_of(tmp_path / "x.sarz", 0, 0, 0))
    with sarz.open(tmp_path / "x.sarz") as src, sarz.open(damaged, on_damage="mask") as hurt:
        with pytest.warns(TileDamageWarning):
            masked = hurt.read(1, masked=True)
        assert (masked.data[:, : TILE + HALO] == 0).all()
        assert masked.mask[:, : TILE + HALO].all()
        assert not masked.mask[:, TILE + HALO :].any()
        assert np.array_equal(masked.data[:, TILE + HALO :], src.read(1)[:, TILE + HALO :])


@pytest.mark.filterwarnings("ignore::sarz_format.errors.TileDamageWarning")
@pytest.mark.parametrize("overlap", [None, 0, 16, 32, 64])
def test_masked_windows_are_parts_of_the_masked_whole(scene: Path, overlap: int | None) -> None:
    damaged = flipped(scene, offset_of(scene, 1, 1, 0), offset_of(scene, 0, 0, 1, "coarse"))
    with sarz.open(damaged, on_damage="mask", overlap=overlap) as src:
        everything = src.read()
        for window in (Window(0, 0, 40, 30), Window(155, 60, 30, 60), Window(30, 20, 9, 9), Window(80, 70, 1, 1),
                       Window(0, 128, 212, 22), Window(97, 31, 1, 1), Window(165, 70, 4, 4)):
            rows, cols = window.toslices()
            for band in (1, 2, 3):
                part = src.read(band, window=window)
                assert np.array_equal(part, src.read([band])[0, rows, cols], equal_nan=True), (window, band)
            assert np.array_equal(src.read(window=window), everything[:, rows, cols], equal_nan=True), window


def test_a_damaged_group_does_not_spoil_the_bands_of_another(scene: Path, whole: np.ndarray) -> None:
    damaged = flipped(scene, offset_of(scene, 1, 1, 0))
    with sarz.open(damaged, on_damage="mask") as src, pytest.warns(TileDamageWarning):
        assert np.array_equal(src.read()[1], whole[1], equal_nan=True)


def test_decompressing_a_damaged_file(scene: Path, whole: np.ndarray, tmp_path: Path) -> None:
    damaged, out = tmp_path / "damaged.sarz", tmp_path / "out.tif"
    damaged.write_bytes(flipped(scene, offset_of(scene, 0, 1, 1), offset_of(scene, 2, 2, 0, "coarse")))
    with pytest.raises(DamagedTileError, match="skip-damaged"):
        sarz.decompress(damaged, out)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["damaged.sarz"]
    with pytest.warns(TileDamageWarning):
        report = sarz.decompress(damaged, out, skip_damaged=True)
    assert [tuple(t) for t in report.damaged_tiles] == [(0, 1, 1), (2, 2, 0)]
    with rasterio.open(out) as src:
        first = src.read(1)
    expected = np.where(spoiled(2, 2), np.nan, whole[0])
    untouched = ~spoiled(0, 1)
    assert np.array_equal(first[untouched], expected[untouched], equal_nan=True)


# Malformed parts whose checksums are right: only a hostile or broken writer makes them.


def rewritten(path: Path, dst: Path, change: Change) -> Path:
    """A well-formed file whose tiles hold what `change` makes of them."""
    dst.unlink(missing_ok=True)
    with open_container(path) as container, ContainerWriter(dst, container.header) as writer:
        for number in range(len(container.index)):
            entry = container.index[number]
            coarse, detail = container.read_parts([(number, "coarse"), (number, "detail")])
            coarse, detail, flags = change(entry, coarse, detail)
            writer.write_tile(coarse, detail, flags=flags, quality=entry.quality, overview=() if flags else entry.overview)
        writer.finish(container.statistics)
    return dst


def at(position: tuple[int, int], group: int, part: Callable[[bytes, bytes], tuple[bytes, bytes]],
       flags: int | None = None) -> Change:
    """A change of one tile."""

    def change(entry: TileEntry, coarse: bytes, detail: bytes) -> tuple[bytes, bytes, int]:
        if (entry.tile_row, entry.tile_col, entry.group) != (*position, group):
            return coarse, detail, entry.flags
        return *part(coarse, detail), entry.flags if flags is None else flags

    return change


def test_rewriting_changes_nothing(scene: Path, tmp_path: Path) -> None:
    copy = rewritten(scene, tmp_path / "copy.sarz", lambda entry, coarse, detail: (coarse, detail, entry.flags))
    assert copy.read_bytes() == scene.read_bytes()


def planes(part: bytes, *new: bytes) -> bytes:
    """A coarse part with other class planes."""
    return join_segments([*new, *split_segments(part, len(new) + 2)[len(new) :]])


def plane(*classes: int, tile: tuple[int, int] = (1, 1)) -> bytes:
    """A class plane that begins with those classes and goes on with VALID ones."""
    field = np.zeros(GRID.tile(*tile).shape, np.uint8)
    field.flat[: len(classes)] = classes
    return pack_plane(class_plane(field))


EMPTY_PART = join_segments([bytes([NODATA]), b"", b""])
NO_DETAIL = join_segments([b"", b"", b"", b"", b""])

HOSTILE: dict[str, Change] = {
    "nothing at all": at((1, 1), 1, lambda c, d: (b"", b"")),
    "noise": at((1, 1), 1, lambda c, d: (b"\x01" * 40, b"\x90" * 50)),
    "no plane": at((1, 1), 1, lambda c, d: (planes(c, b""), d)),
    "a class there is not": at((1, 1), 1, lambda c, d: (planes(c, b"\5"), d)),
    "a plane of another size": at((1, 1), 1, lambda c, d: (planes(c, b"\4" + deflate(bytes(9))), d)),
    "exact pixels without values": at((1, 1), 1, lambda c, d: (planes(c, plane(EXACT, EXACT)), d)),
    "all exact without values": at((1, 1), 1, lambda c, d: (planes(c, bytes([EXACT])), d)),
    "values without exact pixels": at(EMPTY_TILE, 1, lambda c, d: (
        c, join_segments([b"", b"", deflate(bytes(4)), b"", b""]))),
    "an empty tile with valid pixels": at((1, 1), 1, lambda c, d: (
        join_segments([bytes([VALID]), b"", b""]), NO_DETAIL), EMPTY),
    "an empty tile with some valid pixels": at((1, 1), 1, lambda c, d: (
        join_segments([plane(NODATA, ZERO), b"", b""]), NO_DETAIL), EMPTY),
    "an empty tile with latents": at((1, 1), 1, lambda c, d: (c, d), EMPTY),
    "no latents where there should be": at(EMPTY_TILE, 1, lambda c, d: (c, d), 0),
    "a lossless copy that is not announced": at(FALLBACK_TILE, 1, lambda c, d: (c, d), 0),
    "an announced copy that is not there": at((1, 1), 1, lambda c, d: (c, d), FALLBACK),
    "a lossless copy that does not inflate": at(FALLBACK_TILE, 1, lambda c, d: (
        c, join_segments([*split_segments(d, 5)[:4], b"\xff\xff\xff"]))),
    "a lossless copy of another size": at(FALLBACK_TILE, 1, lambda c, d: (
        c, join_segments([*split_segments(d, 5)[:4], deflate(bytes(100))]))),
    "corrections that end early": at((1, 1), 1, lambda c, d: (
        c, join_segments([*split_segments(d, 5)[:3], b"\x11\xff", b""]))),
    "corrections of a lossless tile": at(FALLBACK_TILE, 1, lambda c, d: (
        c, join_segments([*split_segments(d, 5)[:3], b"\x00\x30", split_segments(d, 5)[4]]))),
    "streams exchanged": at((1, 1), 1, lambda c, d: (
        join_segments([split_segments(c, 3)[0], *split_segments(d, 5)[:2]]), d)),
    "latents of another tile": at((2, 3), 1, lambda c, d: (c, join_segments([b"\2" + bytes(4 * 4), b"", b"", b"", b""]))),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_malformed_tiles_are_named_and_can_be_masked(scene: Path, whole: np.ndarray, tmp_path: Path, name: str) -> None:
    hostile = rewritten(scene, tmp_path / "hostile.sarz", HOSTILE[name])
    with sarz.open(hostile) as src, pytest.raises(DamagedTileError) as caught:
        src.read(2)
    position = caught.value.tile_row, caught.value.tile_col
    mask = spoiled(*position)
    with sarz.open(hostile, on_damage="mask") as src:
        with pytest.warns(TileDamageWarning):
            values = src.read(2)
    assert np.isnan(values[mask]).all()
    assert np.array_equal(values[~mask], whole[1][~mask], equal_nan=True)


def test_nodata_pixels_of_a_raster_without_nodata_are_refused(tmp_path: Path) -> None:
    values = np.rint(10 ** (speckled_db((1, 64, 64)) / 20) * 300).clip(1).astype(np.uint16)
    sarz.compress(write_geotiff(tmp_path / "x.tif", values), tmp_path / "x.sarz", tile_size=TILE)
    hostile = rewritten(tmp_path / "x.sarz", tmp_path / "y.sarz",
                        lambda entry, coarse, detail: (EMPTY_PART, NO_DETAIL, EMPTY))
    with sarz.open(hostile) as src, pytest.raises(DamagedTileError):
        src.read(1)


@settings(deadline=None, max_examples=120)
@given(st.data())
def test_any_bytes_with_right_checksums_are_damage_or_pixels(scene: Path, data: st.DataObject) -> None:
    """Never another exception, and with masking none at all."""
    row, col = data.draw(st.sampled_from([(1, 1), (2, 3), EMPTY_TILE, FALLBACK_TILE]))
    which, cut = data.draw(st.integers(0, 1)), data.draw(st.booleans())

    def mutate(coarse: bytes, detail: bytes) -> tuple[bytes, bytes]:
        parts = [bytearray(coarse), bytearray(detail)]
        place = data.draw(st.integers(0, max(0, min(len(parts[which]) - 1, 400))))
        if cut:
            del parts[which][place:]
        else:
            parts[which][place : place + 3] = data.draw(st.binary(min_size=1, max_size=4))
        return bytes(parts[0]), bytes(parts[1])

    hostile = rewritten(scene, scene.with_name("mutated.sarz"), at((row, col), 0, mutate))
    box = GRID.tile(row, col)
    window = Window(box.col0, box.row0, box.shape[1], box.shape[0])
    with sarz.open(hostile) as src:
        try:
            values = src.read(window=window)
        except DamagedTileError as exc:
            assert (exc.tile_row, exc.tile_col, exc.group) == (row, col, 0)
            with sarz.open(hostile, on_damage="mask") as masking, pytest.warns(TileDamageWarning):
                assert np.isnan(masking.read(1, window=window)).all()
        else:
            assert values.shape == (3, *box.shape)


def test_a_file_that_shrinks_while_it_is_open(scene: Path, tmp_path: Path) -> None:
    path = tmp_path / "shrinks.sarz"
    shutil.copyfile(scene, path)
    with sarz.open(path) as src:
        with path.open("r+b") as file:
            file.truncate(3000)
        with pytest.raises(SarzFormatError, match="shrinks"):
            src.read()
