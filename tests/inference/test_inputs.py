import json

import numpy as np
import pytest
from dicom_factories import MARKER, Grid, write_file, write_series
from factories import geometry, volume

from medseg.core.errors import InputError
from medseg.core.geometry import Geometry
from medseg.data.joining import Joining
from medseg.inference.bundle import TrainingFacts
from medseg.inference.inputs import Finder
from medseg.io.formats import write_volume

SMALL = Grid(columns=20, rows=20, slices=8, spacing=(1.0, 1.0, 2.0))
LARGE = Grid(columns=20, rows=20, slices=8, spacing=(10.0, 10.0, 20.0))


def finder(tmp_path, *channels, **options):
    facts = TrainingFacts.from_grids(channels or ("CT",), [Geometry.from_spacing((20, 20, 16))])
    return Finder(facts, key=tmp_path / "keys" / "project.key", **options)


@pytest.fixture
def study(tmp_path):
    """A study folder with one series that fits, three that do not, and other files."""
    folder = tmp_path / "study"
    write_series(folder / "a", SMALL, Modality="CT")
    write_series(folder / "b", LARGE)
    write_series(folder / "c", SMALL, modality="MR")
    write_series(folder / "d", Grid(slices=6), Modality="CT")
    min((folder / "d").iterdir()).unlink()
    (folder / "readme.txt").write_text("no image")
    return folder


def test_image_file_keeps_its_name(tmp_path):
    image = volume()
    write_volume(tmp_path / "brain.01.nii.gz", image)
    (one,) = finder(tmp_path).find([tmp_path / "brain.01.nii.gz"])
    assert (one.name, one.shown) == ("brain.01", "brain.01.nii.gz")
    assert one.is_named
    assert np.array_equal(one.load().array, image.array)
    assert not (tmp_path / "keys").exists()


def test_folder_gives_its_images_in_order_without_other_files(tmp_path):
    folder = tmp_path / "images"
    for name in ("b.nii.gz", "a.nrrd", "c.mha"):
        write_volume(folder / name, volume())
    (folder / "notes.txt").write_text("no image")
    (folder / "._a.nii.gz").write_bytes(b"AppleDouble")
    (folder / "below").mkdir()
    found = finder(tmp_path).find([folder])
    assert [one.name for one in found] == ["a", "b", "c"]
    assert not any(one.is_named for one in found)


def test_damaged_image_in_a_folder_is_not_overlooked(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.nii.gz").write_bytes(b"damaged")
    assert [one.name for one in finder(tmp_path).find([tmp_path / "images"])] == ["a"]


def test_study_says_why_series_are_left_out(study, tmp_path):
    found = finder(tmp_path).find([study])
    reasons = [one.unfit or "fits" for one in found]
    assert sum(reason == "fits" for reason in reasons) == 1
    assert any("its modality is MR, the model was trained on CT" in reason for reason in reasons)
    assert any("it measures 200 x 200 x 160 mm" in reason for reason in reasons)
    assert all(one.name.startswith("series-") and one.name == one.shown for one in found)
    (fitting,) = (one for one in found if one.unfit is None)
    assert fitting.load().geometry.shape == (20, 20, 8)
    assert MARKER not in repr(found) + " ".join(reasons)


def test_all_series_takes_all_that_can_be_read(study, tmp_path):
    found = finder(tmp_path, all_series=True).find([study])
    assert sum(one.unfit is None for one in found) == len(found) - sum("slice" in (one.unfit or "") for one in found)
    assert sum(one.unfit is None for one in found) >= 3


def test_series_named_by_itself_is_taken_whatever_its_size(study, tmp_path):
    (one,) = finder(tmp_path).find([study / "b"])
    assert one.is_named
    assert one.unfit is None


def test_series_of_another_modality_is_left_out_even_if_named(study, tmp_path):
    (one,) = finder(tmp_path).find([study / "c"])
    assert one.is_named
    assert "its modality is MR" in one.unfit


def test_pseudonym_is_the_same_for_the_same_key(study, tmp_path):
    one, other = (finder(tmp_path).find([study])[0].name for _ in range(2))
    assert one == other
    other_key = Finder(finder(tmp_path).facts, key=tmp_path / "other.key").find([study])[0].name
    assert one != other_key


def test_one_dicom_series_is_too_little_for_several_channels(study, tmp_path):
    (one,) = finder(tmp_path, "T1", "T2").find([study / "c"])
    assert one.unfit == "it has one channel, the model wants T1, T2; join them by --channel or a manifest"


def test_manifest_gives_its_cases(tmp_path):
    write_volume(tmp_path / "x.nii.gz", volume())
    write_volume(tmp_path / "y.nii.gz", volume(seed=1))
    cases = [{"id": "case-7", "patient": "p", "images": {"T2": "y.nii.gz", "T1": "x.nii.gz"}}]
    (tmp_path / "cases.json").write_text(json.dumps({"cases": cases}))
    (one,) = finder(tmp_path, "T1", "T2").find([tmp_path / "cases.json"])
    assert (one.name, one.shown) == ("case-7", "case-7")
    assert one.load().channels == ("T1", "T2")
    assert np.array_equal(one.load().array, np.concatenate([volume().array, volume(seed=1).array]))


def test_channels_are_joined_in_the_order_of_the_model(tmp_path):
    for name, seed in (("x.nii.gz", 0), ("y.nii.gz", 1)):
        write_volume(tmp_path / name, volume(seed=seed))
    one = finder(tmp_path, "T1", "T2").join({"T2": tmp_path / "y.nii.gz", "T1": tmp_path / "x.nii.gz"})
    assert one.name == "x"
    assert np.array_equal(one.load().array, np.concatenate([volume().array, volume(seed=1).array]))


def test_channels_from_dicom_are_named_by_pseudonym(study, tmp_path):
    one = finder(tmp_path, "T1", "T2").join({"T1": study / "c", "T2": study / "c"})
    assert one.name == one.shown == finder(tmp_path).find([study / "c"])[0].name
    assert one.load().channels == ("T1", "T2")


def test_the_pseudonym_is_that_of_the_series_that_is_read(tmp_path):
    from dicom_factories import series_datasets, voxels, write_files

    study = {"StudyInstanceUID": "1.2.3"}
    broken = series_datasets(SMALL, voxels(SMALL), **study)
    write_files(tmp_path / "study" / "a", broken[:3] + broken[4:])
    write_series(tmp_path / "study" / "b", SMALL, **study)
    one = finder(tmp_path, "T1", "T2").join({"T1": tmp_path / "study", "T2": tmp_path / "study"})
    assert one.name == finder(tmp_path).find([tmp_path / "study" / "b"])[0].name
    assert one.load().geometry.shape == (20, 20, 8)


def test_channels_of_other_names_are_refused(tmp_path):
    with pytest.raises(InputError, match="channels T1, T3 were given, the model wants T1, T2"):
        finder(tmp_path, "T1", "T2").join({"T1": tmp_path, "T3": tmp_path})


def test_a_channel_that_is_optional_may_be_missing(tmp_path):
    write_volume(tmp_path / "x.nii.gz", volume())
    (tmp_path / "cases.csv").write_text("case,image.T1\na,x.nii.gz\n")
    spared = finder(tmp_path, "T1", "T2", joining=Joining(frozenset({"T2"})))
    assert spared.join({"T1": tmp_path / "x.nii.gz"}).load().channels == ("T1",)
    (one,) = spared.find([tmp_path / "cases.csv"])
    assert one.load().channels == ("T1",)
    with pytest.raises(InputError, match="channels T2 were given, the model wants T1, T2 and can do without T2"):
        spared.join({"T2": tmp_path / "x.nii.gz"})
    with pytest.raises(InputError, match="channels T1 were given, the model wants T1, T2$"):
        finder(tmp_path, "T1", "T2").join({"T1": tmp_path / "x.nii.gz"})


def test_channels_on_several_grids_are_laid_onto_the_reference_which_names_the_output(tmp_path):
    write_volume(tmp_path / "x.nii.gz", volume(geometry((9, 8, 9))))
    write_volume(tmp_path / "y.nii.gz", volume(seed=1))
    files = {"T1": tmp_path / "x.nii.gz", "T2": tmp_path / "y.nii.gz"}
    one = finder(tmp_path, "T1", "T2", joining=Joining(reference="T2")).join(files)
    assert one.name == "y"
    assert one.load().geometry.is_close(geometry())
    assert one.load().channels == ("T1", "T2")


def test_missing_path_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"'.*nowhere' does not exist"):
        finder(tmp_path).find([tmp_path / "nowhere"])
    with pytest.raises(InputError, match=r"'.*nowhere' does not exist"):
        finder(tmp_path, "T1").join({"T1": tmp_path / "nowhere"})


def test_empty_folder_is_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"empty' holds no image: no DICOM series at any depth"):
        finder(tmp_path).find([tmp_path / "empty"])


def test_gap_is_filled_where_asked(tmp_path):
    from dicom_factories import series_datasets, voxels, write_files

    datasets = series_datasets(SMALL, voxels(SMALL))
    write_files(tmp_path / "gap", datasets[:3] + datasets[4:])
    write_series(tmp_path / "gap" / "whole", SMALL)
    assert sum(one.unfit is None for one in finder(tmp_path).find([tmp_path / "gap"])) == 1
    filled = finder(tmp_path, fill_gaps=True).find([tmp_path / "gap"])
    assert [one.load().geometry.shape for one in filled] == [(20, 20, 8)] * 2


def test_single_dicom_file_is_found_by_content(tmp_path):
    from dicom_factories import enhanced_dataset, voxels

    dataset = enhanced_dataset(SMALL, voxels(SMALL), range(SMALL.slices))
    write_file(tmp_path / "enhanced", dataset)
    (one,) = finder(tmp_path, "image").find([tmp_path / "enhanced"])
    assert one.is_named
    assert one.load().geometry.shape == (20, 20, 8)
    assert one.name.startswith("series-")


def test_gap_in_a_single_file_is_filled_where_asked(tmp_path):
    from dicom_factories import enhanced_dataset, voxels

    write_file(tmp_path / "enhanced", enhanced_dataset(SMALL, voxels(SMALL), [0, 1, 2, 4, 5, 6, 7]))
    (one,) = finder(tmp_path, "image").find([tmp_path / "enhanced"])
    assert one.unfit
    (filled,) = finder(tmp_path, "image", fill_gaps=True).find([tmp_path / "enhanced"])
    assert filled.unfit is None
    assert filled.load().geometry.shape == (20, 20, 8)


def test_oblique_geometry_is_kept(tmp_path):
    grid = geometry(oblique_degrees=20)
    write_volume(tmp_path / "a.nii.gz", volume(grid))
    assert finder(tmp_path).find([tmp_path / "a.nii.gz"])[0].load().geometry.is_close(grid)
