"""Which bands are coded together."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sarz_format.groups import group_bands, model_groups
from sarz_format.weights import ModelInfo

NAMES = st.sampled_from([None, "", "VV", "VH", "HH", "HV", "Sigma0_VV", "vh", "angle", "incidenceAngle", "b1", "DEM"])


@pytest.mark.parametrize(("descriptions", "groups"), [
    ([None], [(0,)]),
    ([None, None], [(0, 1)]),
    ([None, None, None], [(0, 1), (2,)]),
    (["VV", "VH"], [(0, 1)]),
    (["VH", "VV"], [(1, 0)]),
    (["VH", "VV", "angle"], [(1, 0), (2,)]),
    (["angle", "VV", "VH"], [(0,), (1, 2)]),
    (["HV", "HH", "VV", "VH"], [(1, 0), (2, 3)]),
    (["VV", "HH"], [(0,), (1,)]),
    (["VV", None, "VH"], [(0, 2), (1,)]),
    (["Sigma0_VV_db", "Sigma0_VH_db"], [(0, 1)]),
    (["vv dB", "vh dB"], [(0, 1)]),
    (["VV 2020", "VV 2021", "VH 2020", "VH 2021"], [(0, 2), (1, 3)]),
    (["local incidence angle", "a"], [(0,), (1,)]),
    (["VV/VH", "VV", "VH"], [(0,), (1, 2)]),
    (["incidence angle", "a"], [(0,), (1,)]),
    (["VVVH", "CURVV"], [(0, 1)]),
])
def test_known_rasters(descriptions: list[str | None], groups: list[tuple[int, ...]]) -> None:
    assert group_bands(descriptions) == groups


@settings(deadline=None)
@given(st.lists(NAMES, min_size=1, max_size=9))
def test_every_band_is_in_one_group(descriptions: list[str | None]) -> None:
    groups = group_bands(descriptions)
    assert sorted(band for group in groups for band in group) == list(range(len(descriptions)))
    assert {len(group) for group in groups} <= {1, 2}
    assert groups == sorted(groups, key=min)
    angles = [i for i, name in enumerate(descriptions) if name and name.lower().startswith(("angle", "inc"))]
    assert all((i,) in groups for i in angles)


def test_groups_get_the_model_of_their_size() -> None:
    models = {n: ModelInfo(f"made-{n}", n, f"{n}" * 64, Path()) for n in (1, 2)}
    pair, single = model_groups(["VH", "VV", "angle"], models)
    assert (pair.bands, pair.model, pair.weights_sha256) == ((1, 0), "made-2", "2" * 64)
    assert (single.bands, single.model, single.weights_sha256) == ((2,), "made-1", "1" * 64)
