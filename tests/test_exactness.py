"""The quick part of tests/exactness.py: this machine as it is against one without 8-bit instructions; and that its
comparison finds what differs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from exactness import (
    Combination,
    Result,
    differences,
    full_combinations,
    problems,
    quick_cases,
    quick_combinations,
    run_all,
    table,
)

A, B = Combination("AVX2"), Combination("AVX512_CORE", threads=1)


def result(combination: Combination = A, file: str = "f", pixels: str = "p", batch: str = "1") -> Result:
    return Result(combination, {"pair": {batch: file}}, {"pair-f": {batch: pixels}}, ["int8"])


def test_files_and_pixels_do_not_depend_on_instructions_threads_or_batch(tmp_path: Path) -> None:
    results = run_all(quick_combinations(), quick_cases(), tmp_path)
    assert problems(results) == []
    assert len(list(tmp_path.glob("*.sarz"))) == len(quick_cases())
    assert all(set(r.files) == {"pair", "single"} and len(r.pixels) == 2 for r in results)
    assert all(len(r.used) == 1 for r in results)
    if results[0].used == ["int8"]:
        assert results[1].used != ["int8"]  # AVX2 alone saturates: else nothing was limited, and nothing compared.


@pytest.mark.parametrize(("other", "found"), [
    (result(B, file="g"), "files of pair differ: f by 1"), (result(B, pixels="q"), "pixels of pair-f differ: p by 1"),
    (result(A, pixels="q", batch="7"), "batch 7"),
])
def test_what_differs_is_named(other: Result, found: str) -> None:
    assert differences([result(), result(B)]) == []
    [line] = differences([result(), other])
    assert found in line


def test_what_failed_or_compared_nothing_is_a_problem() -> None:
    assert problems([result(), result(B)]) == []
    assert "nothing to compare" in problems([result()])[-1]
    assert "nothing to compare" in problems([result(), Result(B, refused=True)])[-1]
    wrong = replace(result(B), problems=["read: 3 windows are not parts of the whole"])
    assert problems([result(), wrong]) == ["cpu, AVX512_CORE, auto, 1 threads: read: 3 windows are not parts of the whole"]


def test_the_table_shows_what_was_really_used() -> None:
    lines = table([result(), Result(B, refused=True)]).splitlines()
    assert "| AVX2 | auto | int8 | 2 |" in lines[2]
    assert "| refused: not exact here |" in lines[3]


def test_no_combination_is_listed_twice() -> None:
    combinations = full_combinations()
    assert len(set(combinations)) == len(combinations)
