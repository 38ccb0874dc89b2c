"""What a file was asked to reach, where that was not a quality: an error of its tiles, or a size."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from .errors import SarzFormatError, SarzOptionError
from .metadata_json import check_keys, decode_float, encode_number, shown
from .quality import COARSEST_STEP_DB, DEFAULT_QUALITY, FINEST_STEP_DB, MAX_QUALITY, MIN_QUALITY, checked_quality

RMSE_DB, RATIO, BPP = "rmse_db", "ratio", "bpp"
KINDS = (RMSE_DB, RATIO, BPP)
"""RMSE of each tile in dB; bytes of the raw array over those of the file; bits of the file a band pixel."""

TOLERANCE = 0.05
"""Share of a target that what was reached may differ by without a warning."""

_KEYS = frozenset({"kind", "value"})
_STEPS_OF_UNIFORM_ERROR = math.sqrt(12)


@dataclass(frozen=True, slots=True)
class Target:
    """A number to reach: finite and above 0."""

    kind: str
    """One of KINDS."""
    value: float

    def to_json(self) -> dict[str, Any]:
        """As in the header of a file."""
        return {"kind": self.kind, "value": encode_number(self.value)}

    @classmethod
    def from_json(cls, value: Any) -> Target:
        """Inverse of `to_json`; SarzFormatError for anything else."""
        check_keys(value, "target", _KEYS, set(_KEYS))
        if value["kind"] not in KINDS:
            raise SarzFormatError(f"kind of the target is {shown(value['kind'])}, expected one of {', '.join(KINDS)}")
        number = decode_float(value["value"], "target")
        if not (math.isfinite(number) and number > 0):
            raise SarzFormatError(f"value of the target is {shown(value['value'])}, expected a finite number above 0")
        return cls(value["kind"], number)

    def bytes_of(self, raw_bytes: int, samples: int) -> float:
        """Size in bytes that a file of `samples` band pixels and `raw_bytes` should have; of RATIO and BPP only."""
        return raw_bytes / self.value if self.kind == RATIO else samples * self.value / 8

    def missed_by(self, reached: float) -> bool:
        """Whether `reached` differs from the target by more than TOLERANCE."""
        return not abs(reached / self.value - 1) <= TOLERANCE


def check_one_goal(lossless: bool, **goals: float | None) -> None:
    """Raise SarzOptionError if more than one argument says what a file is to reach."""
    names = ["lossless"] * bool(lossless) + [name for name, value in goals.items() if value is not None]
    if len(names) > 1:
        raise SarzOptionError(f"{' and '.join(names)} are given: expected one of {', '.join(goals)} and lossless; leave out "
                              "the others")


def asked_for(quality: int | None, **targets: float | None) -> tuple[int, Target | None]:
    """``(quality, target)`` of arguments at most one of which is given; `targets` by their KINDS.

    With a target the quality is where the search for it begins. Raises SarzOptionError for a value out of range.
    """
    given = {kind: value for kind, value in targets.items() if value is not None}
    if not given:
        return checked_quality(DEFAULT_QUALITY if quality is None else quality), None
    ((kind, value),) = given.items()
    target = Target(kind, _checked_value(kind, value))
    return (likely_quality(target.value) if kind == RMSE_DB else DEFAULT_QUALITY), target


def likely_quality(rmse_db: float) -> int:
    """The quality whose nominal step has this error if it is spread evenly over the step: a first guess."""
    position = math.log(COARSEST_STEP_DB / (rmse_db * _STEPS_OF_UNIFORM_ERROR))
    return min(max(round(MAX_QUALITY * position / math.log(COARSEST_STEP_DB / FINEST_STEP_DB)), MIN_QUALITY), MAX_QUALITY)


def _checked_value(kind: str, value: float) -> float:
    try:
        number = math.nan if isinstance(value, (bool, str, bytes)) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not (math.isfinite(number) and number > 0):
        raise SarzOptionError(f"{kind} {value!r}: expected a finite number above 0")
    return number
