"""Prove that files and pixels are the same everywhere: CPU instructions, arithmetics, threads, batches, windows, devices.

    python tests/exactness.py [--quick] [--jobs N] [--json OUT]

Every combination, in a process of its own, compresses the rasters below; then every combination decodes every different
file that came of that, so that each decodes what each other wrote. A line a combination tells the arithmetic that was
really used and the SHA-256 of all its files and of all their pixels. Exits with status 1 if any two differ, if a window is
not that part of the whole, or if a process fails.

It stands beside the tests, and not among the benchmarks, because it passes or fails; and not among what pytest collects,
because it takes minutes. tests/test_exactness.py runs its quick part.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import sarz_format

HERE = Path(__file__).resolve().parent
DATA = HERE / "data"

BATCHES = (1, 2, 7, 64)
LEVELS = ("AVX2", "AVX2_VNNI", "AVX512_CORE", "AVX512_CORE_VNNI", "AVX512_CORE_BF16", "AVX512_CORE_AMX")
"""Values of ONEDNN_MAX_CPU_ISA: what a CPU lacks stays unused whatever is allowed."""
ARITHMETICS = ("int8", "float32-direct", "float32")
OLDER_CPUS = {"Haswell": ("AVX2", "avx2", "AVX2", "haswell"), "Nehalem": ("SSE41", "default", "SSE4_2", "nehalem")}
"""All libraries limited, as if the CPU were that: oneDNN, torch's own loops, MKL, numba; numpy takes its baseline."""


@dataclass(frozen=True, slots=True)
class Case:
    """A raster, and how it is compressed."""

    name: str
    raster: str
    options: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Combination:
    """What may not matter. `level` is one of `LEVELS` or `OLDER_CPUS`; "auto" is the arithmetic that is chosen here."""

    level: str
    arithmetic: str = "auto"
    threads: int = 2
    device: str = "cpu"
    precision: str = "highest"
    batches: tuple[int, ...] = BATCHES

    def environment(self) -> dict[str, str]:
        """Variables that limit instructions and threads."""
        limits = {"OMP_NUM_THREADS": str(self.threads)}
        if self.level not in OLDER_CPUS:
            return limits | {"ONEDNN_MAX_CPU_ISA": self.level}
        onednn, aten, mkl, numba = OLDER_CPUS[self.level]
        return limits | {"ONEDNN_MAX_CPU_ISA": onednn, "ATEN_CPU_CAPABILITY": aten, "MKL_ENABLE_INSTRUCTIONS": mkl,
                         "NUMBA_CPU_NAME": numba, "NPY_DISABLE_CPU_FEATURES": " ".join(numpy_features())}


@dataclass(slots=True)
class Result:
    """What a combination wrote and read: SHA-256 by case or file, then by batch size."""

    combination: Combination
    files: dict[str, dict[str, str]] = field(default_factory=dict)
    pixels: dict[str, dict[str, str]] = field(default_factory=dict)
    used: list[str] = field(default_factory=list)
    refused: bool = False
    problems: list[str] = field(default_factory=list)


def numpy_features() -> list[str]:
    """The CPU features that numpy chooses by at run time and this CPU has."""
    from numpy._core import _multiarray_umath as umath

    return [name for name in umath.__cpu_dispatch__ if umath.__cpu_features__.get(name)]


def full_cases(folder: Path) -> list[Case]:
    """Committed rasters and one of every kind of tile: a pair and single bands, ragged borders, qualities and a target.

    "narrow" has a column of tiles 8 pixels wide, where the hyper-analysis gives one column of results.
    """
    from scenes import write_kinds_scene

    kinds = write_kinds_scene(folder / "kinds.tif")
    return [
        Case("pair", str(DATA / "harvey_vv_vh_db.tif"), {"tile_size": 64}),
        Case("pair-target", str(DATA / "harvey_grd.tif"), {"tile_size": 192, "rmse_db": 0.8}),
        Case("single", str(DATA / "spatialist_vv_db.tif"), {"tile_size": 128, "quality": 85}),
        Case("single-target", str(DATA / "spatialist_vv_db.tif"), {"tile_size": 64, "rmse_db": 1.2}),
        Case("narrow", str(DATA / "harvey_vv_vh_db.tif"), {"tile_size": 320}),
        Case("kinds", str(kinds), {"tile_size": 64, "quality": 30}),
    ]


def quick_cases() -> list[Case]:
    """Two small rasters, the first with a column of tiles 8 pixels wide."""
    return [Case("pair", str(DATA / "harvey_vv_vh_db.tif"), {"tile_size": 320}),
            Case("single", str(DATA / "spatialist_vv_db.tif"), {"tile_size": 128, "rmse_db": 1.2})]


def full_combinations() -> list[Combination]:
    """Instructions by arithmetics by threads, and what stands apart: older CPUs, reduced precision, a GPU."""
    chosen = [Combination(level) for level in LEVELS]
    chosen += [Combination(level, threads=n) for level in (LEVELS[0], LEVELS[-1]) for n in (1, 3, 4)]
    forced = [Combination(level, name, 1, batches=(1, 64)) for level in LEVELS for name in ARITHMETICS]
    apart = [Combination(level) for level in OLDER_CPUS]
    apart += [Combination(LEVELS[-1], name, precision=p, batches=(2,)) for name in ARITHMETICS for p in ("high", "medium")]
    return chosen + forced + apart + gpu_combinations()


def gpu_combinations() -> list[Combination]:
    """A GPU, where there is one: with TF32 (precision "high") it must compute the same numbers or be refused."""
    import torch

    if not torch.cuda.is_available():
        return []
    return [Combination(LEVELS[-1], "float32", device="cuda", precision=p) for p in ("highest", "high")]


def quick_combinations() -> list[Combination]:
    """This machine as it is, and as one without 8-bit instructions."""
    return [Combination(LEVELS[-1], batches=(7,)), Combination("AVX2", threads=1, batches=(2,))]


def run_process(do: str, combination: Combination, cases: Iterable[Case], store: Path) -> dict[str, Any]:
    """One process of tests/exactness_case.py; what it raises is its result's "failed"."""
    job = {"do": do, "store": str(store), "cases": [asdict(case) for case in cases], "device": combination.device,
           "arithmetic": combination.arithmetic, "precision": combination.precision, "batches": combination.batches}
    package = {"PYTHONPATH": str(Path(sarz_format.__file__).resolve().parent.parent)}  # The very package of this process.
    done = subprocess.run([sys.executable, HERE / "exactness_case.py"], input=json.dumps(job), text=True,
                          capture_output=True, check=False, env={**os.environ, **package, **combination.environment()})
    if done.returncode:
        return {"failed": (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]}
    return json.loads(done.stdout)


def run_all(combinations: Sequence[Combination], cases: Sequence[Case], store: Path, jobs: int = 1) -> list[Result]:
    """Let every combination write; then let every combination read all that was written."""
    results = [Result(combination) for combination in combinations]
    with ThreadPoolExecutor(jobs) as pool:
        for do in ("write", "read"):
            found = pool.map(lambda c, do=do: run_process(do, c, cases, store), combinations)
            for result, answer in zip(results, found):
                _add(result, do, answer)
    return results


def _add(result: Result, do: str, answer: dict[str, Any]) -> None:
    if "failed" in answer:
        result.problems.append(f"{do}: {answer['failed']}")
        return
    result.refused = answer.get("refused", False)
    result.used = sorted({*result.used, *answer["used"]})
    if answer["threads"] != result.combination.threads:
        result.problems.append(f"{do}: {answer['threads']} threads instead of {result.combination.threads}")
    if answer.get("wrong_windows"):
        result.problems.append(f"{do}: {answer['wrong_windows']} windows are not parts of the whole")
    if do == "write":
        result.files = answer["digests"]
    else:
        result.pixels = answer["digests"]


def differences(results: Iterable[Result]) -> list[str]:
    """A line for each case of which there are several files, and for each file of which there are several decodes."""
    lines = []
    for kind in ("files", "pixels"):
        seen: dict[str, dict[str, list[str]]] = {}
        for result in results:
            for name, by_batch in getattr(result, kind).items():
                for batch, digest in by_batch.items():
                    seen.setdefault(name, {}).setdefault(digest, []).append(f"{label(result.combination)}, batch {batch}")
        for name, by_digest in seen.items():
            if len(by_digest) > 1:
                lines.append(f"{kind} of {name} differ: " + "; ".join(
                    f"{digest[:16]} by {len(who)} ({who[0]}, ...)" for digest, who in by_digest.items()))
    return lines


def problems(results: Sequence[Result]) -> list[str]:
    """All that is wrong, a line each; a run that compared nothing is wrong too."""
    lines = [f"{label(result.combination)}: {problem}" for result in results for problem in result.problems]
    compared = [result for result in results if result.files and result.pixels]
    if len(compared) < 2:
        lines.append(f"{len(compared)} combinations wrote and read: there is nothing to compare")
    return lines + differences(results)


def label(combination: Combination) -> str:
    """A combination in a few words."""
    c = combination
    return f"{c.device}, {c.level}, {c.arithmetic}, {c.threads} threads" + (
        "" if c.precision == "highest" else f", precision {c.precision}")


def digest(digests: dict[str, dict[str, str]]) -> str:
    """One SHA-256 of a combination's, shortened: over cases by name; a name's hashes count once if they are equal."""
    parts = [f"{name} {value}" for name in sorted(digests) for value in sorted(set(digests[name].values()))]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16] if parts else "-"


def table(results: Iterable[Result]) -> str:
    """A line a combination, as Markdown."""
    lines = ["| device | CPU instructions | arithmetic | used | threads | batches | files | pixels |",
             "|---|---|---|---|---|---|---|---|"]
    for result in results:
        c = result.combination
        asked = c.arithmetic + ("" if c.precision == "highest" else f", precision {c.precision}")
        used = "refused: not exact here" if result.refused else ", ".join(result.used) or "failed"
        lines.append(f"| {c.device} | {c.level} | {asked} | {used} | {c.threads} | {' '.join(map(str, c.batches))} | "
                     f"{digest(result.files)} | {digest(result.pixels)} |")
    return "\n".join(lines)


def versions() -> str:
    """What computes here."""
    import numba
    import numpy as np
    import torch

    return (f"Python {platform.python_version()}, torch {torch.__version__}, numpy {np.__version__}, "
            f"numba {numba.__version__}, CPU capability {torch.backends.cpu.get_cpu_capability()}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two combinations and two small rasters")
    parser.add_argument("--jobs", type=int, default=2, help="processes at once (default: 2)")
    parser.add_argument("--json", type=Path, help="write everything to this file")
    args = parser.parse_args()
    print(versions(), flush=True)
    with tempfile.TemporaryDirectory() as name:
        store = Path(name)
        cases = quick_cases() if args.quick else full_cases(store)
        results = run_all(quick_combinations() if args.quick else full_combinations(), cases, store, args.jobs)
    print(table(results))
    for name, digests in sorted({**results[0].files, **results[0].pixels}.items()):
        print(f"{name}: {' '.join(sorted(set(digests.values())))}")
    wrong = problems(results)
    print("\n".join(wrong) or f"{len(results)} combinations: all files and all pixels are the same")
    if args.json:
        args.json.write_text(json.dumps({"versions": versions(), "problems": wrong,
                                         "results": [asdict(result) for result in results]}, indent=1))
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
