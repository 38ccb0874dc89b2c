"""Outputs appear whole or not at all, and nothing temporary stays behind."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from sarz_format.errors import OutputExistsError, SarzFileNotFoundError, SarzIOError
from sarz_format.output import TemporaryOutput, atomic_output


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_success_renames(tmp_path: Path) -> None:
    target = tmp_path / "out.tif"
    with atomic_output(target) as temporary:
        temporary.write_bytes(b"whole")
        assert temporary.parent == tmp_path
        assert not target.exists()
    assert target.read_bytes() == b"whole"
    assert names(tmp_path) == ["out.tif"]
    plain = tmp_path / "plain"
    plain.touch()
    assert stat.S_IMODE(target.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit, MemoryError])
def test_failure_removes(tmp_path: Path, error: type[BaseException]) -> None:
    (tmp_path / "out.tif").write_bytes(b"before")
    with pytest.raises(error), atomic_output(tmp_path / "out.tif", overwrite=True) as temporary:
        temporary.write_bytes(b"half")
        temporary.with_name(temporary.name + ".aux.xml").touch()
        raise error
    assert names(tmp_path) == ["out.tif"]
    assert (tmp_path / "out.tif").read_bytes() == b"before"


def test_sidecars_go_with_the_output_and_stale_ones_go_away(tmp_path: Path) -> None:
    for name in ("out.tif", "out.tif.ovr", "out.tif.msk", "out.tif.aux.xml", "out.tif.mine"):
        (tmp_path / name).write_text("old")
    with atomic_output(tmp_path / "out.tif", overwrite=True) as temporary:
        temporary.write_text("new")
        temporary.with_name(temporary.name + ".aux.xml").write_text("new")
    assert names(tmp_path) == ["out.tif", "out.tif.aux.xml", "out.tif.mine"]
    assert (tmp_path / "out.tif.aux.xml").read_text() == "new"


def test_existing_output(tmp_path: Path) -> None:
    target = tmp_path / "out.tif"
    target.write_bytes(b"before")
    with pytest.raises(OutputExistsError, match="--overwrite"), atomic_output(target):
        pytest.fail("must not start")
    assert names(tmp_path) == ["out.tif"]
    with pytest.raises(OutputExistsError, match="directory"):
        TemporaryOutput(tmp_path, overwrite=True)


def test_output_that_appears_meanwhile_is_kept(tmp_path: Path) -> None:
    with pytest.raises(OutputExistsError), atomic_output(tmp_path / "out.tif"):
        (tmp_path / "out.tif").write_bytes(b"someone else's")
    assert names(tmp_path) == ["out.tif"]
    assert (tmp_path / "out.tif").read_bytes() == b"someone else's"


def test_missing_directory(tmp_path: Path) -> None:
    with pytest.raises(SarzFileNotFoundError, match="make it first"):
        TemporaryOutput(tmp_path / "none" / "out.tif")


def test_symbolic_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "out.tif").touch()
    link = tmp_path / "link.tif"
    link.symlink_to(tmp_path / "real" / "out.tif")
    with atomic_output(link, overwrite=True) as temporary:
        temporary.write_bytes(b"new")
    assert link.is_symlink()
    assert link.read_bytes() == b"new"


def test_relative_path_and_long_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    name = "é" * 120 + ".tif"
    with atomic_output(name) as temporary:
        temporary.write_bytes(b"x")
    assert names(tmp_path) == [name]


def test_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(SarzIOError, match="No space left"), atomic_output(tmp_path / "out.tif") as temporary:
        temporary.write_bytes(b"x")
    assert names(tmp_path) == []


def test_replaced_temporary_file(tmp_path: Path) -> None:
    """GDAL's drivers delete what is there and make a new file."""
    with atomic_output(tmp_path / "out.tif") as temporary:
        temporary.unlink()
        temporary.write_bytes(b"again")
    assert (tmp_path / "out.tif").read_bytes() == b"again"


def test_removed_temporary_file(tmp_path: Path) -> None:
    with pytest.raises(SarzIOError, match="cannot write"), atomic_output(tmp_path / "out.tif") as temporary:
        temporary.unlink()
    assert names(tmp_path) == []
