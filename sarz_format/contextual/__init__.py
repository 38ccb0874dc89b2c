"""A causal contextual coder of tile planes, lossless or with a bound on every pixel's error.

::

    values -> lattice: integers n -> fitting (encoder) -> parameters -.
                                     prediction -> contexts -> symbols -> bytes      plane by plane, pixel by pixel
                                          ^------- decoded pixels -----'

The decoder uses integers alone. docs/spec/contextual.md describes the bytes.
"""

from __future__ import annotations

from .bounded import MIN_BOUND_DB, STEPS_PER_DB, encode_amplitudes, encode_fixed_point, step_of_decibels
from .lossless import decode_fixed_point, decode_integers, decode_lossless_planes, encode_integers, encode_lossless
from .palette import decode_palette, encode_palette
from .parameters import lattice_of
from .wide import decode_wide, encode_wide

__all__ = [
    "MIN_BOUND_DB",
    "STEPS_PER_DB",
    "decode_fixed_point",
    "decode_integers",
    "decode_lossless_planes",
    "decode_palette",
    "decode_wide",
    "encode_amplitudes",
    "encode_fixed_point",
    "encode_integers",
    "encode_lossless",
    "encode_palette",
    "encode_wide",
    "lattice_of",
    "step_of_decibels",
]
