"""What the encoder tells the decoder about a plane, as bytes and back, with every bound checked.

Numbers are LEB128 (seven bits a byte, the lowest first), signed ones zigzag; weights are i16.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import SarzFormatError
from .cells import Lattice
from .contexts import BINS, MAX_SCALES, MAX_SKEWS, SHAPES, Form, classes_by_bin
from .prediction import ERRORS, OTHER_ERRORS, OTHER_TAPS, OWN_TAPS

BIAS_LIMIT, ACTIVITY_BIAS_LIMIT, SHIFT_LIMIT = 1 << 50, 1 << 56, 60
MIDDLE_LIMITS = -(1 << 31), (1 << 32) - 1
CODED, REPEATS = 1, 2
SHAPE_BITS = 3


@dataclass(frozen=True, slots=True, eq=False)
class Parameters:
    """Of a coded plane. Levels are values less ``middle``, from ``lowest`` (not above 0) to ``highest``.

    ``weights`` int64 (27,) or (18,): own taps, then those of the plane before; ``activity`` int64 (7,) or (5,)
    likewise; ``first_error`` stands above the first row. ``scale_thresholds`` (up to 15) and ``skew_thresholds`` (up
    to 3) rise; ``shifts`` and ``shapes`` have one entry a scale class.
    """

    middle: int
    lowest: int
    highest: int
    first_error: int
    weights: np.ndarray
    bias: int
    activity: np.ndarray
    activity_bias: int
    activity_shift: int
    skew_shift: int
    scale_thresholds: np.ndarray
    skew_thresholds: np.ndarray
    shifts: np.ndarray
    shapes: np.ndarray
    repeats: bool

    def form(self) -> Form:
        """As the loops take them."""
        own, errors = len(OWN_TAPS), ERRORS
        return Form(self.weights[:own], self.weights[own:], self.bias, self.activity[:errors], self.activity[errors:],
                    self.activity_bias, self.activity_shift, self.skew_shift, self.lowest, self.highest,
                    classes_by_bin(self.scale_thresholds), classes_by_bin(self.skew_thresholds),
                    len(self.skew_thresholds) + 1, self.shifts, self.repeats)


class Reader:
    """Takes numbers off the front of bytes; SarzFormatError where they end."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, size: int) -> bytes:
        """So many bytes."""
        if size > len(self.data) - self.at:
            raise SarzFormatError(f"contextual tile of {len(self.data)} bytes: ends early")
        self.at += size
        return self.data[self.at - size : self.at]

    def number(self, highest: int, what: str) -> int:
        """An unsigned number up to `highest`, which is below 2^63."""
        value = shift = 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                break
            if shift > 56:
                raise SarzFormatError(f"contextual tile: {what} takes more than nine bytes")
        if value > highest:
            raise SarzFormatError(f"contextual tile: {what} is {value}, expected {highest} at most")
        return value

    def signed(self, limit: int, what: str) -> int:
        """A signed number from ``-limit`` to `limit`."""
        value = self.number(2 * limit, what)
        return -(value + 1 >> 1) if value & 1 else value >> 1

    def weights(self, count: int) -> np.ndarray:
        """int64 (count,)."""
        return np.frombuffer(self.take(2 * count), "<i2").astype(np.int64)

    def rising(self, count: int, what: str) -> np.ndarray:
        """int64 (count,), none above the last bin and none below the one before."""
        out, last = np.empty(count, np.int64), 0
        for i in range(count):
            out[i] = last = last + self.number(BINS - 1 - last, what)
        return out


def number(value: int) -> bytes:
    """An unsigned number as LEB128."""
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def signed(value: int) -> bytes:
    """A signed number as LEB128, zigzag: 0, -1, 1, -2 ... are 0, 1, 2, 3 ..."""
    return number(-2 * value - 1 if value < 0 else 2 * value)


def pack_lattice(lattice: Lattice) -> bytes:
    """Step, and of cells ratio and largest number."""
    return number(lattice.step) + (b"" if lattice.step else number(lattice.ratio) + number(lattice.largest))


def read_lattice(source: Reader) -> Lattice:
    """Inverse of `pack_lattice`; raises SarzFormatError on anything else."""
    step = source.number(1 << 40, "the step")
    ratio = 0 if step else source.number(1 << 40, "the ratio")
    largest = 0 if step else source.number(1 << 40, "the largest number")
    try:
        return Lattice(step, ratio, largest)
    except ValueError as exc:
        raise SarzFormatError(f"contextual tile: {exc}") from exc


def lattice_of(data: bytes) -> Lattice:
    """The lattice of a contextual tile, of which nothing else is looked at; raises SarzFormatError on anything else."""
    return read_lattice(Reader(data))


def pack_constant(middle: int) -> bytes:
    """A plane of which every pixel is `middle`."""
    return bytes([0]) + signed(middle)


def pack_parameters(p: Parameters) -> bytes:
    """A coded plane's parameters."""
    counts = len(p.skew_thresholds) << 2 | len(p.scale_thresholds) << 4
    rising = [np.diff(t, prepend=0).tolist() for t in (p.scale_thresholds, p.skew_thresholds)]
    return b"".join([
        bytes([CODED | (REPEATS if p.repeats else 0) | counts]), signed(p.middle), number(-p.lowest), number(p.highest),
        number(p.first_error), p.weights.astype("<i2").tobytes(), signed(p.bias), p.activity.astype("<i2").tobytes(),
        signed(p.activity_bias), bytes([p.activity_shift, p.skew_shift]), *(number(d) for part in rising for d in part),
        (p.shifts << SHAPE_BITS | p.shapes).astype(np.uint8).tobytes(),
    ])


def read_parameters(source: Reader, first: bool) -> Parameters | int:
    """A coded plane's parameters, or the value of a constant one; `first` if there is no plane before it."""
    flags = source.take(1)[0]
    middle = source.signed(1 << 33, "the middle")
    if not MIDDLE_LIMITS[0] <= middle <= MIDDLE_LIMITS[1]:
        raise SarzFormatError(f"contextual tile: the middle is {middle}, expected 32 bits")
    if flags == 0:
        return middle
    if not flags & CODED:
        raise SarzFormatError(f"contextual tile: the flags of a plane are {flags:#04x}")
    skews, scales = (flags >> 2 & MAX_SKEWS - 1), flags >> 4 & MAX_SCALES - 1
    lowest, highest = -source.number(1 << 31, "the lowest level"), source.number((1 << 31) - 1, "the highest level")
    first_error = source.number((1 << 31) - 1, "the first error")
    weights = source.weights(len(OWN_TAPS) + (0 if first else len(OTHER_TAPS)))
    bias = source.signed(BIAS_LIMIT, "the bias")
    activity = source.weights(ERRORS + (0 if first else OTHER_ERRORS))
    activity_bias = source.signed(ACTIVITY_BIAS_LIMIT, "the activity's bias")
    activity_shift, skew_shift = source.take(2)
    if max(activity_shift, skew_shift) > SHIFT_LIMIT:
        raise SarzFormatError(f"contextual tile: shifts {activity_shift}, {skew_shift}: expected up to {SHIFT_LIMIT}")
    scale_thresholds = source.rising(scales, "a threshold of the scale")
    skew_thresholds = source.rising(skews, "a threshold of the skew")
    classes = np.frombuffer(source.take(scales + 1), np.uint8).astype(np.int64)
    return Parameters(middle, lowest, highest, first_error, weights, bias, activity, activity_bias,
                      activity_shift, skew_shift, scale_thresholds, skew_thresholds, classes >> SHAPE_BITS,
                      classes & SHAPES - 1, bool(flags & REPEATS))
