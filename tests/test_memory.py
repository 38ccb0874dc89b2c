"""Running out of memory: batches shrink, and in the end there is one line that says what helps."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from made_model import made_models  # noqa: F401 (a fixture)
from rasterio.rio.main import main_group

import sarz_format as sarz
from sarz_format.codec.cpu_network import CpuNetwork
from sarz_format.codec.mosaic import BatchRunner
from sarz_format.codec.network import Network
from sarz_format.memory import is_out_of_memory, memory_errors

CPU_FULL = ("[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to "
            "allocate 4503599627370496 bytes. Error code 12 (Cannot allocate memory)")


def full_memory(kind: str) -> Exception:
    return {"cpu": RuntimeError(CPU_FULL), "gpu": torch.OutOfMemoryError("CUDA out of memory"), "python": MemoryError(),
            "numpy": MemoryError("Unable to allocate 8.00 PiB")}[kind]


KINDS = ("cpu", "gpu", "python", "numpy")


def test_what_torch_really_raises_is_recognised() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 50)
    assert is_out_of_memory(caught.value)
    with pytest.raises(MemoryError) as caught_numpy:
        np.empty(1 << 55)
    assert is_out_of_memory(caught_numpy.value)


@pytest.mark.parametrize("error", [RuntimeError("shapes do not match"), ValueError("out of memory"), KeyError()])
def test_what_is_something_else(error: Exception) -> None:
    assert not is_out_of_memory(error)
    with pytest.raises(type(error)) as caught, memory_errors("x", "do this"):
        raise error
    assert caught.value is error


@pytest.mark.parametrize("kind", KINDS)
def test_the_message(kind: str) -> None:
    with pytest.raises(sarz.SarzMemoryError, match=r"^x\.tif: out of memory.*; do this$") as caught:
        with memory_errors("x.tif", "do this"):
            raise full_memory(kind)
    assert isinstance(caught.value, MemoryError) and "\n" not in str(caught.value)


class SmallDevice:
    """A network that takes so many arrays at once, and counts calls of too many."""

    def __init__(self, room: int, kind: str, together: int) -> None:
        self.room, self.kind, self.refused = room, kind, 0
        self._barrier = threading.Barrier(together)
        self._first = threading.local()

    def __call__(self, arrays: np.ndarray) -> np.ndarray:
        if not getattr(self._first, "called", False):
            self._first.called = True
            self._barrier.wait(10)  # All threads are in their first call at the same time.
        if len(arrays) > self.room:
            self.refused += 1
            raise full_memory(self.kind)
        return arrays * 2


@pytest.mark.parametrize("kind", KINDS)
def test_threads_that_run_out_together_halve_the_batch_once(kind: str) -> None:
    threads = 8
    device, run = SmallDevice(8, kind, threads), BatchRunner(16)
    arrays = [np.full(3, i) for i in range(40)]
    with ThreadPoolExecutor(threads) as pool:
        results = list(pool.map(lambda _: run(device, arrays), range(threads)))
    assert all([int(r[0]) for r in result] == [2 * i for i in range(40)] for result in results)
    assert device.refused == threads
    assert (run.batch_size, run.reductions) == (8, 1)


@pytest.mark.parametrize("kind", KINDS)
def test_memory_too_short_for_one_is_raised_by_every_thread(kind: str) -> None:
    device, run = SmallDevice(0, kind, 4), BatchRunner(8)

    def work(_: int) -> bool:
        try:
            run(device, [np.zeros(2)] * 9)
        except (MemoryError, RuntimeError) as exc:
            return is_out_of_memory(exc)
        return False

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(work, range(4))) == [True] * 4
    assert run.batch_size == 1


def test_another_error_of_the_network_changes_nothing() -> None:
    def function(arrays: np.ndarray) -> np.ndarray:
        raise RuntimeError("shapes do not match")

    run = BatchRunner(8)
    with pytest.raises(RuntimeError, match="shapes"):
        run(function, [np.zeros(2)] * 9)
    assert (run.batch_size, run.reductions) == (8, 0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.usefixtures("made_models")
def test_the_command_line_says_what_helps(kind: str, spatialist_db: Path, tmp_path: Path,
                                          monkeypatch: pytest.MonkeyPatch) -> None:
    sarz.compress(spatialist_db, tmp_path / "good.sarz")

    def refuse(*_: object) -> None:
        raise full_memory(kind)

    for network in (CpuNetwork, Network):
        monkeypatch.setattr(network, "synthesis", refuse)
    for command, output, advice in (("compress", "x.sarz", "--tile-size"), ("decompress", "x.tif", "--batch-size")):
        source = spatialist_db if command == "compress" else tmp_path / "good.sarz"
        result = CliRunner().invoke(main_group, ["sarcodec", command, str(source), str(tmp_path / output)])
        assert result.exit_code == 1 and isinstance(result.exception, SystemExit)
        (line,) = result.stderr.splitlines()
        assert line.startswith(f"Error: {source}") and "out of memory" in line and advice in line
    with sarz.open(tmp_path / "good.sarz") as src, pytest.raises(sarz.SarzMemoryError, match="smaller window"):
        src.read(1)
    assert [path.name for path in tmp_path.iterdir()] == ["good.sarz"]
