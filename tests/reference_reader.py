"""A second reader of .sarz files, in plain numpy: docs/spec/sarz-1.md and contextual.md section by section.

It was written from the specification and shares no code with `sarz_format`: where both agree, the specification says
enough. It reads whole rasters (section 14.1), refuses what section 15 has refused as far as its own steps come across
it, and is slow. It does not check the bounds of a model's arrays (section 9) nor all of the metadata that pixels do not depend
on, and does not unpack control points (4.6). Contextual tiles and wide numbers are those of plain_contextual.py and
plain_wide.py, which were written in the same way; overviews are in reference_overview.py.

    pixels = ReferenceReader(path.read_bytes(), weights).read()      weights: SHA-256 to the bytes of a weights file
"""

from __future__ import annotations

import json
import re
import struct
import zlib
from bisect import bisect_right
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal, localcontext
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from plain_contextual import Bytes, plain_decode
from plain_wide import plain_wide

DICTIONARY = (Path(__file__).resolve().parent.parent / "sarz_format" / "header_dictionary.bin").read_bytes()
EMPTY, FALLBACK, BOUNDED = 1, 2, 4
VALID, NODATA, ZERO, EXACT = range(4)
PREAMBLE = struct.Struct("<8sHHIIIIIIIQQII")
ENTRY = np.dtype([("coarse", "<u8"), ("detail", "<u8"), ("coarse_length", "<u4"), ("detail_length", "<u4"), ("coarse_crc", "<u4"),
                  ("detail_crc", "<u4"), ("flags", "u1"), ("quality", "u1"), ("reserved", "<u2"), ("overview", "<u2", 2)])
PARTS = {"complex_int16": "int16", "complex64": "float32", "complex128": "float64"}
HEADER_KEYS = {"metadata", "tile_size", "scale", "scale_reason", "offsets_db", "quality", "groups"}
METADATA_KEYS = {"width", "height", "dtype", "count", "crs", "transform", "gcps", "gcps_crs", "rpcs", "nodata", "descriptions",
                 "units", "scales", "offsets", "colorinterp", "tags", "band_tags"}
DTYPES = {"uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64", *PARTS}
MANTISSAS = {2560: "6eead493a6a44d9e6e20c62959bf4177b7d0bfc75b00b57edc8332a21a02b976",
             1280: "3456a788c4d379f73274a756deb552528463c1bbe77d7f2cb6565d71c1a82a6a",
             20480: "846cd315651fef5b34d8cb6f8fa22ccc35e672d5acd811ba221cb37e5181d3ac",
             10240: "0ddb4b250abc34627cf0a18978ee33c3cc2db6460f25a79928d98264a8d24c17"}


class Refused(ValueError):
    """A file, or a tile of it, that a reader must refuse."""


def need(good: bool, why: str) -> None:
    if not good:
        raise Refused(why)


# 1 Conventions


def rne(t: np.ndarray, shift: np.ndarray | int) -> np.ndarray:
    """``t / 2^shift`` to the nearest integer, ties to even; shifts may be negative."""
    s = np.asarray(shift, np.int64)
    t, s = t << np.maximum(-s, 0), np.maximum(s, 0)
    q = t >> s
    r, h = t - (q << s), np.where(s > 0, np.int64(1) << np.maximum(s - 1, 0), 1)
    return q + ((r > h) | ((r == h) & (q % 2 == 1)))


def clamp16(v: np.ndarray) -> np.ndarray:
    return np.clip(v, -32768, 32767)


def inflate(data: bytes, size: int, *dictionary: bytes) -> bytes:
    """DEFLATE that inflates to `size` bytes and fills `data`."""
    stream = zlib.decompressobj(-15, *dictionary)
    try:
        out = stream.decompress(data, size + 1)
    except zlib.error as exc:
        raise Refused("DEFLATE: malformed") from exc
    need(len(out) == size and stream.eof and not stream.unused_data, "DEFLATE: another length")
    return out


@contextmanager
def malformed(what: str) -> Iterator[None]:
    """The plain decoders check by asserts, and by running out of bytes."""
    try:
        yield
    except (IndexError, AssertionError, OverflowError) as exc:
        raise Refused(f"{what}: malformed") from exc


def contextual(data: bytes, shape: tuple[int, int, int], valid: Any = None, step: int | None = None) -> np.ndarray:
    """Values of a contextual tile, int64; of a given step."""
    with malformed("contextual tile"):
        need(step is None or Bytes(data).u() == step, "contextual tile: step")
        return np.array(plain_decode(data, shape, valid), np.int64)


# 8.1 Segments, 8.2 Class planes, 8.4 Lossless copy, 8.5 Corrections


def segments(part: bytes, count: int) -> list[bytes]:
    found, at = [], 0
    for _ in range(count):
        length = shift = 0
        while True:
            need(at < len(part) and shift < 35, "segments: a length runs out")
            byte, at = part[at], at + 1
            length |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                break
        need(length <= len(part) - at, "segments: longer than the part")
        found.append(part[at : at + length])
        at += length
    need(at == len(part), "segments: bytes left over")
    return found


def class_plane(segment: bytes, h: int, w: int) -> np.ndarray:
    need(len(segment) > 0 and segment[0] <= 4, "class plane: kind")
    if segment[0] < 4:
        need(len(segment) == 1, "class plane: bytes left over")
        return np.full((h, w), segment[0], np.uint8)
    packed = np.frombuffer(inflate(segment[1:], -(-h * w // 4)), np.uint8)
    pairs = (packed[:, None] >> [0, 2, 4, 6] & 3).ravel()[: h * w].reshape(h, w)
    return np.bitwise_xor.accumulate(pairs.astype(np.uint8), axis=0)


def lossless(copy: bytes, shape: tuple[int, int, int], dtype: np.dtype) -> np.ndarray:
    need(len(copy) > 0, "lossless copy: empty")
    method, data, size = copy[0], copy[1:], dtype.itemsize
    unsigned = np.dtype(f"u{size}")
    small = dtype.kind in "iu" and size <= 4
    need(method == 0 or method in ((1,) if small else (2, 3)), "lossless copy: method")
    if method == 0:
        raw = np.frombuffer(inflate(data, size * int(np.prod(shape))), np.uint8).reshape(size, *shape)
        x = sum(plane.astype(unsigned) << unsigned.type(8 * k) for k, plane in enumerate(raw))
        x[:, :, 0] = np.cumsum(x[:, :, 0], axis=1, dtype=unsigned)
        return np.cumsum(x, axis=2, dtype=unsigned).view(dtype)
    if method == 1:
        values = contextual(data, shape, step=1)
        need(values.min() >= np.iinfo(dtype).min and values.max() <= np.iinfo(dtype).max, "lossless copy: values")
        return values.astype(dtype)
    if method == 3:
        with malformed("wide numbers"):
            patterns = plain_wide(data, shape, dtype.name)
        return np.array(patterns, np.uint64).astype(unsigned).reshape(shape).view(dtype)
    source = Bytes(data)
    with malformed("table of values"):
        count, packed = source.u(), source.take(source.u())
    need(count <= 65536, "table of values: count")
    raw = np.frombuffer(inflate(packed, count * size), np.uint8).reshape(size, count)
    keys = np.cumsum(sum(line.astype(unsigned) << unsigned.type(8 * k) for k, line in enumerate(raw)), dtype=unsigned)
    if dtype.kind == "f":
        top = unsigned.type(1 << (8 * size - 1))
        keys = np.where(keys & top, keys ^ top, ~keys)
    numbers = contextual(source.data, shape, step=1)
    need(numbers.min() >= 0 and numbers.max() < count, "table of values: index")
    return keys[numbers].view(dtype)


def corrected(pixels: np.ndarray, segment: bytes) -> np.ndarray:
    """Pixels of a band and tile with its gains and targets."""
    if not segment:
        return pixels
    bits, at = "".join(f"{byte:08b}" for byte in segment[1:]), 0

    def take(n: int) -> int:
        nonlocal at
        need(at + n <= len(bits), "corrections: run out")
        at += n
        return int(bits[at - n : at] or "0", 2)

    def run(digit: str) -> int:
        n = 0
        while take(1) == int(digit):
            n += 1
        return n

    def golomb() -> int:
        z = run("0")
        need(z <= 30, "corrections: a long code")
        return (1 << z | take(z)) - 1

    def rice(k: int) -> int:
        return run("1") << k | take(k)

    (h, w), gain, position, x = pixels.shape, 0, -1, pixels.copy()
    for row in range(0, h, 64):
        for col in range(0, w, 64):
            u = rice(segment[0] & 15)
            gain += -(u + 1 >> 1) if u % 2 else u >> 1
            need(abs(gain) <= 960, "corrections: gain")
            x[row : row + 64, col : col + 64] = clamp16(x[row : row + 64, col : col + 64] + 4 * gain)
    for _ in range(golomb()):
        position += 1 + rice(segment[0] >> 4)
        sign, t = take(1), golomb() + 1
        need(position < h * w and t <= 511, "corrections: target")
        x.flat[position] = clamp16(x.flat[position] + 115 * (-t if sign else t))
    need(len(bits) - at < 8 and "1" not in bits[at:], "corrections: bits left over")
    return x


# 9 Models, 10 Entropy coding, 11 Latents, 12 Synthesis


class Model:
    """The arrays of a weights file (safetensors)."""

    def __init__(self, data: bytes) -> None:
        length = int.from_bytes(data[:8], "little")
        table, body = json.loads(data[8 : 8 + length]), data[8 + length :]
        kinds = {"I32": "<i4", "I8": "i1", "U8": "u1"}
        self.arrays = {name: np.frombuffer(body[slice(*item["data_offsets"])], kinds[item["dtype"]]).reshape(item["shape"])
                       for name, item in table.items() if name != "__metadata__"}
        self.bands, self.blocks, self.trellis = (int(self.arrays[name][0]) for name in ("bands", "blocks", "trellis"))
        self.rows, self.reach = self.arrays["cdf"].tolist(), self.arrays["reach"].tolist()

    def __getitem__(self, name: str) -> np.ndarray:
        return self.arrays[name].astype(np.int64)

    def sums(self, name: str, a: np.ndarray) -> np.ndarray:
        """A layer of (inputs, rows, cols). float64 holds its sums exactly."""
        w = self[f"{name}.weight"].astype(np.float64)
        windows = np.lib.stride_tricks.sliding_window_view(a.astype(np.float64), w.shape[2:], axis=(1, 2))
        return np.tensordot(w, windows, ((1, 2, 3), (0, 3, 4))).astype(np.int64) + self[f"{name}.bias"][:, None, None]

    def shift(self, name: str) -> np.ndarray:
        return self[f"{name}.shift"][:, None, None]

    def hidden(self, name: str, a: np.ndarray, trunk: np.ndarray | int = 0) -> np.ndarray:
        s = self.shift(name)
        total = (self.sums(name, a) << np.maximum(-s, 0)) + (trunk << np.maximum(s, 0))
        return np.clip(rne(total, np.maximum(s, 0)), 0, 255)

    def hyper_synthesis(self, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Means and scale indices (n, 2 rows, 2 cols)."""
        replicate = [(0, 0), (1, 1), (1, 1)]
        h = self.hidden("h_s.up", self.hidden("h_s.first", np.pad(z, replicate, mode="edge")))
        rows, cols = h.shape[1:]
        h = h.reshape(-1, 2, 2, rows, cols).transpose(0, 3, 1, 4, 2).reshape(-1, 2 * rows, 2 * cols)
        h = self.hidden("h_s.last", np.pad(h, replicate, mode="edge"))
        out = rne(self.sums("h_s.head", h), self.shift("h_s.head"))
        return out[: len(out) // 2], out[len(out) // 2 :]

    def synthesis(self, y: np.ndarray) -> np.ndarray:
        """Pixels (bands, 16 rows, 16 cols) of the latents of a whole raster."""
        h = self.hidden("g_s.first", np.clip(y + 2 >> 2, -2047, 2047))
        for i in range(self.blocks):
            inner = self.hidden(f"g_s.block{i}.a", np.pad(h, [(0, 0), (1, 1), (1, 1)]))
            h = self.hidden(f"g_s.block{i}.b", inner, h)
        v = np.clip(8 * y + rne(self.sums("g_s.head", h), self.shift("g_s.head")), -(2**18), 2**18 - 1)
        rows, cols = y.shape[1:]
        v, S, Q = v.reshape(self.bands, 16, 16, rows, cols), self["S"], self["Q"]
        z = np.einsum("ip,mpqrc,jq->mricj", S, v, S, optimize=True).reshape(self.bands, 16 * rows, 16 * cols)
        x = clamp16(rne(z if self.bands == 1 else np.stack([z[0] + z[1], z[0] - z[1]]), 28))
        for c in range(16, 16 * cols, 16):
            x[:, :, c - 8 : c + 8] = clamp16(x[:, :, c - 8 : c + 8] @ Q.T + 4096 >> 13)
        for r in range(16, 16 * rows, 16):
            x[:, r - 8 : r + 8] = clamp16(Q @ x[:, r - 8 : r + 8] + 4096 >> 13)
        return x


class Stream:
    """Symbols of a stream and its escapes."""

    def __init__(self, data: bytes, escapes: bytes, model: Model) -> None:
        need(len(data) > 0 and 2 <= data[0] <= 5, "stream: first byte")
        self.lanes, self.model, self.count, self.at = 1 << data[0], model, 0, 0
        need(len(data) >= 1 + 4 * self.lanes and len(data) % 2 == 1, "stream: length")
        self.states = list(struct.unpack_from(f"<{self.lanes}I", data, 1))
        need(min(self.states) >= 1 << 16, "stream: a state to begin with")
        self.words = np.frombuffer(data[1 + 4 * self.lanes :], "<u2")[::-1].tolist()
        self.bits = "".join(f"{byte:08b}" for byte in escapes)

    def take(self, t: int) -> int:
        row, r, lane = self.model.rows[t], self.model.reach[t], self.count % self.lanes
        m = self.states[lane] % 4096
        s = bisect_right(row, m) - 1
        x = (row[s + 1] - row[s]) * (self.states[lane] >> 12) + m - row[s]
        if x < 1 << 16:
            need(len(self.words) > 0, "stream: out of words")
            x = x << 16 | self.words.pop()
        self.states[lane], self.count = x, self.count + 1
        return s - r if s <= 2 * r else self.escaped(r)

    def escaped(self, r: int) -> int:
        one = self.bits.find("1", self.at)
        z = one - self.at
        need(0 <= z <= 16 and one + z + 3 <= len(self.bits), "escapes: run out")
        self.at = one + z + 3
        u = int(self.bits[one : self.at], 2) - 4
        k = (u >> 1) + r + 1
        need(k <= 2**15, "escapes: too large")
        return -k if u % 2 else k

    def multiple(self, t: int, states: list[int], i: int) -> int:
        """A symbol of a latent, through state `i` of the trellis (10.4)."""
        T = self.model.trellis
        if t < T:
            return self.take(t)
        s = states[i]
        k = self.take(t + 96 - T if s % 2 else t)
        states[i] = 2 * (s % 32) + (k + s + (s >> 3) + (s >> 5)) % 2
        return 2 * k - (k > 0) + (k < 0) if s % 2 else 2 * k

    def finish(self) -> None:
        need(set(self.states) == {1 << 16} and not self.words, "stream: not used up")
        need(len(self.bits) - self.at < 8 and "1" not in self.bits[self.at :], "escapes: left over")


def tile_latents(parts: list[bytes], model: Model, q: int, R: int, C: int) -> np.ndarray:
    """Latents (n, R, C) of a tile from its two streams and their escape bits."""
    coarse, detail = Stream(*parts[:2], model), Stream(*parts[2:], model)
    rows, cols = -(-R // 2), -(-C // 2)
    z = np.array([coarse.take(64 + c) for _ in range(rows * cols) for c in range(32)]).reshape(rows, cols, 32)
    need(np.abs(z).max() <= 127, "hyperlatent over 127")
    mean, index = (a[:, :R, :C] for a in model.hyper_synthesis(z.transpose(2, 0, 1)))
    n = len(mean)
    first = [c for c in range(n) if c % 256 in (0, 1, 16, 17)]
    others = [c for c in range(n) if c not in first]
    t = np.clip(index + model["index_offset"][q][:, None, None] + 128 >> 8, 0, 63)
    m = np.zeros(t.shape, np.int64)
    for stream, channels, states in ((coarse, first, [0] * len(first)), (detail, others, [0] * 32)):
        places = [(c, i, j) for i in range(R) for j in range(C) for c in channels]
        for number, place in enumerate(places):
            m[place] = stream.multiple(int(t[place]), states, number % len(states))
        stream.finish()
    step = (m * model["delta_decode"][q][:, None, None] * model["levels"][t] + 32768) >> 16
    y = clamp16(mean + step)
    for number, c in enumerate(first):
        weights = model["context_weights"][number].tolist()
        for i in range(R):
            for j in range(C):
                near = zip(weights, [(i, j - 1), (i - 1, j), (i - 1, j - 1), (i - 1, j + 1)])
                total = sum(w * int(y[c, a, b] - mean[c, a, b]) for w, (a, b) in near if a >= 0 and 0 <= b < C)
                y[c, i, j] = clamp16(mean[c, i, j] + (128 + total >> 8) + step[c, i, j])
    return y


# 13 Values


@cache
def mantissas(m: int) -> np.ndarray:
    with localcontext() as context:
        context.prec = 40
        found = np.array([float(Decimal(10) ** (Decimal(k) / m)) for k in range(m)])
    assert sha256(found.astype("<f8").tobytes()).hexdigest() == MANTISSAS[m]
    return found


def linear(N: np.ndarray, m: int) -> np.ndarray:
    """The float64 f of numbers of 10 / m decibels of power."""
    E, K = np.divmod(N, m)
    ten = np.array([float(10 ** min(abs(e), 308)) for e in E.ravel().tolist()]).reshape(E.shape)
    with np.errstate(over="ignore"):
        return np.where(E >= 0, mantissas(m)[K] * ten, mantissas(m)[K] / ten)


def to_dtype(f: np.ndarray, dtype: np.dtype, low: int | None = None) -> np.ndarray:
    """float64 to the dtype; integers to even, and clamped (from `low`)."""
    if dtype.kind == "f":
        with np.errstate(over="ignore", under="ignore"):
            return f.astype(dtype)
    info = np.iinfo(dtype)
    low = info.min if low is None else low
    rounded = [min(max(round(min(max(x, -1e30), 1e30)), low), info.max) for x in f.ravel().tolist()]
    return np.array(rounded, dtype).reshape(f.shape)


def table(header: dict[str, Any], band: int, dtype: np.dtype, nodata: Any) -> np.ndarray:
    """Values of all pixels p, from -32768 on."""
    p, o, meta, power = np.arange(-32768, 32768), header["offsets_db"][band], header["metadata"], header["scale"] != "db"
    if power:
        f = linear(p + 128 * o, 2560 if header["scale"] == "amplitude" else 1280)
    else:
        scale, offset = (float(meta.get(k, [d] * meta["count"])[band]) for k, d in (("scales", 1), ("offsets", 0)))
        with np.errstate(over="ignore"):
            f = (p / 128 + o - offset) / scale
    return stepped_aside(f, dtype, nodata, power)


def stepped_aside(f: np.ndarray, dtype: np.dtype, nodata: Any, power: bool) -> np.ndarray:
    """float64 to values of the dtype that are not nodata and, of `power`, above 0."""
    values = to_dtype(f, dtype, 1 if power else None)
    if dtype.kind == "f":
        if power:
            values = np.clip(values, np.finfo(dtype).smallest_subnormal, np.finfo(dtype).max)
        if nodata is None:
            return values
        away = dtype.type(-np.inf if nodata >= np.finfo(dtype).max else np.inf)
        return np.where(values == nodata, np.nextafter(values, away), values)
    if nodata is not None:
        values[values == nodata] = int(nodata) - 1 if nodata == np.iinfo(dtype).max else int(nodata) + 1
    return values


# 3 Preamble, 4 Header, 5 Statistics, 6 Index, and the raster


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    need(len(dict(pairs)) == len(pairs), "header: a key twice")
    return dict(pairs)


def real(text: str) -> float:
    """A number that is not written as an integer."""
    v = float(text)
    need(np.isfinite(v) and (not v.is_integer() or abs(v) >= 2**53 or text == "-0.0"), "header: a real")
    return v


class ReferenceReader:
    """A whole file. Raises Refused."""

    def __init__(self, data: bytes, weights: Callable[[str], bytes]) -> None:
        self.data, self.weights, self.decoded = data, weights, {}
        need(len(data) >= 64 and data[:8] == b"\x89SARZ\r\n\x1a", "preamble: magic")
        (_, version, flags, length, crc, raw, stat_length, stat_crc, tiles, index_crc, detail, coarse, reserved,
         own) = PREAMBLE.unpack(data[:64])
        need(version == 1, "preamble: version")
        need(flags == reserved == 0 and zlib.crc32(data[:60]) == own, "preamble: reserved or CRC")
        need(1 <= length <= 2**24 and 2 <= raw <= 2**24 and 1 <= tiles <= 2**24, "preamble: bounds")
        need(stat_length % 32 == 0 and 32 <= stat_length <= 32 * 65535, "preamble: bounds")
        need(len(data) == 64 + length + stat_length + 40 * tiles + detail + coarse, "preamble: file length")
        at = np.cumsum([64, length, stat_length, 40 * tiles, detail]).tolist()
        need(zlib.crc32(data[at[0] : at[1]]) == crc, "header: CRC")
        self.header = self.checked_header(inflate(data[at[0] : at[1]], raw, DICTIONARY))
        need(zlib.crc32(data[at[1] : at[2]]) == stat_crc, "statistics: CRC")
        need(stat_length == 32 * self.meta["count"], "statistics: length")
        self.statistics = [struct.unpack("<QqQII", data[i : i + 32]) for i in range(at[1], at[2], 32)]
        for count, total, squared, top, rest in self.statistics:
            need(rest == 0 and abs(total) <= count * top and squared <= count * top**2 and (count or not top), "statistics: sums")
        need(zlib.crc32(data[at[2] : at[3]]) == index_crc, "index: CRC")
        self.index = np.frombuffer(data[at[2] : at[3]], ENTRY)
        self.check_index({"detail": (at[3], at[4]), "coarse": (at[4], len(data))})

    def checked_header(self, raw: bytes) -> dict[str, Any]:
        """The header, but for types and bounds of what pixels do not depend on."""
        try:
            header = json.loads(raw.decode("utf-8"), object_pairs_hook=once, parse_float=real, parse_constant=real)
        except (UnicodeDecodeError, json.JSONDecodeError) as exc:
            raise Refused("header: JSON") from exc
        text = json.dumps(header, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        need(text == raw.decode("utf-8") and "\\u0000" not in text, "header: not canonical")
        need(HEADER_KEYS <= set(header) <= HEADER_KEYS | {"notes", "target", "lossless", "bound"}, "header: keys")
        self.meta = meta = header["metadata"]
        need({"width", "height", "dtype", "count"} <= set(meta) <= METADATA_KEYS and meta["dtype"] in DTYPES,
             "header: metadata")
        count = meta["count"]
        bounds = [(meta["width"], 1, 2**31 - 1), (meta["height"], 1, 2**31 - 1), (count, 1, 65535),
                  (header["quality"], 0, 100), (header["tile_size"], 64, 4096)]
        bounds += [(o, -10000, 10000) for o in header["offsets_db"]]
        need(all(type(n) is int and low <= n <= high for n, low, high in bounds), "header: bounds")
        need(header["tile_size"] % 64 == 0 and header["scale"] in ("amplitude", "intensity", "db"), "header: bounds")
        a_band = ("nodata", "descriptions", "units", "scales", "offsets", "colorinterp", "band_tags")
        need(all(len(items) == count for items in [header["offsets_db"], *(meta[key] for key in a_band if key in meta)]),
             "header: an item a band")
        need(header.get("notes") != [] and meta.get("tags") != {} and all(meta.get("tags", {"": 1}).values()),
             "header: a default spelled out")
        need(len({len(column) for column in meta.get("gcps", {}).values() if type(column) is list}) <= 1, "header: points")
        need(sorted(b for g in header["groups"] for b in g["bands"]) == list(range(count)), "header: groups")
        need(all(set(g) == {"bands", "model", "weights_sha256"} and len(g["bands"]) in (1, 2)
                 and re.fullmatch("[a-z0-9][a-z0-9._-]{0,63}", g["model"]) and re.fullmatch("[0-9a-f]{64}", g["weights_sha256"])
                 for g in header["groups"]), "header: groups")
        need(len(header.keys() & {"lossless", "bound", "target"}) <= 1, "header: two of lossless, bound and target")
        need(header.get("lossless", True) is True and ("lossless" in header or meta["dtype"] not in PARTS), "header: lossless")
        for key, kind, kinds in (("bound", "unit", ("db", "raster")), ("target", "kind", ("rmse_db", "ratio", "bpp"))):
            goal = header.get(key)
            need(goal is None or set(goal) == {kind, "value"} and goal[kind] in kinds and type(goal["value"]) in (int, float)
                 and goal["value"] > 0, f"header: {key}")
        if header["scale"] == "db" or header.get("bound", {}).get("unit") == "raster":
            need(all(0 < abs(float(scale)) < np.inf for scale in meta.get("scales", [])), "header: scales")
        need(header["scale"] != "db" or all(abs(float(offset)) < np.inf for offset in meta.get("offsets", [])), "header: offsets")
        self.dtype = np.dtype(PARTS.get(meta["dtype"], meta["dtype"]))
        self.size, self.H, self.W = header["tile_size"], meta["height"], meta["width"]
        self.grid = -(-self.H // self.size), -(-self.W // self.size)
        return header

    def check_index(self, sections: dict[str, tuple[int, int]]) -> None:
        index, groups = self.index, self.header["groups"]
        need(len(index) == self.grid[0] * self.grid[1] * len(groups), "index: tile count")
        need(not index["reserved"].any() and (index["flags"] < 8).all() and (index["quality"] <= 100).all(), "index: fields")
        for part, (start, end) in sections.items():
            ends = start + np.cumsum(index[f"{part}_length"].astype(np.int64))
            need(ends[-1] == end and (index[part] == ends - index[f"{part}_length"]).all(), f"index: {part} parts in order")
        D, S = (lambda n: n + n // 128 + 64), (lambda k: 129 + 6 * k)
        allowed = {"lossless": {3}, "bound": {1, 3, 5}}.get(next(iter(self.header.keys() & {"lossless", "bound"}), ""), {0, 1, 2, 3})
        for number, entry in enumerate(index):
            B, (_, _, h, w) = len(groups[number % len(groups)]["bands"]), self.box(number)
            R, C, s = -(-h // 16), -(-w // 16), self.dtype.itemsize * (2 if self.meta["dtype"] in PARTS else 1)
            need(entry["flags"] in allowed, "index: flags that the header rules out")
            need(not entry["overview"][B:].any() and (entry["flags"] == 0 or not entry["overview"].any()), "index: overview")
            most = B * (1 + D(-(-h * w // 4))) + S(32 * -(-R // 2) * -(-C // 2) + 4 * B * R * C) + 5 * (B + 2)
            need(entry["coarse_length"] <= most, "index: longer than a part can be")
            bands = B * (D(h * w * s) + 64 + 4 * -(-h // 64) * -(-w // 64) + 3 * h * w)
            need(entry["detail_length"] <= S(252 * B * R * C) + bands + 5 * (2 * B + 3), "index: longer than a part can be")

    def box(self, number: int) -> tuple[int, int, int, int]:
        """Row, column, height and width of the tile of an entry."""
        row, col = (self.size * k for k in divmod(number // len(self.header["groups"]), self.grid[1]))
        return row, col, min(self.size, self.H - row), min(self.size, self.W - col)

    def part(self, entry: np.void, name: str, count: int) -> list[bytes]:
        data = self.data[int(entry[name]) : int(entry[name]) + int(entry[f"{name}_length"])]
        need(zlib.crc32(data) == entry[f"{name}_crc"], f"{name} part: CRC")
        return segments(data, count)

    def nodata(self, band: int) -> Any:
        """The band's nodata value as the dtype has it, or None."""
        value = self.meta.get("nodata", [None] * self.meta["count"])[band]
        if value is None:
            return None
        if self.dtype.kind == "f":
            with np.errstate(over="ignore"):
                rounded = self.dtype.type(float(value))
            return rounded if np.isfinite(rounded) or not np.isfinite(float(value)) else None
        info = np.iinfo(self.dtype)
        return self.dtype.type(value) if isinstance(value, int) and info.min <= value <= info.max else None

    def read(self) -> np.ndarray:
        """All pixels (bands, rows, cols); CInt16 as complex64."""
        parts = 2 if self.meta["dtype"] in PARTS else 1
        out = np.zeros((self.meta["count"], parts, self.H, self.W), self.dtype)
        for number, group in enumerate(self.header["groups"]):
            out[group["bands"]] = self.read_group(number).reshape(-1, parts, self.H, self.W)
        if parts == 1:
            return out[:, 0]
        return out[:, 0] + out[:, 1] * np.complex64(1j) if self.dtype.kind == "i" else np.ascontiguousarray(
            out.transpose(0, 2, 3, 1)).view(self.meta["dtype"])[..., 0]

    def read_group(self, group: int) -> np.ndarray:
        bands = self.header["groups"][group]["bands"]
        B, model, tiles, y = len(bands), None, [], np.zeros((256 * len(bands), -(-self.H // 16), -(-self.W // 16)), np.int64)
        for number in range(group, len(self.index), len(self.header["groups"])):
            entry, (row, col, h, w) = self.index[number], self.box(number)
            coarse, detail = self.part(entry, "coarse", B + 2), self.part(entry, "detail", 2 * B + 3)
            streams, flags = [*coarse[B:], *detail[:2]], int(entry["flags"])
            classes = np.stack([class_plane(segment, h, w) for segment in coarse[:B]])
            need(bool(detail[-1]) == bool(flags & (FALLBACK | BOUNDED)), "tile: the copy and the flags")
            for plane, band in zip(classes, bands):
                need(not (plane == NODATA).any() or self.nodata(band) is not None, "tile: no nodata value")
            if flags & EMPTY:
                need(not any(streams), "tile: an empty tile with streams")
                need((classes == VALID).any() == bool(flags & BOUNDED), "tile: VALID pixels and the flags")
            else:
                model = model or self.model(group)
                box = np.s_[:, row // 16 : -(-(row + h) // 16), col // 16 : -(-(col + w) // 16)]
                y[box] = tile_latents(streams, model, int(entry["quality"]), *y[box].shape[1:])
            need(not flags & (EMPTY | FALLBACK) or not any(detail[2 + B : 2 + 2 * B]), "tile: corrections of no use")
            tiles.append((number, flags, classes, detail[2:]))
        self.decoded[group] = y, model, tiles
        pixels = model.synthesis(y) if model else np.zeros((B, 16 * y.shape[1], 16 * y.shape[2]), np.int64)
        parts = 2 if self.meta["dtype"] in PARTS else 1
        out = np.zeros((parts * B, self.H, self.W), self.dtype)
        tables = [table(self.header, band, self.dtype, self.nodata(band)) if model else None for band in bands]
        for number, flags, classes, detail in tiles:
            row, col, h, w = self.box(number)
            box = np.s_[row : row + h, col : col + w]
            if flags & FALLBACK:
                out[:, *box] = lossless(detail[-1], (parts * B, h, w), self.dtype)
                continue
            copy = self.bounded(detail[-1], classes == VALID, group) if flags & BOUNDED else None
            for m, band in enumerate(bands):
                plane, exact = classes[m], (classes[m] == EXACT)
                if copy is None and not flags & EMPTY:
                    x = corrected(pixels[m][box], detail[B + m])
                    out[m][box][plane == VALID] = tables[m][x + 32768][plane == VALID]
                elif copy is not None:
                    out[m][box][plane == VALID] = copy[m][plane == VALID]
                if (plane == NODATA).any():
                    out[m][box][plane == NODATA] = self.nodata(band)
                need(exact.any() or not detail[m], "exact values: none expected")
                if exact.any():
                    size = int(exact.sum()) * self.dtype.itemsize
                    out[m][box][exact] = np.frombuffer(inflate(detail[m], size), self.dtype.newbyteorder("<"))
        return out

    def model(self, group: int) -> Model:
        wanted = self.header["groups"][group]["weights_sha256"]
        data = self.weights(wanted)
        need(sha256(data).hexdigest() == wanted, "model: not at hand")
        model = Model(data)
        need(model.bands == len(self.header["groups"][group]["bands"]), "model: bands")
        return model

    def bounded(self, copy: bytes, valid: np.ndarray, group: int) -> np.ndarray:
        """Section 8.8."""
        bound, scale, bands = self.header["bound"], self.header["scale"], self.header["groups"][group]["bands"]
        ratios, limit, integers = bound["unit"] == "db" and scale != "db", bound["value"] * (1 + 1e-9), self.dtype.kind in "iu"
        g = max(abs(float(self.meta.get("scales", [1] * self.meta["count"])[band])) for band in bands)
        method, data = copy[0], copy[1:]
        need(method == 2 if ratios and not integers else method in (0, 2) if ratios else method == (0 if integers else 1),
             "bounded: method")
        e = int.from_bytes(data[:2], "little", signed=True)
        need(method != 1 or len(data) >= 2 and -1074 <= e <= 971, "bounded: exponent")
        data = data[2:] if method == 1 else data
        source = Bytes(data)
        with malformed("contextual tile"):
            step = source.u()
            ratio = source.u() if step == 0 else 1
        need((step == 0) == (ratios and method == 0), "bounded: cells or steps")
        decibels = 20 if scale == "amplitude" else 10
        off = (decibels * np.log10(max(ratio, 1) / 2**32) if step == 0 else step // 2 * g if method == 0
               else step / 2 * 2.0**e * g if method == 1 else step / 2 / 1024)
        need(off <= limit, "bounded: coarser than the bound")
        n = contextual(data, valid.shape, valid.tolist())
        if method == 0:
            info = np.iinfo(self.dtype)
            need(info.min <= n.min() and n.max() <= info.max, "bounded: values")
            return n.astype(self.dtype)
        with np.errstate(over="ignore"):
            return to_dtype(n * 2.0**e if method == 1 else linear(n, 20480 if scale == "amplitude" else 10240), self.dtype)
