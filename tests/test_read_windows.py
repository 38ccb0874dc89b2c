"""Many windows at once, and pixels as tensors: the same bits as plain reads, of a scene with every kind of tile."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import RasterWriter, speckled_db
from hypothesis import given, settings
from hypothesis import strategies as st
from made_model import made_models  # noqa: F401 (a fixture)
from rasterio.windows import Window
from scenes import SHAPE, TILE, write_kinds_scene

import sarz_format as sarz
from sarz_format import window_jobs
from sarz_format.codec import corrections, lapping, tensor_steps
from sarz_format.codec.corrections import Corrections
from sarz_format.codec.device import Engine
from sarz_format.codec.model import FILTER_ROW_LIMIT
from sarz_format.codec.network import reference_network
from sarz_format.errors import BandIndexError, SarzIOError, SarzOptionError, SarzWindowError
from sarz_format.grid import BLOCK, GAIN_BLOCK, Box
from sarz_format.reader import Dataset
from sarz_format.tensor_pixels import TensorPixels

pytestmark = pytest.mark.usefixtures("made_models")

CPU = torch.device("cpu")


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
    return np.ascontiguousarray(array[(..., *window.toslices())])


@st.composite
def windows(draw: st.DrawFn) -> Window:
    row, col = draw(st.integers(0, SHAPE[0] - 1)), draw(st.integers(0, SHAPE[1] - 1))
    return Window(col, row, draw(st.integers(1, SHAPE[1] - col)), draw(st.integers(1, SHAPE[0] - row)))


def by_tensors(src: Dataset, bands: list[int], places: list[Window], network: str) -> list[torch.Tensor]:
    """What a GPU does, on the CPU: pixels of 0-based bands by the steps in torch, after either network."""
    decoder = src._window_decoder()
    if network == "as on a GPU":
        for group in range(len(src.header.groups)):
            engine = decoder._engine(group)
            decoder._engines[group] = Engine(reference_network(engine.network.model), engine.coder)
    boxes = [Box(w.row_off, w.col_off, w.row_off + w.height, w.col_off + w.width) for w in places]
    return [values for values, _ in decoder._read_all(bands, boxes, TensorPixels(decoder))]


NETWORKS = pytest.mark.parametrize("network", ["of a CPU", "as on a GPU"])


# Windows in batches


@settings(deadline=None, max_examples=30)
@given(st.lists(windows(), max_size=6), st.sampled_from([None, 2, [1], [3, 1, 1]]), st.sampled_from([1, 3]),
       st.sampled_from([0, 1 << 20]))
def test_each_window_is_as_read_alone(
    scene: Path, whole: np.ndarray, places: list[Window], indexes: Any, batch_size: int, cache_bytes: int
) -> None:
    with sarz.open(scene, batch_size=batch_size, cache_bytes=cache_bytes) as src:
        parts = src.read_windows(places, indexes)
    chosen = whole if indexes is None else whole[np.array(indexes) - 1]
    assert len(parts) == len(places)
    assert all(same(part, part_of(chosen, window)) for part, window in zip(parts, places))


@pytest.mark.parametrize("limit", [1, 5000, 1 << 22])
def test_the_size_of_a_batch_of_strips_does_not_matter(
    scene: Path, whole: np.ndarray, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    monkeypatch.setattr(window_jobs, "BATCH_PIXELS", limit)
    places = [Window(100, 3, 70, 140), Window(0, 0, 212, 150), Window(5, 70, 9, 9)]
    with sarz.open(scene) as src:
        assert all(same(part, part_of(whole, window)) for part, window in zip(src.read_windows(places), places))


def test_tiles_that_windows_share_are_decoded_once(scene: Path) -> None:
    places = [Window(2 + i, 2 + i, 30, 30) for i in range(8)]
    with sarz.open(scene, cache_bytes=0) as src:
        src.read(1, window=places[0])
        alone = src.stats.tiles_decoded
        src.read_windows(places, 1)
        assert src.stats.tiles_decoded == 2 * alone
        assert src.stats.cache_hits == 0


def test_windows_of_several_files(scene: Path, whole: np.ndarray, write_raster: RasterWriter, tmp_path: Path) -> None:
    other = tmp_path / "other.sarz"
    sarz.compress(write_raster("other.tif", speckled_db((3, 70, 80)).astype(np.float32)), other, lossless=True)
    with sarz.open(other) as src:
        everything = src.read()
        pairs = [(scene, Window(3, 4, 5, 6)), (src, Window(0, 0, 9, 9)), (str(scene), Window(50, 60, 20, 10))]
        pairs.append((other, None))
        parts = sarz.read_windows(pairs, cache_bytes=0)
        assert not src.closed
    for part, (file, window) in zip(parts, pairs):
        assert same(part, part_of(whole if str(file) == str(scene) else everything, window or Window(0, 0, 80, 70)))
    tensors = sarz.read_windows(pairs[:1], 2, out="torch")
    assert same(tensors[0].numpy(), part_of(whole[1], pairs[0][1]))
    assert sarz.read_windows([]) == []


def test_what_cannot_be_read_is_said(scene: Path) -> None:
    with sarz.open(scene) as src:
        with pytest.raises(SarzWindowError, match="fractions"):
            src.read_windows([Window(0.5, 0, 3, 3)])
        with pytest.raises(SarzWindowError, match="outside"):
            src.read_windows([Window(0, 0, 3, 3), Window(1000, 0, 3, 3)])
        with pytest.raises(BandIndexError):
            src.read_windows([Window(0, 0, 3, 3)], 4)
        with pytest.raises(SarzOptionError, match="'jax'"):
            src.read_windows([Window(0, 0, 3, 3)], out="jax")
        with pytest.raises(SarzOptionError, match="'jax'"):
            src.read(out="jax")
        others = {"masked": True, "out_shape": (3, 3), "boundless": True, "fill_value": 0, "out_dtype": "f8"}
        for option in ({name: value} for name, value in others.items()):
            with pytest.raises(SarzOptionError, match="takes only indexes and window"):
                src.read(out="torch", **option)
    with pytest.raises(SarzIOError, match="closed"):
        src.read_windows([Window(0, 0, 3, 3)])


def test_damage_of_each_window(scene: Path) -> None:
    data = bytearray(scene.read_bytes())
    data[-1] ^= 1
    places = [Window(0, 0, 9, 9), Window(200, 140, 12, 10)]
    with sarz.open(bytes(data), on_damage="mask") as src, pytest.warns(sarz.TileDamageWarning):
        decoder = src._window_decoder()
        boxes = [Box(0, 0, 9, 9), Box(140, 200, 150, 212)]
        (_, none), (values, damaged) = decoder.read_windows([0, 1, 2], boxes)
        assert none is None and damaged is not None and damaged.all()
        tensors = decoder._read_all([0, 1, 2], boxes, TensorPixels(decoder))
        assert same(tensors[1][0].numpy(), values) and np.array_equal(tensors[1][1], damaged)
        assert all(same(a, b) for a, b in zip(src.read_windows(places), [src.read(window=w) for w in places]))


# Tensors


def test_a_tensor_has_the_bits_of_the_array(scene: Path, whole: np.ndarray) -> None:
    with sarz.open(scene) as src:
        values = src.read(out="torch")
        assert isinstance(values, torch.Tensor) and not values.is_inference()
        assert same(values.numpy(), whole)
        window = Window(60, 50, 30, 40)
        assert same(src.read(2, "torch", window).numpy(), part_of(whole[1], window))


@NETWORKS
@settings(deadline=None, max_examples=15)
@given(places=st.lists(windows(), min_size=1, max_size=4), bands=st.lists(st.integers(0, 2), min_size=1, max_size=4))
def test_steps_in_torch_give_the_bits_of_the_host(
    network: str, scene: Path, whole: np.ndarray, places: list[Window], bands: list[int]
) -> None:
    with sarz.open(scene, batch_size=3) as src:
        parts = by_tensors(src, bands, places, network)
    assert all(same(part.numpy(), part_of(whole[bands], window)) for part, window in zip(parts, places))
    assert not any(part.is_inference() for part in parts)


@pytest.mark.parametrize("options", [{"overlap": 0}, {"overlap": 32}, {"power_gains": False}])
def test_options_of_reading_hold_for_tensors(scene: Path, options: dict[str, Any]) -> None:
    with sarz.open(scene, **options) as src:
        (values,) = by_tensors(src, [0, 1, 2], [Window(0, 0, *SHAPE[::-1])], "as on a GPU")
        assert same(values.numpy(), src.read())


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float32",
                                   "float64"])
@pytest.mark.parametrize("lossless", [False, True])
def test_every_dtype(dtype: str, lossless: bool, write_raster: RasterWriter, tmp_path: Path) -> None:
    values = np.clip(10 ** ((speckled_db((2, 70, 80)) + 45) / 20), 1, 120).astype(dtype)
    values[:, :9, :9] = 0
    sarz.compress(write_raster("any.tif", values, nodata=0), tmp_path / "any.sarz", tile_size=TILE, lossless=lossless)
    with sarz.open(tmp_path / "any.sarz") as src:
        (tensor,) = by_tensors(src, [0, 1], [Window(0, 0, 80, 70)], "of a CPU")
        assert str(tensor.dtype) == f"torch.{dtype}" and same(tensor.numpy(), src.read())
        assert same(src.read(out="torch").numpy(), src.read())


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 4), st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_border_filter_in_torch(rows: int, cols: int, seed: int) -> None:
    """With matrices as large as a model's may be, and pixels at the ends of their range."""
    rng = np.random.default_rng(seed)
    matrix = rng.integers(-(FILTER_ROW_LIMIT // BLOCK) + 1, FILTER_ROW_LIMIT // BLOCK, (BLOCK, BLOCK)).astype(np.int32)
    pixels = rng.choice(np.array([-32768, 32767, 0, 100, -7], np.int16), (2, rows * BLOCK, cols * BLOCK))
    filtered = tensor_steps.lap_synthesis(torch.from_numpy(pixels.copy()), matrix)
    lapping.lap_synthesis(pixels, matrix)
    assert same(filtered.contiguous().numpy(), pixels)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 99), st.integers(0, 139), st.integers(0, 2**32 - 1), st.booleans())
def test_corrections_in_torch(top: int, left: int, seed: int, gains: bool) -> None:
    rng = np.random.default_rng(seed)
    shape = (100, 140)
    count = int(rng.integers(0, 40))
    targets = rng.integers(1, 512, count).astype(np.int32) * rng.choice(np.array([-1, 1], np.int32), count)
    made = Corrections(
        rng.integers(-960, 961, (-(-shape[0] // GAIN_BLOCK), -(-shape[1] // GAIN_BLOCK))).astype(np.int32),
        np.sort(rng.choice(shape[0] * shape[1], count, replace=False)).astype(np.int64), targets,
    )  # fmt: skip
    part = int(rng.integers(1, 101 - top)), int(rng.integers(1, 141 - left))
    pixels = rng.integers(-32768, 32768, part).astype(np.int16)
    corrected = torch.from_numpy(pixels.copy())
    tensor_steps.apply_corrections(corrected, made, shape[1], top, left, gains=gains)
    corrections.apply_corrections(pixels, made, shape[1], top, left, gains=gains)
    assert same(corrected.numpy(), pixels)


def test_every_pixel_has_its_value() -> None:
    table = np.arange(65536, dtype=np.uint16)
    pixels = np.arange(-32768, 32768).astype(np.int16).reshape(256, 256)
    values = tensor_steps.gather(tensor_steps.bits_of(table, CPU), torch.from_numpy(pixels)).view(torch.uint16)
    assert np.array_equal(values.numpy(), pixels.view(np.uint16))


def test_reading_windows_imports_no_torch_before_it_decodes(scene: Path) -> None:
    code = f"import sys, sarz_format as s; s.read_windows; s.open({str(scene)!r}).read_windows([])"
    code += "; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
