"""Which bands are coded together, and by which model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .header import BandGroup
from .weights import ModelInfo

PAIRS = (("VV", "VH"), ("HH", "HV"))
"""Co-polarised band first: the order the pair model was trained with."""

ALONE = ("angle", "incidence", "inc")
"""Descriptions (lower case, at the start) of bands that are not backscatter and go alone."""


def group_bands(descriptions: Sequence[str | None]) -> list[tuple[int, ...]]:
    """Pair bands by description where they have one, the others in order; 0-based, sorted by first band.

    >>> group_bands(["VH", "VV", "angle"])
    [(1, 0), (2,)]
    """
    names = [(d or "").strip() for d in descriptions]
    upper = [n.upper() for n in names]
    groups: list[tuple[int, ...]] = []
    left = list(range(len(names)))
    for first, second in PAIRS:
        while any(_is(upper[i], first) for i in left) and any(_is(upper[i], second) for i in left):
            pair = tuple(next(i for i in left if _is(upper[i], p)) for p in (first, second))
            groups.append(pair)
            left = [i for i in left if i not in pair]
    alone = [i for i in left if names[i].lower().startswith(ALONE) or any(_is(upper[i], p) for ps in PAIRS for p in ps)]
    left = [i for i in left if i not in alone]
    groups += [(i,) for i in alone]
    groups += [tuple(left[i : i + 2]) for i in range(0, len(left), 2)]
    return sorted(groups, key=min)


def _is(name: str, polarisation: str) -> bool:
    """Whether a description names a polarisation: alone, or as a word of it (``Sigma0_VV``, ``VV dB``)."""
    words = "".join(c if c.isalnum() else " " for c in name).split()
    return polarisation in words


def model_groups(descriptions: Sequence[str | None], models: Mapping[int, ModelInfo]) -> tuple[BandGroup, ...]:
    """Band groups with the model that codes each."""
    return tuple(BandGroup(bands, models[len(bands)].id, models[len(bands)].weights_sha256)
                 for bands in group_bands(descriptions))
