"""Tiles on their way from bytes to latents: what whole tiles and coarse parts alone have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Protocol, TypeVar

import numpy as np

from .codec.pool import map_batches, parallel_map
from .errors import DamagedTileError, SarzFormatError

if TYPE_CHECKING:
    import torch

    from .codec.device import Engine
    from .codec.mosaic import BatchRunner

Key = tuple[int, int, int]
"""``(group, tile row, tile col)``."""


class Work(Protocol):
    """One tile: ``z`` are its hyperlatents once they are decoded, ``sums`` what the hyper-synthesis makes of them."""

    key: Key
    z: np.ndarray | None
    sums: np.ndarray | None
    damage: DamagedTileError | None


W = TypeVar("W", bound=Work)


def guarded(work: W, step: Callable[[W, Engine | None], None], engine: Engine | None) -> None:
    """Run a step of one tile; malformed bytes (which a CRC cannot exclude) become that tile's damage."""
    if work.damage is not None:
        return
    try:
        step(work, engine)
    except SarzFormatError as exc:
        group, row, col = work.key
        work.damage = DamagedTileError(row, col, group, str(exc))


def synthesise_hyperlatents(work: Iterable[W], run: BatchRunner, device: torch.device,
                            network: Callable[[np.ndarray], np.ndarray], finish: Callable[[W], None]) -> None:
    """Set the sums of all tiles that have hyperlatents, equal shapes in batches, and finish each as its batch is done."""
    from .codec.mosaic import batches  # torch is imported where there are latents

    by_shape: dict[tuple[int, ...], list[W]] = {}
    for w in work:
        if w.z is not None and w.damage is None:
            by_shape.setdefault(w.z.shape, []).append(w)

    def finish_batch(batch: list[W]) -> None:
        for w, sums in zip(batch, run(network, [w.z for w in batch])):
            w.sums = sums
        parallel_map(finish, batch)

    map_batches(device, finish_batch, [part for same in by_shape.values() for part in batches(same, run.batch_size)])
