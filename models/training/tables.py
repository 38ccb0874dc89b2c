"""What is fitted after training, to what the integer model makes of the training rasters: the prediction of coarse
latents from their neighbours, then the entropy tables, which start as discretised Gaussians."""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy.special import ndtr

from sarz_format.codec.lapping import lap_analysis
from sarz_format.codec.coarse import quantise_coarse
from sarz_format.codec.latents import normalised, rates_of, table_numbers
from sarz_format.codec.model import (
    CONTEXT_BITS,
    HYPER_CHANNELS,
    INDEX_BITS,
    LEVEL_BITS,
    PIXEL_BITS,
    SCALES,
    IntegerModel,
    build_model,
)
from sarz_format.codec.network import Frame, Network
from sarz_format.codec.trellis import quantise_trellis, symbol_bits
from sarz_format.grid import BLOCK, HYPER

SMALLEST_SCALE, LARGEST_SCALE = 0.08, 40.0
SCALE_STEP = math.log(LARGEST_SCALE / SMALLEST_SCALE) / (SCALES - 1)
REACH = 127
TOTAL = 4096
FIT_QUALITIES = (5, 20, 35, 50, 65, 80, 95)
TRELLIS_FROM, TRELLIS_LEVEL = 8, 128
"""Symbols of these tables on are in the trellis, whose level is 0.5 (128 / 256) steps: the best on validation rasters."""

FIT_ROUNDS = 3
"""The trellis chooses symbols by the tables, so tables are fitted, and symbols chosen again, a few times."""

PRIOR_COUNT = 3000.0
"""Weight, in symbols, of the Gaussian that an observed histogram is mixed with."""


Analysed = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Latents, sums of the hyper-synthesis and hyperlatents of an image."""


def gaussian_mass(scale: float, reach: int = REACH) -> np.ndarray:
    """Probabilities of -reach..reach, and of everything beyond last."""
    k = np.arange(-reach, reach + 1)
    mass = ndtr((k + 0.5) / scale) - ndtr((k - 0.5) / scale)
    return np.append(mass, max(1.0 - mass.sum(), 1e-9))


def integer_counts(mass: np.ndarray) -> tuple[np.ndarray, int]:
    """Counts summing to 4096 and the reach: symbols rarer than half a count are left to the escape."""
    mass = mass / mass.sum()
    centre = (len(mass) - 2) // 2
    likely = np.flatnonzero(mass[centre:-1] * TOTAL >= 0.5)
    reach = int(likely.max(initial=0))
    kept = mass[centre - reach : centre + reach + 1]
    wanted = np.append(kept, max(1.0 - kept.sum(), 0.0)) * TOTAL
    counts = np.maximum(1, np.rint(wanted)).astype(int)
    while counts.sum() != TOTAL:
        step = 1 if counts.sum() < TOTAL else -1
        gain = np.where(counts + step >= 1, wanted * np.log((counts + step).clip(1) / counts), -np.inf)
        counts[int(np.argmax(gain))] += step
    return counts, reach


def table_arrays(masses: list[np.ndarray]) -> dict[str, np.ndarray]:
    """``cdf`` and ``reach`` of a list of probability rows."""
    cdf, reaches = np.full((len(masses), 258), TOTAL, np.int32), np.zeros(len(masses), np.uint8)
    for row, mass in enumerate(masses):
        counts, reaches[row] = integer_counts(mass)
        cdf[row, 0] = 0
        cdf[row, 1 : len(counts) + 1] = np.cumsum(counts)
    return {"cdf": cdf, "reach": reaches}


def scale_of(table: int) -> float:
    """Standard deviation, in symbols, of a table."""
    return SMALLEST_SCALE * math.exp(table * SCALE_STEP)


def odd_gaussian_mass(scale: float) -> np.ndarray:
    """As `gaussian_mass`, of the trellis's quantiser 1: zero and the odd multiples of half a step, between midpoints."""
    k = np.arange(-REACH, REACH + 1)
    level = k - 0.5 * np.sign(k)
    edge = (level[1:] + level[:-1]) / 2
    mass = np.diff(ndtr(np.concatenate([[-REACH], edge, [REACH]]) / scale))
    return np.append(mass, max(1.0 - mass.sum(), 1e-9))


def latent_masses() -> list[np.ndarray]:
    """Probabilities by table before anything was observed: the latents' tables, then those of quantiser 1."""
    even = [gaussian_mass(scale_of(t)) for t in range(SCALES)]
    return even + [odd_gaussian_mass(scale_of(t)) for t in range(TRELLIS_FROM, SCALES)]


def initial_tables() -> dict[str, np.ndarray]:
    """Tables before anything was observed, and where the trellis begins."""
    latent = latent_masses()
    tables = table_arrays(latent[:SCALES] + [gaussian_mass(4.0)] * HYPER_CHANNELS + latent[SCALES:])
    levels = np.where(np.arange(SCALES) < TRELLIS_FROM, 1 << LEVEL_BITS, TRELLIS_LEVEL)
    return tables | {"trellis": np.array([TRELLIS_FROM, TRELLIS_LEVEL], np.int32), "levels": levels.astype(np.int32)}


def _histogram(symbols: np.ndarray, tables: np.ndarray, count: int) -> np.ndarray:
    """Observations by table, ``(count, 2 * REACH + 2)``, beyond the reach in the last column."""
    symbols = symbols.astype(np.int64)
    column = np.where(np.abs(symbols) <= REACH, symbols + REACH, 2 * REACH + 1)
    flat = tables.astype(np.int64) * (2 * REACH + 2) + column
    return np.bincount(flat.ravel(), minlength=count * (2 * REACH + 2)).reshape(count, -1)


def observe(model: IntegerModel, analysed: list[Analysed]) -> np.ndarray:
    """Histograms of all symbols by table, ``(tables, 2 * REACH + 2)``, over all images and some qualities."""
    count, bits = len(model.tables.reach), symbol_bits(model.tables)
    total = np.zeros((count, 2 * REACH + 2), np.int64)
    for y, totals, z in analysed:
        channels = np.broadcast_to(np.arange(SCALES, SCALES + HYPER_CHANNELS), z.shape)
        total += len(FIT_QUALITIES) * _histogram(z, channels, count)
        for quality in FIT_QUALITIES:
            rates = rates_of(model, quality, True)
            y_hat = np.empty_like(y)
            numbers = table_numbers(totals, rates, model.coarse_channels)
            symbols, moved = quantise_coarse(y, totals, numbers, rates, rates_of(model, quality, False), model,
                                             z.shape[2] * HYPER, bits, y_hat)
            total += _histogram(symbols, moved, count)
            numbers = table_numbers(totals, rates, model.detail_channels)
            symbols, _, moved = quantise_trellis(y, totals, numbers, rates, model, bits)
            total += _histogram(symbols, moved, count)
    return total


def _analyse(network: Network, image: np.ndarray) -> Analysed:
    """Latents, sums of the hyper-synthesis ``(positions, channels)`` and hyperlatents of an image, cut to multiples of 32 pixels."""
    model, halo = network.model, network.model.halo
    h, w = (n // (BLOCK * HYPER) * BLOCK * HYPER for n in image.shape[1:])
    pixels = np.rint(image[None, :, :h, :w] * 2**PIXEL_BITS).clip(-32768, 32767).astype(np.int16)
    lap_analysis(pixels[0], model.P)
    margin = BLOCK * halo
    pixels = np.pad(pixels, ((0, 0), (0, 0), (margin, margin), (margin, margin)), mode="edge")
    y = network.analysis(pixels, Frame(halo, halo, halo, halo))
    z = network.hyper_analysis(y)
    totals = network.hyper_synthesis(z)
    return y.reshape(-1, model.channels), totals.reshape(-1, 2 * model.channels), z


def fitted_context(model: IntegerModel, images: list[np.ndarray]) -> dict[str, np.ndarray]:
    """Weights of the coarse latents' neighbours, and the scale offsets that go with better predictions.

    Least squares over all images, each divided by its own variance so that all count alike. How much the prediction
    narrows a latent's distribution hardly depends on quality; the mean of its logarithm goes into the offsets.
    """
    network = Network(model, torch.device("cpu"))
    terms = [_neighbour_terms(network, image) for image in images]
    weights, offset = np.zeros((len(model.coarse_channels), 4)), model.index_offset.copy()
    for number, channel in enumerate(model.coarse_channels):
        normal = sum(x.T @ x / (t @ t) for x, t in (pair[number] for pair in terms))
        right = sum(x.T @ t / (t @ t) for x, t in (pair[number] for pair in terms))
        weights[number] = np.linalg.solve(normal, right)
        narrowed = [np.std(t - x @ weights[number]) / np.std(t) for x, t in (pair[number] for pair in terms)]
        offset[:, channel] += round(float(np.mean(np.log(narrowed))) / SCALE_STEP * 2**INDEX_BITS)
    return {"context_weights": np.rint(weights * 2**CONTEXT_BITS).astype(np.int32),
            "index_offset": offset.astype(np.int32)}


def _neighbour_terms(network: Network, image: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """For each coarse channel ``(neighbours (n, 4), value (n,))``, both less their means by the hyperprior."""
    model = network.model
    y, totals, z = _analyse(network, image)
    mean = np.rint(totals[:, : model.channels] * rates_of(model, 0, True).unit[: model.channels])
    terms = []
    for channel in model.coarse_channels:
        value = (y[:, channel] - mean[:, channel]).reshape(z.shape[1] * HYPER, -1)
        p = np.pad(value, 1)
        neighbours = (p[1:-1, :-2], p[:-2, 1:-1], p[:-2, :-2], p[:-2, 2:])
        terms.append((np.stack([n.ravel() for n in neighbours], axis=1), value.ravel()))
    return terms


def fitted_tables(arrays: dict[str, np.ndarray], images: list[np.ndarray]) -> dict[str, np.ndarray]:
    """Tables of the symmetric observed histograms, each mixed with a little of its Gaussian."""
    network = Network(build_model(arrays), torch.device("cpu"))
    analysed = [_analyse(network, image) for image in images]
    tables: dict[str, np.ndarray] = {}
    for _ in range(FIT_ROUNDS):
        tables = _tables_of(observe(build_model(arrays | tables), analysed))
    return tables | {"levels": _fitted_levels(build_model(arrays | tables), analysed)}


def _fitted_levels(model: IntegerModel, analysed: list[Analysed]) -> np.ndarray:
    """What multiples are of, by table: least squares on latents.

    The trained steps of the decoder make up for a uniform quantiser that rounds large latents and small ones alike; so
    latents are brought to them first, channel by channel, by what rounding makes of each.
    """
    products, squares = np.zeros(SCALES), np.zeros(SCALES)
    bits = symbol_bits(model.tables)
    for quality in FIT_QUALITIES:
        rates = rates_of(model, quality, True)
        cases = []
        for y, totals, _ in analysed:
            numbers = table_numbers(totals, rates, model.detail_channels)
            multiples = quantise_trellis(y, totals, numbers, rates, model, bits)[1]
            cases.append((normalised(y, totals, rates, model.detail_channels), multiples, numbers))
        rounded = [np.rint(t) for t, _, _ in cases]
        uniform = (sum((t * k).sum(0) for (t, _, _), k in zip(cases, rounded)), sum((k * k).sum(0) for k in rounded))
        trained = np.divide(*uniform, out=np.ones(len(model.detail_channels)), where=uniform[1] > 100)
        for t, multiples, numbers in cases:
            products += np.bincount(numbers.ravel(), (t / trained * multiples).ravel(), SCALES)
            squares += np.bincount(numbers.ravel(), (multiples.astype(float) ** 2).ravel(), SCALES)
    level = np.where(squares > 1000, products / np.maximum(squares, 1), model.levels / (1 << LEVEL_BITS))
    return np.rint(level.clip(0.25, 1.5) * (1 << LEVEL_BITS)).astype(np.int32)


def _tables_of(histograms: np.ndarray) -> dict[str, np.ndarray]:
    hyper = histograms[SCALES : SCALES + HYPER_CHANNELS]
    latent = np.delete(histograms, np.s_[SCALES : SCALES + HYPER_CHANNELS], axis=0)
    masses = []
    for counts, mass in zip(latent, latent_masses()):
        body = (counts[:-1] + counts[-2::-1]) / 2.0
        masses.append(np.append(body, counts[-1]) + PRIOR_COUNT * mass)
    return table_arrays(masses[:SCALES] + [_hyper_mass(counts) for counts in hyper] + masses[SCALES:])


def _hyper_mass(counts: np.ndarray) -> np.ndarray:
    """A hyperlatent's histogram with something of a Gaussian of its mean and deviation, and long tails."""
    k = np.arange(-REACH, REACH + 1)
    total = max(counts[:-1].sum(), 1)
    mean = (counts[:-1] * k).sum() / total
    deviation = math.sqrt(max((counts[:-1] * (k - mean) ** 2).sum() / total, 0.05))
    shifted = ndtr((k - mean + 0.5) / deviation) - ndtr((k - mean - 0.5) / deviation)
    tail = np.exp(-np.abs(k - mean) / (2 * deviation))
    return counts + total * np.append(0.05 * shifted + 0.01 * tail / tail.sum(), 1e-6)
