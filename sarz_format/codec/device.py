"""Which device computes, and everything of one model that lives on it."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import lru_cache

import torch

from ..errors import ArithmeticWarning, DeviceError, SarzOptionError
from ..weights import ModelInfo, load_model
from .arithmetic import Float32Arithmetic
from .conformance import choose_arithmetic
from .cpu_network import CpuNetwork
from .entropy import decoding_tables
from .mosaic import automatic_batch
from .network import Network
from .tile import LatentCoder

DEVICES = ("auto", "cpu", "cuda")

SLOWER = "networks run in {name} arithmetic, which is exact and slower ({refused})"


def resolve_device(device: str) -> torch.device:
    """``"auto"`` is a GPU where there is one.

    Raises
    ------
    SarzOptionError
        For anything but auto, cpu, cuda and cuda:N.
    DeviceError
        If a GPU was asked for and there is none.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device != "cpu" and device != "cuda" and not device.startswith("cuda:"):
        raise SarzOptionError(f"device {device!r}: expected {', '.join(DEVICES)}")
    if device != "cpu" and not torch.cuda.is_available():
        raise DeviceError(f"device {device!r}: this machine or this build of torch has no CUDA device; use cpu or auto")
    return torch.device(device)


def resolve_batch(batch_size: int | str, device: torch.device) -> int:
    """``"auto"`` or a positive number of tiles; raises SarzOptionError otherwise."""
    if batch_size == "auto":
        return automatic_batch(device)
    if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
        raise SarzOptionError(f"batch size {batch_size!r}: expected auto or a positive whole number")
    return batch_size


@dataclass(frozen=True, slots=True)
class Engine:
    """A model ready to run: its integer networks on a device, its entropy coder, and why no faster arithmetic is used."""

    network: Network
    coder: LatentCoder
    refused: tuple[str, ...] = ()


@lru_cache(maxsize=8)
def load_engine(info: ModelInfo, device: torch.device) -> Engine:
    """The engine of a model on a device; made once a process. Says in an `ArithmeticWarning` if it is a slower one.

    Raises
    ------
    ModelNotFoundError, SarzFormatError
        As `weights.load_model`.
    DeviceError
        If sums of small integers are not exact on the device on any path.
    """
    model = load_model(info)
    try:
        choice = choose_arithmetic(device)
    except RuntimeError as exc:
        raise DeviceError(str(exc)) from exc
    arithmetic = choice.arithmetic
    if choice.refused:
        warnings.warn(ArithmeticWarning(SLOWER.format(name=arithmetic.name, refused="; ".join(choice.refused))),
                      stacklevel=2)
    reference = isinstance(arithmetic, Float32Arithmetic)
    network = Network(model, device, arithmetic) if reference else CpuNetwork(model, arithmetic)
    return Engine(network, LatentCoder(model, decoding_tables(model.tables)), choice.refused)
