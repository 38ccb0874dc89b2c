"""Which bands are coded together, and by which model."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence

from .header import BandGroup
from .roles import is_angle
from .weights import ModelInfo

NO_MODEL = "none", "0" * 64
"""Id and SHA-256 that a lossless file has for the models it does not need."""

PAIRS = (("VV", "VH"), ("HH", "HV"))
"""Co-polarised band first: the order the pair model was trained with."""


def group_bands(descriptions: Sequence[str | None], apart: Collection[int] = ()) -> list[tuple[int, ...]]:
    """Pair bands by description where they have one, the others in order; 0-based, sorted by first band.

    Angles, and the bands of `apart`, go alone.

    >>> group_bands(["VH", "VV", "angle"])
    [(1, 0), (2,)]
    """
    alone = {band for band, name in enumerate(descriptions) if is_angle(name)}.union(apart)
    named: dict[str | None, list[int]] = defaultdict(list)
    for band, name in enumerate(descriptions):
        if band not in alone:
            named[_polarisation(name)].append(band)
    groups: list[tuple[int, ...]] = [(band,) for band in alone]
    for first, second in PAIRS:
        groups += zip(named[first], named[second])
        left = min(len(named[first]), len(named[second]))
        groups += [(band,) for band in named[first][left:] + named[second][left:]]
    others = named[None]
    groups += [tuple(others[i : i + 2]) for i in range(0, len(others), 2)]
    return sorted(groups, key=min)


def _polarisation(name: str | None) -> str | None:
    """The one polarisation that a description names: alone, or as a word of it (``Sigma0_VV``, ``VV dB``)."""
    words = "".join(c if c.isalnum() else " " for c in (name or "").upper()).split()
    found = {polarisation for pair in PAIRS for polarisation in pair if polarisation in words}
    return found.pop() if len(found) == 1 else None


def model_groups(descriptions: Sequence[str | None], models: Mapping[int, ModelInfo],
                 apart: Collection[int] = ()) -> tuple[BandGroup, ...]:
    """Band groups with the model that codes each."""
    return tuple(BandGroup(bands, models[len(bands)].id, models[len(bands)].weights_sha256)
                 for bands in group_bands(descriptions, apart))


def groups_without_models(descriptions: Sequence[str | None], apart: Collection[int] = ()) -> tuple[BandGroup, ...]:
    """Band groups of a lossless file."""
    return tuple(BandGroup(bands, *NO_MODEL) for bands in group_bands(descriptions, apart))
