"""Preprocessed cases: made once, made anew when something changed, never half there."""

from __future__ import annotations

import numpy as np
import pytest
from dataset_factories import GRID, SCHEME, case_files, write_label
from factories import full_disk, geometry, run_config

import medseg.data.cache as module
from medseg.core.errors import DataError, OutputError
from medseg.core.labels import LabelScheme
from medseg.data.cache import PreparedCases

CONFIG = run_config(channels=[{"name": "CT"}])


@pytest.fixture
def loaded(monkeypatch) -> list[str]:
    """Which cases are read from their files."""
    ids, load = [], module.load_case
    monkeypatch.setattr(module, "load_case", lambda files, *rest: ids.append(files.id) or load(files, *rest))
    return ids


@pytest.fixture
def cases(tmp_path):
    return [case_files(tmp_path, case) for case in ("a", "b")]


def prepare(tmp_path, cases, config=CONFIG, scheme=SCHEME):
    return PreparedCases(tmp_path / "prepared", config, scheme).prepare(cases)


def test_a_case_is_as_the_network_sees_it(tmp_path, cases):
    one, _ = prepare(tmp_path, cases)
    assert one.id == "a"
    assert one.image.shape == (1, *GRID.shape)
    assert one.image.mean() == pytest.approx(0, abs=1e-5)
    assert set(np.unique(one.target)) == {0, 1, 2}
    assert (one.target[tuple(one.foreground[1].T)] == 2).all()
    assert one.source.is_close(GRID)


def test_a_case_is_read_once(tmp_path, cases, loaded):
    first, second = prepare(tmp_path, cases), prepare(tmp_path, cases)
    assert loaded == ["a", "b"]
    assert all(np.array_equal(one.image, other.image) for one, other in zip(first, second, strict=True))


def test_a_changed_file_is_read_again(tmp_path, cases, loaded):
    prepare(tmp_path, cases)
    write_label(cases[1].label, values=(0, 1), seed=3)
    _, changed = prepare(tmp_path, cases)
    assert loaded == ["a", "b", "b"]
    assert set(np.unique(changed.target)) == {0, 1}


@pytest.mark.parametrize(
    ("change", "scheme"),
    [
        ({"preprocessing": {"spacing": (2.0, 2.0, 2.0)}}, SCHEME),
        ({"channels": [{"name": "CT", "intensity": "unit"}]}, SCHEME),
        ({"labels": {"structures": [{"name": n, "value": v} for n, v in (("two", 2), ("one", 1))]}},
         LabelScheme.from_names({"two": 2, "one": 1})),
    ],
)  # fmt: skip
def test_other_settings_are_another_case(tmp_path, cases, loaded, change, scheme):
    prepare(tmp_path, cases)
    prepare(tmp_path, cases, CONFIG.model_validate(CONFIG.model_dump() | change), scheme)
    assert loaded == ["a", "b"] * 2


def test_another_order_is_not_mistaken(tmp_path, cases, loaded):
    prepare(tmp_path, cases)
    assert [one.id for one in prepare(tmp_path, cases[::-1])] == ["b", "a"]
    assert loaded == ["a", "b", "b", "a"]


def test_a_case_that_does_not_fit_is_named(tmp_path, cases):
    write_label(cases[1].label, grid=geometry((3, 3, 3)))
    with pytest.raises(DataError, match="case b: image and label lie on different grids"):
        prepare(tmp_path, cases)


def test_no_folder_says_whose_case_it_is(tmp_path):
    prepare(tmp_path, [case_files(tmp_path, "DOE-JOHN")])
    inside = [path for path in (tmp_path / "prepared").rglob("*") if path.is_file()]
    assert not any("DOE" in str(path.relative_to(tmp_path)) for path in inside)
    assert not any(b"DOE" in path.read_bytes() for path in inside)


def test_a_full_disk_leaves_no_half_case(tmp_path):
    large = case_files(tmp_path, "a", geometry((40, 40, 40)))
    with pytest.raises(OutputError, match="the disk may be full; nothing half-written"), full_disk(20_000):
        prepare(tmp_path, [large])
    assert list((tmp_path / "prepared").iterdir()) == []
