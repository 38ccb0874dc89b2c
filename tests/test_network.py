"""The integer networks: every path equals plain integers, a part with its context equals the whole."""

from __future__ import annotations

import numpy as np
import plain_network
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from made_model import EXACT_PATHS, PATHS, made_arrays, network_of, noise

from sarz_format.codec.lapping import lap_analysis
from sarz_format.codec.model import IntegerModel, build_model
from sarz_format.codec.mosaic import BatchRunner, extended_latents, frame_of, synthesise
from sarz_format.codec.network import Frame, Network
from sarz_format.grid import BLOCK, Box, TileGrid
from sarz_format.weights import ModelInfo, installed_models, load_model

MODELS = {bands: build_model(made_arrays(bands, 16, blocks)) for bands, blocks in ((1, 2), (2, 3))}


@pytest.fixture(params=PATHS)
def path(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(params=[1, 2])
def network(request: pytest.FixtureRequest, path: str) -> Network:
    return network_of(MODELS[request.param], path)


def made_latents(rows: int, cols: int, channels: int, seed: int = 0, scale: int = 300) -> np.ndarray:
    """Latents with a few at the ends of int16."""
    rng = np.random.default_rng(seed)
    y = rng.normal(0, scale, (rows, cols, channels)).clip(-32768, 32767).astype(np.int16)
    y[rng.random(y.shape) < 0.003] = 32767
    y[rng.random(y.shape) < 0.003] = -32768
    return y


def made_pixels(bands: int, rows: int, cols: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(0, 600, (bands, BLOCK * rows, BLOCK * cols)).astype(np.int16)


def whole_synthesis(network: Network, y: np.ndarray) -> np.ndarray:
    """One box over the whole raster."""
    grid = TileGrid(BLOCK * y.shape[0], BLOCK * y.shape[1], 4096)
    ((_, pixels),) = synthesise(network, BatchRunner(1), grid, lambda row, col: y, [grid.latents])
    return pixels


def whole_analysis(network: Network, pixels: np.ndarray) -> np.ndarray:
    """Latents of all of a raster of whole blocks."""
    halo, x = network.model.halo, pixels.copy()
    lap_analysis(x, network.model.P)
    framed = np.pad(x, ((0, 0), *[(BLOCK * halo, BLOCK * halo)] * 2))
    return network.analysis(framed[None], Frame(halo, halo, halo, halo))[0]


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (7, 2), (11, 14)])
def test_synthesis_equals_integers(network: Network, shape: tuple[int, int]) -> None:
    y = made_latents(*shape, network.model.channels)
    pixels = whole_synthesis(network, y)
    assert pixels.dtype == np.int16
    assert np.array_equal(pixels, plain_network.synthesis(network.model, y))


@pytest.mark.parametrize("shape", [(1, 1), (2, 6), (11, 14)])
def test_analysis_equals_integers(network: Network, shape: tuple[int, int]) -> None:
    """On a raster, and with zeros (not pixels) beyond it, which the frame clears."""
    pixels = made_pixels(network.model.bands, *shape)
    y = whole_analysis(network, pixels)
    assert np.array_equal(y, plain_network.analysis(network.model, pixels))


@pytest.mark.parametrize("shape", [(4, 4), (8, 20)])
def test_hyper_networks_equal_integers(network: Network, shape: tuple[int, int]) -> None:
    model = network.model
    y = np.stack([made_latents(*shape, model.channels, seed) for seed in (0, 1)])
    z = network.hyper_analysis(y)
    assert z.dtype == np.int8
    assert np.array_equal(z, [plain_network.hyper_analysis(model, one) for one in y])
    z = np.concatenate([z, noise(7, z.shape, -127, 127).astype(np.int8)])
    totals = network.hyper_synthesis(z)
    assert np.array_equal(totals, [plain_network.hyper_synthesis(model, one) for one in z])


def largest_model() -> IntegerModel:
    """First layers of one sign whose sums and biases are as large as a model may have them, and largest matrices."""
    arrays = made_arrays(2, 16, 1)
    for part in ("g_a", "g_s"):
        weight = noise(1, (16, 512, 1, 1), 100, 127)
        weight[8:] *= -1
        arrays[f"{part}.first.weight"] = weight.astype(np.int8)
        arrays[f"{part}.first.bias"] = -np.abs(weight).sum((1, 2, 3)).astype(np.int32) * 1500
        arrays[f"{part}.first.shift"] = np.array([4, 5, 6, 7, 8, 9, 10, 11] * 2, np.int8)
    for name in ("A", "S"):
        arrays[name] = noise(3, (16, 16), -8191, 8191).astype(np.int32)
    return build_model(arrays)


def test_the_largest_sums_are_exact(path: str) -> None:
    """Latents whose sums and biases cancel out, so that the last bit of a sum is seen."""
    network = network_of(largest_model(), path)
    first = network.model.layers["g_s.first"]
    total = np.abs(first.weight.astype(np.int64)).sum((1, 2, 3))
    y = np.empty((16, 30, 512), np.int16)
    for channel in range(16):
        sign = 1 if channel < 8 else -1
        level = -4 * sign * first.bias[channel] // total[channel]
        y[channel] = level + np.random.default_rng(channel).integers(-4, 5, (30, 512))
    expected = plain_network.hidden(plain_network.wide(y), first)
    assert np.unique(expected).size > 100  # Otherwise most saturate, and this test says little.
    assert np.array_equal(whole_synthesis(network, y), plain_network.synthesis(network.model, y))


@pytest.mark.parametrize("info", installed_models(), ids=lambda info: info.id)
def test_the_installed_models_give_the_same_on_every_path(info: ModelInfo) -> None:
    """Real weights, latents and pixels with heavy tails, a frame, and shapes as large as a tile's."""
    model = load_model(info)
    rng = np.random.default_rng(0)
    y = (200 * rng.standard_t(2, (1, 39, 36, model.channels))).clip(-32768, 32767).astype(np.int16)
    x = (700 * rng.standard_t(2, (1, model.bands, BLOCK * 37, BLOCK * 19))).clip(-32768, 32767).astype(np.int16)
    z = rng.integers(-127, 128, (1, 16, 15, 32)).astype(np.int8)
    results = []
    for name in EXACT_PATHS:
        network, frame = network_of(model, name), Frame(2, 0, 1, 1)
        results.append((network.synthesis(y, frame), network.analysis(x, frame), network.hyper_analysis(y[:, :38, :36]),
                        network.hyper_synthesis(z)))
    for name, result in zip(EXACT_PATHS, results):
        for got, expected in zip(result, results[0]):
            assert got.dtype == expected.dtype and np.array_equal(got, expected), name


@settings(deadline=None, max_examples=15)
@given(st.integers(1, 20), st.integers(1, 20), st.sampled_from([1, 2]), st.data())
def test_a_part_with_its_context_equals_the_whole(rows: int, cols: int, bands: int, data: st.DataObject) -> None:
    model = MODELS[bands]
    network = network_of(model, data.draw(st.sampled_from(EXACT_PATHS)))
    grid = TileGrid(BLOCK * rows, BLOCK * cols, 64)
    y = made_latents(rows, cols, model.channels, seed=rows * cols)
    row, col = data.draw(st.integers(0, rows - 1)), data.draw(st.integers(0, cols - 1))
    box = Box(row, col, data.draw(st.integers(row + 1, rows)), data.draw(st.integers(col + 1, cols)))
    ((_, part),) = synthesise(network, BatchRunner(1), grid, lambda r, c: y[grid.tile_latents(r, c).slices()], [box])
    whole = whole_synthesis(network, y)
    assert np.array_equal(part, whole[(slice(None), *box.scaled(BLOCK).slices())])


def test_analysis_of_a_part_with_its_context_equals_the_whole(network: Network) -> None:
    model = network.model
    pixels = made_pixels(model.bands, 16, 19)
    whole = whole_analysis(network, pixels)
    raster = Box(0, 0, 16, 19)
    padded = np.pad(pixels, ((0, 0), *[(BLOCK * model.context, BLOCK * model.context)] * 2), mode="edge")
    for box in (Box(0, 0, 8, 8), Box(5, 9, 7, 19), Box(8, 0, 16, 3), Box(15, 18, 16, 19)):
        extended = box.grown(model.context)
        corner = Box(-BLOCK * model.context, -BLOCK * model.context, 0, 0)
        part = padded[(slice(None), *extended.scaled(BLOCK).slices(corner))].copy()
        inside = extended.intersection(raster)
        lap_analysis(part[(slice(None), *inside.scaled(BLOCK).slices(extended.scaled(BLOCK)))], model.P)
        seen = box.grown(model.halo)
        y = network.analysis(part[None, :, BLOCK:-BLOCK, BLOCK:-BLOCK], frame_of(seen, raster))[0]
        assert np.array_equal(y, whole[box.slices()]), box


def test_batch_and_threads_do_not_matter(network: Network) -> None:
    model = network.model
    side = 6 + 2 * model.halo
    y = np.stack([made_latents(side, side + 3, model.channels, seed) for seed in range(4)])
    frame = Frame(model.halo, 0, 1, 0)
    together = network.synthesis(y, frame)
    pixels = np.stack([made_pixels(model.bands, side, side + 1, seed) for seed in range(4)])
    latents = network.analysis(pixels, frame)
    before = torch.get_num_threads()
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            for i in range(4):
                assert np.array_equal(network.synthesis(y[i : i + 1], frame)[0], together[i])
                assert np.array_equal(network.analysis(pixels[i : i + 1], frame)[0], latents[i])
    finally:
        torch.set_num_threads(before)


def test_inputs_are_not_changed(network: Network) -> None:
    model = network.model
    side = 3 + 2 * model.halo
    y, x = made_latents(side, side, model.channels)[None], made_pixels(model.bands, side, side)[None]
    z = noise(0, (1, 2, 2, 32), -9, 9).astype(np.int8)
    copies = [a.copy() for a in (y, x, z)]
    network.synthesis(y, Frame(1, 1, 1, 1))
    network.analysis(x, Frame(1, 1, 1, 1))
    network.hyper_synthesis(z)
    assert all(np.array_equal(a, b) for a, b in zip((y, x, z), copies))


def test_frames() -> None:
    raster = Box(0, 0, 10, 12)
    assert frame_of(Box(-3, 2, 8, 15), raster) == Frame(3, 0, 0, 3)
    assert frame_of(Box(1, 1, 9, 11), raster) == Frame(0, 0, 0, 0)
    assert Frame(3, 0, 1, 2).shrunk() == Frame(2, 0, 0, 1)
    h = torch.ones(1, 2, 5, 6, dtype=torch.uint8)
    cleared = Frame(1, 2, 0, 1).clear(h)[0, 0].numpy()
    expected = np.zeros((5, 6), np.uint8)
    expected[1:, 2:-1] = 1
    assert np.array_equal(cleared, expected)


def test_what_lies_outside_the_raster_does_not_matter(network: Network) -> None:
    model, halo = network.model, network.model.halo
    y = made_latents(5 + 2 * halo, 5 + 2 * halo, model.channels)
    y[:halo] = 0
    h = network.synthesis(y[None], Frame(halo, 0, 0, 0))
    without = network.synthesis(y[None], Frame())
    assert not np.array_equal(h, without)  # zero latents are not zero activations


@pytest.mark.parametrize("box", [Box(-2, -1, 3, 4), Box(6, 5, 13, 20), Box(-3, -3, 20, 20)])
def test_latents_of_tiles_are_put_together(box: Box) -> None:
    grid = TileGrid(200, 260, 128)
    field = np.arange(13 * 17 * 2).reshape(13, 17, 2).astype(np.int16)

    def tiles(row: int, col: int) -> np.ndarray | None:
        return None if (row, col) == (1, 1) else field[grid.tile_latents(row, col).slices()]

    expected = np.zeros((*box.shape, 2), np.int16)
    for r in range(box.row0, box.row1):
        for c in range(box.col0, box.col1):
            if 0 <= r < 13 and 0 <= c < 17 and not (8 <= r and 8 <= c < 16):
                expected[r - box.row0, c - box.col0] = field[r, c]
    assert np.array_equal(extended_latents(grid, tiles, box, grid.latents, 2), expected)


def test_a_batch_is_halved_when_memory_is_short() -> None:
    sizes = []

    def function(arrays: np.ndarray) -> np.ndarray:
        sizes.append(len(arrays))
        if len(arrays) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return arrays * 2

    run = BatchRunner(16)
    results = run(function, [np.full(3, i) for i in range(9)])
    assert [int(r[0]) for r in results] == [2 * i for i in range(9)]
    assert sizes == [9, 4, 2, 2, 2, 2, 1]
    assert (run.batch_size, run.reductions) == (2, 2)


def test_memory_too_short_for_one_is_an_error() -> None:
    def function(arrays: np.ndarray) -> np.ndarray:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(torch.OutOfMemoryError):
        BatchRunner(4)(function, [np.zeros(2)] * 3)
