"""Overviews of a whole file (section 14.4), made of what the reference reader decodes: shares no code with `sarz_format`."""

from __future__ import annotations

import re

import numpy as np
from plain_overview import plain_cells, plain_corrected, plain_halved, plain_power, plain_unevenness
from reference_reader import BOUNDED, EMPTY, FALLBACK, VALID, ZERO, ReferenceReader, linear, stepped_aside, table

ANGLES = {"angle", "angles", "incidence", "inci", "inc", "incangle", "incidenceangle", "lia"}
BACKSCATTER = {"sigma", "gamma", "beta", "backscatter", "intensity", "amplitude"}


def is_backscatter(reader: ReferenceReader, band: int) -> bool:
    colour = reader.meta.get("colorinterp", ["gray"] * reader.meta["count"])[band]
    name = reader.meta.get("descriptions", [None] * reader.meta["count"])[band] or ""
    words = {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)}
    return colour != "alpha" and not (words & ANGLES and not words & BACKSCATTER)


def of_item(reader: ReferenceReader, key: str, default: float, band: int) -> float:
    return float(reader.meta.get(key, [default] * reader.meta["count"])[band])


def pixel_sums(reader: ReferenceReader, band: int, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """N and P of decoded pixels."""
    scale, o, nodata = reader.header["scale"], reader.header["offsets_db"][band], reader.nodata(band)
    v = pixels.astype(np.float64)
    good = np.isfinite(v) & (True if nodata is None else pixels != nodata)
    v = np.where(good, v, 0)
    if not is_backscatter(reader, band):
        return good.astype(np.float64), v
    if scale == "db":
        p = np.rint((v * of_item(reader, "scales", 1, band) + of_item(reader, "offsets", 0, band) - o) * 128)
        good &= (p >= -32768) & (p <= 32767)
        power = np.vectorize(lambda n: plain_power(int(n), o), otypes=[float])(np.where(good, p, 0))
    else:
        with np.errstate(over="ignore"):
            power = v * v if scale == "amplitude" else v
        good &= (v >= 0) & (power <= plain_power(32767, o)) & np.isfinite(power)
    return good.astype(np.float64), np.where(good, power, 0)


def cell_sums(reader: ReferenceReader, group: int, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """N and P (bands, rows, cols) of the cells of a group; `pixels` are those of its bands."""
    bands, (y, model, tiles) = reader.header["groups"][group]["bands"], reader.decoded[group]
    coarse = y[[c for c in range(len(y)) if c % 256 in (0, 1, 16, 17)]].transpose(1, 2, 0)
    known = np.zeros((2 * y.shape[1], 2 * y.shape[2]), bool)
    N, P = np.zeros((2, len(bands), *known.shape))
    for number, flags, _, _ in tiles:
        row, col, h, w = reader.box(number)
        known[row // 8 : -(-(row + h) // 16) * 2, col // 8 : -(-(col + w) // 16) * 2] = not flags & EMPTY
    cells = plain_cells(coarse, model["S"], model["Q"]) if model else None
    uneven = [plain_unevenness(band, known) for band in cells] if model else None
    for number, flags, classes, _ in tiles:
        row, col, h, w = reader.box(number)
        for m, band in enumerate(bands):
            for i in range(0, h, 8):
                for j in range(0, w, 8):
                    at = m, (row + i) // 8, (col + j) // 8
                    here = classes[m, i : i + 8, j : j + 8]
                    if flags & (FALLBACK | BOUNDED):
                        part = pixels[m, row + i : min(row + i + 8, row + h), col + j : min(col + j + 8, col + w)]
                        sums = (np.pad(a, [(0, 8 - n) for n in a.shape]) for a in pixel_sums(reader, band, part))
                        N[at], P[at] = (plain_halved(plain_halved(plain_halved(a)))[0, 0] for a in sums)
                        continue
                    V, Z = int((here == VALID).sum()), int((here == ZERO).sum())
                    N[at] = V + (0 if reader.header["scale"] == "db" else Z)
                    if V:
                        bits = int(reader.index[number]["overview"][m])
                        p = plain_corrected(cells[at], uneven[m][at[1:]], bits)
                        P[at] = V * plain_power(p, reader.header["offsets_db"][band])
    return tuple(a[:, : -(-reader.H // 8), : -(-reader.W // 8)] for a in (N, P))


def means(reader: ReferenceReader, band: int, N: np.ndarray, P: np.ndarray) -> np.ndarray:
    nodata, dtype, scale = reader.nodata(band), reader.dtype, reader.header["scale"]
    out = np.full(N.shape, 0 if nodata is None else nodata, dtype)
    M = P[N > 0] / N[N > 0]
    if not is_backscatter(reader, band):
        out[N > 0] = stepped_aside(M, dtype, nodata, False)
    elif scale == "db":
        limits = linear(2 * np.arange(-32768, 32767) + 1 + 256 * reader.header["offsets_db"][band], 2560)
        out[N > 0] = table(reader.header, band, dtype, nodata)[np.searchsorted(limits, M, side="right")]
    else:
        f = stepped_aside(np.sqrt(M) if scale == "amplitude" else M, dtype, nodata, True)
        out[N > 0] = np.where(M == 0, dtype.type(0), f)
    return out


def read_overview(reader: ReferenceReader, factor: int) -> np.ndarray:
    """All bands of the overview of a factor."""
    pixels = reader.read()
    out = np.zeros((len(pixels), -(-reader.H // factor), -(-reader.W // factor)), reader.dtype)
    for group, entry in enumerate(reader.header["groups"]):
        mine, start = pixels[entry["bands"]], 1 if factor < 8 else 8
        if start == 1:
            sums = zip(*(pixel_sums(reader, band, plane) for band, plane in zip(entry["bands"], mine)))
        else:
            sums = cell_sums(reader, group, mine)
        for band, N, P in zip(entry["bands"], *sums):
            for _ in range((factor // start).bit_length() - 1):
                N, P = plain_halved(N), plain_halved(P)
            out[band] = means(reader, band, N, P)
    return out
