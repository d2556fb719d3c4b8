"""Preprocessed cases: made once, made anew when something changed, never half there."""

from __future__ import annotations

import pickle
import resource
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace

import numpy as np
import pydicom
import pytest
from dataset_factories import GRID, SCHEME, case_files, write_label
from factories import full_disk, geometry, run_config
from network_objects import small_series

import medseg.data.cache as module
from medseg.core.case import CaseId
from medseg.core.errors import DataError, OutputError
from medseg.core.labels import IGNORE_INDEX, LabelScheme, Region
from medseg.core.volume import LabelMap
from medseg.data.cache import PreparedCases, labelled_voxels
from medseg.data.dataset import CaseFiles, ImageFile
from medseg.data.open_files import allow_open_files
from medseg.io.formats import write_label_map

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


def test_a_changed_file_of_a_series_too(tmp_path, loaded):
    first, *_ = small_series(tmp_path / "dicom")
    case = CaseFiles(CaseId("a"), {"CT": ImageFile(tmp_path / "dicom")}, label=None, patient="a")
    prepared = PreparedCases(tmp_path / "prepared", CONFIG, SCHEME, labelled=False)
    (before,) = prepared.prepare([case])
    before = np.array(before.image)
    slice_ = pydicom.dcmread(first)
    slice_.PixelData = bytes(len(slice_.PixelData))
    slice_.save_as(first)
    for _ in range(2):
        (after,) = prepared.prepare([case])
    assert loaded == ["a", "a"]
    assert not np.array_equal(after.image, before)


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
    assert [path.name for path in (tmp_path / "prepared").iterdir()] == [".lock"]


@pytest.mark.parametrize("name", ["image.npy", "target.npy", "foreground_sizes.npy", "network.npz"])
@pytest.mark.parametrize("left", [0, 100, None])
def test_what_a_machine_that_went_down_left_damaged_is_made_anew(tmp_path, cases, loaded, name, left):
    whole = [np.array(case.image) for case in prepare(tmp_path, cases)]
    for file in (tmp_path / "prepared").rglob(name):
        content = file.read_bytes()
        file.unlink()
        if left is not None:
            file.write_bytes(content[:left])
    again = prepare(tmp_path, cases)
    assert all(np.array_equal(one.image, other) for one, other in zip(again, whole, strict=True))
    assert loaded == ["a", "b", "a", "b"]
    prepare(tmp_path, cases)
    assert len(loaded) == 4


def test_files_that_are_open_already_are_counted(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    (tmp_path / "file").touch()
    with ExitStack() as stack:
        for _ in range(300):
            stack.enter_context((tmp_path / "file").open())
        resource.setrlimit(resource.RLIMIT_NOFILE, (1000, hard))
        try:
            allow_open_files(200)
            allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert allowed >= 300 + 200 + 512


def test_folds_that_hold_the_same_cases_share_them(tmp_path, cases, loaded):
    together = prepare(tmp_path, cases)
    again = prepare(tmp_path, cases[::-1])
    assert loaded == ["a", "b"]
    assert [one.id for one in again] == ["b", "a"]
    assert np.array_equal(again[1].image, together[0].image)


def test_two_that_prepare_at_once_make_each_case_once(tmp_path, loaded):
    many = [case_files(tmp_path, f"c{number}", geometry((24, 24, 24))) for number in range(8)]
    with ThreadPoolExecutor(4) as pool:  # each locks for itself, as processes do
        opened = list(pool.map(lambda _: prepare(tmp_path, many), range(4)))
    assert sorted(loaded) == [one.id for one in many]
    assert all([case.id for case in one] == [case.id for case in many] for one in opened)


def test_a_process_that_is_killed_leaves_no_half_case(tmp_path, cases, loaded):
    prepare(tmp_path, cases)
    half = tmp_path / "prepared" / ".partial-1234-abcd"
    half.mkdir()
    (half / "image.npy").write_bytes(b"half")
    (tmp_path / "prepared" / "00000").mkdir()  # as an older version named them
    prepare(tmp_path, cases)
    assert loaded == ["a", "b"]
    assert len([path for path in (tmp_path / "prepared").iterdir() if path.name != ".lock"]) == 2


def test_a_case_that_left_the_data_set_leaves_the_disk(tmp_path, cases):
    prepare(tmp_path, cases)
    prepare(tmp_path, cases[:1])
    assert len(list((tmp_path / "prepared").glob("*/stamp.txt"))) == 1


def test_voxels_of_structures_stay_on_the_disk(tmp_path, cases):
    label = write_label(tmp_path / "only two.nii", values=(0, 2))
    (case,) = prepare(tmp_path, [replace(cases[0], label=label)])
    assert [len(voxels) > 0 for voxels in case.foreground] == [False, True]
    assert isinstance(case.foreground[1], np.memmap)


def test_which_voxels_are_labelled_is_kept(tmp_path):
    array = np.full(GRID.shape, 9, np.uint8)
    array[2] = 1
    cases = [case_files(tmp_path, "a"), case_files(tmp_path, "b")]
    write_label_map(cases[1].label, LabelMap(array, GRID))
    partly = LabelScheme.from_names({"one": 1, "two": 2}, ignore=9)
    whole, sparse = prepare(tmp_path, cases, scheme=partly)
    assert whole.labelled is None
    assert set(sparse.labelled[:, 0]) == {2}
    assert len(sparse.labelled) == array[2].size


@pytest.mark.parametrize("overlapping", [False, True])
def test_a_part_of_a_case_is_like_a_smaller_image(tmp_path, cases, overlapping):
    scheme = (
        replace(SCHEME, regions=(Region("both", ("one", "two")), Region("two", ("two",)))) if overlapping else SCHEME
    )
    whole, _ = prepare(tmp_path, cases, scheme=scheme)
    box = (slice(1, 3), slice(0, 4), slice(2, 6))
    part = whole.cropped(box)
    assert np.array_equal(part.image, whole.image[(slice(None), *box)])
    assert np.array_equal(part.target, whole.target[(..., *box)])
    assert part.network.is_close(whole.network.cropped(box))
    assert part.source is whole.source
    for target, voxels in enumerate(part.foreground):
        mask = part.target[target] == 1 if overlapping else part.target == target + 1
        assert np.array_equal(np.argwhere(mask), voxels)
    again = pickle.loads(pickle.dumps(part))  # noqa: S301 - our own
    assert isinstance(again.image, np.memmap)
    assert again.box == box
    assert np.array_equal(again.target, part.target)
    assert all(np.array_equal(*pair) for pair in zip(again.foreground, part.foreground, strict=True))


def test_channels_that_change_their_files_are_read_again(tmp_path):
    rng = np.random.default_rng(0)
    one, other = (case_files(tmp_path, name, array=rng.normal(size=GRID.shape).astype(np.float32)) for name in "ab")
    files = replace(one, images={"T1": one.images["CT"], "T2": other.images["CT"]})
    config = run_config(channels=[{"name": "T1"}, {"name": "T2"}])
    (before,) = prepare(tmp_path, [files], config)
    swapped = dict(zip(("T1", "T2"), reversed(files.images.values()), strict=True))
    (after,) = prepare(tmp_path, [replace(files, images=swapped)], config)
    assert np.array_equal(after.image, before.image[::-1])


@pytest.mark.parametrize("slices", [6, 10, 16])
def test_voxels_of_all_labelled_slices_are_kept(slices):
    """Equal steps through the voxels of a row of 512, or 400, times so many slices would fall on few of them."""
    target = np.full((400, 100, 40), IGNORE_INDEX, np.uint8)
    target[..., 4 : 4 + slices] = 0
    voxels = labelled_voxels(target)
    assert 9_000 < len(np.unique(voxels, axis=0)) <= len(voxels) == 10_000
    counts = np.bincount(voxels[:, 2], minlength=40)[4 : 4 + slices]
    assert counts.sum() == 10_000
    assert counts.min() > 0.8 * counts.mean()


def test_a_part_of_a_case_keeps_what_is_labelled_in_it(tmp_path):
    array = np.full(GRID.shape, 9, np.uint8)
    array[2] = 1
    files = case_files(tmp_path, "a")
    write_label_map(files.label, LabelMap(array, GRID))
    (whole,) = prepare(tmp_path, [files], scheme=LabelScheme.from_names({"one": 1, "two": 2}, ignore=9))
    part = whole.cropped((slice(1, 4), slice(0, 3), slice(0, 3)))
    assert np.array_equal(part.labelled, np.argwhere(part.target != 255))
    assert part.labelled[:, 0].tolist() == [1] * 9


def test_a_channel_that_a_case_lacks_is_zero(tmp_path, cases):
    config = run_config(channels=[{"name": "CT"}, {"name": "PET", "optional": True}])
    one, _ = prepare(tmp_path, cases, config)
    assert one.image.shape == (2, *GRID.shape)
    assert one.image[0].any()
    assert not one.image[1].any()
