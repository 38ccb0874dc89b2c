"""Work through the jobs of a command: one that fails is reported and the others go on."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import click

from sarz_format.urls import public_name
from sarz_format.version import __version__

from .console import Console, Progress, jsonable
from .failures import FAILED, FAILURES, failure_text
from .jobs import Job


class Report(Protocol):
    """What the library hands back for one file."""

    def to_json(self) -> dict[str, Any]: ...


Work = Callable[[Job, Progress | None], Report]
"""Do one job; raises what :data:`FAILURES` names."""


@dataclass(slots=True)
class Outcome:
    """What came of a run so far."""

    command: str
    reports: list[dict[str, Any]] = field(default_factory=list)
    failures: list[dict[str, str]] = field(default_factory=list)
    seconds: float = 0.0
    interrupted: bool = False

    def totals(self) -> dict[str, Any]:
        """Sums over the files that succeeded; `samples` counts pixels times bands, `seconds` is wall-clock time."""
        samples = sum(report["width"] * report["height"] * report["count"] for report in self.reports)
        return {
            "succeeded": len(self.reports),
            "failed": len(self.failures),
            "input_bytes": sum(report["input_bytes"] for report in self.reports),
            "output_bytes": sum(report["output_bytes"] for report in self.reports),
            "samples": samples,
            "seconds": self.seconds,
            "samples_per_second": samples / self.seconds if self.seconds else None,
        }

    def to_json(self) -> dict[str, Any]:
        """The document that ``--summary`` writes."""
        return {
            "command": self.command,
            "version": __version__,
            "interrupted": self.interrupted,
            "totals": self.totals(),
            "files": self.reports,
            "failures": self.failures,
        }


def run_jobs(
    command: str,
    jobs: Sequence[Job],
    work: Work,
    text: Callable[[dict[str, Any]], str],
    console: Console,
    *,
    summary: str | None = None,
    overwrite: bool = False,
) -> None:
    """Do every job, report each, write the summary; exit with status 1 where a job failed.

    Parameters
    ----------
    command : str
        Name for the summary.
    text : callable
        Makes the human form of a report.
    summary : str, optional
        File for the summary; it is written after Ctrl-C too.
    overwrite : bool
        Whether the summary may replace a file.
    """
    outcome = Outcome(command)
    start = time.perf_counter()
    try:
        for number, job in enumerate(jobs, 1):
            shown = public_name(job.input)
            label = shown if len(jobs) == 1 else f"[{number}/{len(jobs)}] {shown}"
            _do(job, work, text, console, outcome, label)
    except KeyboardInterrupt:
        outcome.interrupted = True
        raise
    finally:
        outcome.seconds = time.perf_counter() - start
        if summary is not None:
            write_summary(summary, outcome, overwrite)
    if len(jobs) > 1:
        console.note(_total_text(outcome))
    if outcome.failures:
        raise click.exceptions.Exit(FAILED)


def _do(
    job: Job, work: Work, text: Callable[[dict[str, Any]], str], console: Console, outcome: Outcome, label: str
) -> None:
    try:
        with console.warnings_of(job.input), console.progress(label) as progress:
            report = work(job, progress).to_json()
    except FAILURES as error:
        failure = {"input": public_name(job.input), "output": job.output, "error": failure_text(error),
                   "kind": type(error).__name__}
        outcome.failures.append(failure)
        console.error(error, job.input)
        if console.as_json:
            console.report(failure, "")
        return
    outcome.reports.append(report)
    console.report(report, text(report))


def write_summary(path: str, outcome: Outcome, overwrite: bool) -> None:
    """Write the summary whole or not at all."""
    from sarz_format.output import atomic_output

    with atomic_output(path, overwrite) as temporary, open(temporary, "w", encoding="utf-8") as file:
        json.dump(jsonable(outcome.to_json()), file, indent=2, allow_nan=False)
        file.write("\n")


def _total_text(outcome: Outcome) -> str:
    totals = outcome.totals()
    line = f"{totals['succeeded']} of {totals['succeeded'] + totals['failed']} files in {totals['seconds']:.1f} s"
    if totals["succeeded"]:
        rate = totals["samples_per_second"] / 1e6
        line += f": {totals['input_bytes']:,} -> {totals['output_bytes']:,} bytes, {rate:.2f} million samples/s"
    return line
