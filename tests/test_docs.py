"""The documentation holds: Python snippets run, the README's main job runs, links and paths lead somewhere.

docs/cli.md has its own test, test_docs_cli.py.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent

PAGES = sorted(
    page.relative_to(REPOSITORY).as_posix()
    for page in (
        REPOSITORY / "README.md",
        *(REPOSITORY / "docs").rglob("*.md"),
        *(REPOSITORY / "models").rglob("*.md"),
        *(REPOSITORY / "tests").rglob("*.md"),
    )
)

PAGES_WITH_PYTHON = ("README.md", "docs/quickstart.md", "docs/api.md", "docs/vsisarz.md", "docs/feeding.md", "docs/xarray.md")

PAGE_OF_PYTHON_AND_COMMANDS = "docs/everywhere.md"
"""Its snippets, of both languages, run in the order of the page."""

FOREIGN_PATHS = ("tests/data/README.md",)
"""Pages that name paths in other repositories."""


def page_text(page: str) -> str:
    return (REPOSITORY / page).read_text(encoding="utf-8")


def blocks(page: str, language: str) -> list[str]:
    """The fenced code blocks of a page in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", page_text(page), re.MULTILINE | re.DOTALL)


def without_code(text: str) -> str:
    return re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)


def command(ending: str) -> str:
    """The README's one-line command that makes a virtual environment and ends as given."""
    found = [line for line in page_text("README.md").splitlines() if "-m venv" in line and line.endswith(ending)]
    assert len(found) == 1
    return found[0]


def run_shell(script: str, folder: Path) -> str:
    """Run `script` in `folder` with this environment's programs; returns what it prints."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script], cwd=folder, env={**os.environ, "PATH": path},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A folder to write in that looks like the root of a checkout to a snippet; it is the current directory."""
    (tmp_path / "tests").symlink_to(REPOSITORY / "tests")
    monkeypatch.chdir(tmp_path)
    return tmp_path


# What runs


@pytest.mark.filterwarnings("ignore::sarz_format.errors.TileDamageWarning")
@pytest.mark.parametrize("page", PAGES_WITH_PYTHON)
def test_python_snippets_run(page, checkout):
    snippets = blocks(page, "python")
    assert snippets
    names: dict[str, object] = {"__name__": "__main__"}
    for number, snippet in enumerate(snippets, 1):
        exec(compile(snippet, f"{page}, Python snippet {number}", "exec"), names)


def test_every_page_with_python_is_tested():
    assert {page for page in PAGES if blocks(page, "python")} == {*PAGES_WITH_PYTHON, PAGE_OF_PYTHON_AND_COMMANDS}


def test_everywhere_snippets_run(checkout):
    pattern = re.compile(r"^```(python|bash)\n(.*?)^```", re.MULTILINE | re.DOTALL)
    snippets = pattern.findall(page_text(PAGE_OF_PYTHON_AND_COMMANDS))
    assert {language for language, _ in snippets} == {"python", "bash"}
    names: dict[str, object] = {"__name__": "__main__"}
    for number, (language, snippet) in enumerate(snippets, 1):
        if language == "bash":
            run_shell(snippet, checkout)
        else:
            exec(compile(snippet, f"{PAGE_OF_PYTHON_AND_COMMANDS}, snippet {number}", "exec"), names)


@pytest.mark.filterwarnings("ignore::RuntimeWarning:numpy")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_everywhere_rio_tiler_snippet_runs(checkout):
    pytest.importorskip("rio_tiler")
    (snippet,) = blocks(PAGE_OF_PYTHON_AND_COMMANDS, "python rio_tiler")
    exec(compile(snippet, f"{PAGE_OF_PYTHON_AND_COMMANDS}, rio-tiler", "exec"), {"__name__": "__main__"})


@pytest.mark.skipif(shutil.which("gdalinfo") is None, reason="GDAL's tools are not installed")
def test_everywhere_gdal_snippet_runs(checkout):
    (script,) = blocks(PAGE_OF_PYTHON_AND_COMMANDS, "bash gdalinfo")
    assert "STATISTICS_MEAN" in run_shell(script, checkout)


def test_quickstart_commands_run(checkout):
    script = "\n".join(blocks("docs/quickstart.md", "bash"))
    assert "rio sarcodec compress" in script
    assert "is a valid cloud optimized GeoTIFF" in run_shell(script, checkout)


def test_main_job_runs_and_may_be_repeated(checkout):
    _, _, job = command("out/harvey_cog.tif").partition("constraints.txt . && ")
    assert job.startswith("mkdir -p out && .venv/bin/rio sarcodec compress tests/data/harvey_grd.tif ")
    job = job.replace(".venv/bin/", "")
    assert "is a valid cloud optimized GeoTIFF" in run_shell(f"{job} && {job}", checkout)


# What the two commands install


@pytest.mark.parametrize("ending", ["out/harvey_cog.tif", "pytest -q"])
def test_commands_install_the_pinned_versions(ending):
    assert " install -q -c constraints.txt " in command(ending)
    assert "torch==2.13.0" in page_text("constraints.txt").splitlines()


def test_ci_runs_the_test_command():
    pattern = re.search(r"grep -E '(.*)' README\.md", page_text(".ci/run"))
    assert pattern
    found = [line for line in page_text("README.md").splitlines() if re.search(pattern[1], line)]
    assert found == [command("pytest -q")]


# Links and paths


def slug(heading: str) -> str:
    """The anchor that GitHub gives a heading."""
    text = re.sub(r"`|\[([^]]*)\]\([^)]*\)", r"\1", heading.strip())
    return re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")


def anchors(page: Path) -> set[str]:
    text = without_code(page.read_text(encoding="utf-8"))
    return {slug(heading) for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE)}


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", without_code(page_text(page))):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        path = (REPOSITORY / page).parent / name if name else REPOSITORY / page
        if not path.exists() or (anchor and anchor not in anchors(path)):
            broken.append(target)
    assert broken == []


@pytest.mark.parametrize("page", [page for page in PAGES if page not in FOREIGN_PATHS])
def test_paths_exist(page):
    named = re.findall(r"(?<![\w/.-])(?:tests|docs|models|\.ci)/[\w./-]*[\w/]", page_text(page))
    assert [path for path in named if not (REPOSITORY / path).exists()] == []


@pytest.mark.parametrize("page", PAGES)
def test_pages_are_in_the_index_or_the_readme(page):
    linked = {
        ((REPOSITORY / start).parent / target.partition("#")[0]).resolve()
        for start in ("README.md", "docs/index.md")
        for target in re.findall(r"\]\(([^)\s:]+)\)", page_text(start))
    }
    assert (REPOSITORY / page).resolve() in linked | {REPOSITORY / "docs" / "index.md"}
