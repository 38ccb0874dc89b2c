"""The examples of docs/cli.md run, word for word and in order; and the page names every option."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rio_sarcodec.cli import sarcodec

REPOSITORY = Path(__file__).resolve().parent.parent
PAGE = (REPOSITORY / "docs" / "cli.md").read_text(encoding="utf-8")


@pytest.mark.skipif(shutil.which("bash") is None, reason="the examples are for bash")
def test_examples_run(tmp_path):
    (tmp_path / "tests").symlink_to(REPOSITORY / "tests")
    script = "\n".join(re.findall(r"^```bash\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL))
    assert "rio sarcodec compress" in script
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=tmp_path,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "is a valid cloud optimized GeoTIFF" in done.stdout


@pytest.mark.parametrize("name", sorted(sarcodec.commands))
def test_page_names_every_option(name):
    sections = "".join(
        PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0] for title in (name, "Common to all commands")
    )
    options = [text for parameter in sarcodec.commands[name].params for text in parameter.opts if text[:2] == "--"]
    # rasterio's --co has a second, older name, --profile.
    assert [option for option in options if f"`{option}" not in sections and option != "--profile"] == []
