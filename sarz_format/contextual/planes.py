"""Several planes of one size as bytes: the lattice, then each plane's parameters and stream."""

from __future__ import annotations

import numpy as np

from ..errors import SarzFormatError, SarzOptionError
from .cells import Lattice, cells_of
from .coder import OK, REASONS, decode_plane, encode_plane
from .contexts import first_tables
from .fitting import fit
from .parameters import (
    MIDDLE_LIMITS,
    Parameters,
    Reader,
    number,
    pack_constant,
    pack_lattice,
    pack_parameters,
    read_lattice,
    read_parameters,
)
from .prediction import MARGIN, empty_plane
from .symbols import EVENTS_A_PIXEL, LOWER, write_stream

NO_NUMBERS = np.zeros((0, 0), np.int32)
NO_MASK = np.zeros((0, 0), bool)


Surroundings = tuple[np.ndarray, np.ndarray]
"""Levels and errors of a plane, int32 with margins."""

NO_PLANE: Surroundings = (NO_NUMBERS, NO_NUMBERS)


def encode_planes(values: np.ndarray, valid: np.ndarray | None, lattice: Lattice, classes: tuple[int, int],
                  relative: bool) -> tuple[bytes, np.ndarray]:
    """Code planes; return the bytes and int64 ``(bands, height, width)`` as they will be decoded.

    Parameters
    ----------
    values
        Float64 or integers ``(bands, height, width)``: n of a uniform lattice, numbers of cells.
    valid
        bool of the same shape, or None if every pixel is. Invalid values are never looked at.
    classes
        Of scale (up to 16) and of skew (up to 4).
    relative
        Whether to fit relative errors.

    Raises
    ------
    SarzOptionError
        If a valid value of a uniform lattice is below -2^31 or above 2^32 - 1, or two of a band are 2^32 or more apart;
        if one of cells is not in 1 ... the lattice's largest.
    """
    decoded, parts, before = np.empty(values.shape, np.int64), [pack_lattice(lattice)], NO_PLANE
    for band, plane in enumerate(values):
        data, decoded[band], before = _encode(plane, _mask(valid, band), lattice, before, classes, relative)
        parts.append(data)
    return b"".join(parts), decoded


def decode_planes(data: bytes, shape: tuple[int, int, int], valid: np.ndarray | None) -> tuple[Lattice, np.ndarray]:
    """The lattice and int64 ``(bands, height, width)`` of what `encode_planes` coded.

    Raises
    ------
    SarzFormatError
        On anything else. Bytes damaged by chance may also decode to other values, of less than 35 bits.
    """
    source, decoded, before = Reader(data), np.empty(shape, np.int64), NO_PLANE
    lattice = read_lattice(source)
    for band in range(shape[0]):
        decoded[band], before = _decode(source, shape[1:], _mask(valid, band), lattice, before)
    if source.at != len(data):
        raise SarzFormatError(f"contextual tile of {len(data)} bytes: {len(data) - source.at} left over")
    return lattice, decoded


def _encode(plane: np.ndarray, mask: np.ndarray, lattice: Lattice, before: Surroundings, classes: tuple[int, int],
            relative: bool) -> tuple[bytes, np.ndarray | int, Surroundings]:
    """Bytes of a plane, its values as decoded, and its surroundings; `before` are those of the plane before."""
    lowest, highest = _range(plane[mask] if mask.size else plane, lattice)
    if lowest == highest:
        return pack_constant(lowest), lowest, (empty_plane(plane.shape), empty_plane(plane.shape))
    cells, numbers, n = cells_of(lattice), NO_NUMBERS, plane
    if not lattice.step:
        numbers = (np.where(mask, plane, 1) if mask.size else plane).astype(np.int32)
        n, (lowest, highest) = cells.log[numbers], cells.log[[lowest, highest]].tolist()
    target = n.astype(np.float64)
    middle = _middle(target[mask] if mask.size else target, lowest, highest)
    target -= middle
    if mask.size:
        target[~mask] = 0.0
    parameters = fit(target, numbers, mask, lattice, cells, middle, lowest - middle, highest - middle, *before,
                     first=before is NO_PLANE, classes=classes, relative=relative)
    levels, errors = _before_the_first_row(parameters, plane.shape)
    events = np.empty(EVENTS_A_PIXEL * plane.size, np.int32)
    count = encode_plane(target, numbers, mask, middle, lattice.step, cells, levels, errors, *before, parameters.form(),
                         *_tables(parameters), _sums(plane.shape), events)
    words = np.empty(count + 1, np.uint16)
    state, position = write_stream(events, count, words)
    used = words[position:].astype("<u2")
    data = [pack_parameters(parameters), number(used.size), int(state).to_bytes(4, "little"), used.tobytes()]
    return b"".join(data), _values(levels, numbers, middle), (levels, errors)


def _decode(source: Reader, shape: tuple[int, int], mask: np.ndarray, lattice: Lattice,
            before: Surroundings) -> tuple[np.ndarray | int, Surroundings]:
    """Values of the next plane and its surroundings."""
    parameters = read_parameters(source, before is NO_PLANE)
    if isinstance(parameters, int):
        if not lattice.step and not 1 <= parameters <= lattice.largest:
            raise SarzFormatError(f"contextual tile: a number is {parameters}, expected 1 to {lattice.largest}")
        return parameters, (empty_plane(shape), empty_plane(shape))
    if parameters.repeats and lattice.step != 1:
        raise SarzFormatError("contextual tile: repeats in a lattice of another step than 1")
    count = source.number(EVENTS_A_PIXEL * shape[0] * shape[1], "the number of words")
    state = int.from_bytes(source.take(4), "little")
    words = np.frombuffer(source.take(2 * count), "<u2").astype(np.uint16)
    if state < LOWER:
        raise SarzFormatError("contextual tile: the state of a stream is below 2^16")
    levels, errors = _before_the_first_row(parameters, shape)
    numbers = NO_NUMBERS if lattice.step else np.zeros(shape, np.int32)
    status = decode_plane(state, words, numbers, mask, parameters.middle, lattice.step, cells_of(lattice), levels,
                          errors, *before, parameters.form(), *_tables(parameters), _sums(shape))
    if status != OK:
        raise SarzFormatError(f"contextual tile: {REASONS[status]}")
    return _values(levels, numbers, parameters.middle), (levels, errors)


def _mask(valid: np.ndarray | None, band: int) -> np.ndarray:
    """A band's mask as the loops take it: without rows if every pixel is valid."""
    return NO_MASK if valid is None or valid[band].all() else np.ascontiguousarray(valid[band])


def _range(values: np.ndarray, lattice: Lattice) -> tuple[int, int]:
    """Whole numbers around all values; of none, a value that the lattice has, twice."""
    if not values.size:
        return (0, 0) if lattice.step else (1, 1)
    low, high = values.min(), values.max()
    lowest, highest = (MIDDLE_LIMITS if lattice.step else (1, lattice.largest))
    if not lowest <= low <= high <= highest:
        raise SarzOptionError(f"values from {low} to {high}: expected {lowest} to {highest}")
    lowest, highest = int(np.floor(low)), int(np.ceil(high))
    if highest - lowest >= 1 << 32:
        raise SarzOptionError(f"values from {low} to {high}: expected a range below 2^32")
    return lowest, highest


def _middle(values: np.ndarray, lowest: int, highest: int) -> int:
    """The mean as a whole number, so that all levels are int32."""
    return int(min(max(int(np.rint(values.mean())), lowest, highest - (2**31 - 1)), highest, lowest + 2**31))


def _before_the_first_row(parameters: Parameters, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Levels and errors before the first row."""
    return empty_plane(shape), empty_plane(shape, parameters.first_error)


def _tables(parameters: Parameters) -> tuple[np.ndarray, np.ndarray]:
    """Tables before the first pixel, and how many symbols each has seen."""
    tables = first_tables(parameters.shapes, len(parameters.skew_thresholds) + 1)
    return tables, np.zeros(len(tables), np.int64)


def _sums(shape: tuple[int, int]) -> np.ndarray:
    """Room for the sums of a row."""
    return np.empty((3, shape[1]), np.int64)


def _values(levels: np.ndarray, numbers: np.ndarray, middle: int) -> np.ndarray:
    inside = levels[MARGIN:-MARGIN, MARGIN:-MARGIN].astype(np.int64) + middle
    return numbers if numbers.size else inside
