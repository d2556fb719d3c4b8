"""Any file of outlines: what kind it is, and its structures under the names of a scheme."""

from __future__ import annotations

import numpy as np
import pytest
from contour_objects import grid_of, square, structure_set, write_set
from dicom_factories import Grid, write_series
from factories import geometry, label_map, scheme
from picture_datasets import indexed, picture
from seg_factories import HEADER, found_labels, source_series, voxel_counts

from medseg.core.anatomy import known_structure
from medseg.core.errors import InputError, LabelError, ReadError, StudyError
from medseg.core.labels import LabelScheme
from medseg.core.segmentation import Segmentation
from medseg.core.volume import LabelMap, MultiLabelMap
from medseg.io.dicom_seg_write import write_segmentation
from medseg.io.formats import write_label_map, write_multi_label_map
from medseg.io.label_files import OutlineKind, has_own_grid, named_structures, outline_kind, read_outlines
from medseg.io.mesh import write_surfaces
from medseg.io.slicer_nrrd import write_slicer_nrrd

GRID = grid_of(Grid())
ORGANS = LabelScheme(scheme("kidney_left", "Liver", "nothing").structures, background=("cyst",))
NAMES = ("liver", "left kidney", "cyst")


def structures(path, k=2):
    """A structure set: a liver of 4x3 pixels, and in it a left kidney of 2x1."""
    rois = {"liver": [("CLOSED_PLANAR", square(k=k))], "left kidney": [("CLOSED_PLANAR", square((2, 2), (3, 2), k))]}
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_set(path, structure_set({**rois, "cyst": []}))


def blocks() -> Segmentation:
    """Three structures that do not overlap, on ``GRID``."""
    array = np.zeros(GRID.shape, np.uint8)
    array[1:4, 1:5, 1:4], array[5:8, 1:5, 1:4], array[1:4, 6, 1:4] = 1, 2, 3
    return Segmentation(LabelMap(array, GRID), scheme(*NAMES))


def segmentation_file(folder):
    source = source_series(folder, Grid())
    found = found_labels(source)
    write_segmentation(folder / "seg.dcm", found, source, HEADER)
    return folder / "seg.dcm", found


def test_kinds_are_told_apart(tmp_path):
    seg, _ = segmentation_file(tmp_path)
    write_label_map(tmp_path / "a.nrrd", label_map(GRID))
    write_slicer_nrrd(tmp_path / "a.seg.nrrd", blocks())
    (tmp_path / "damaged.dcm").write_bytes(seg.read_bytes()[:132] + b"\xff" * 400)
    kinds = {
        "seg.dcm": OutlineKind.SEGMENTATION,
        "a.nrrd": OutlineKind.VALUES,
        "a.seg.nrrd": OutlineKind.SLICER,
        "source": OutlineKind.VALUES,
        "damaged.dcm": OutlineKind.VALUES,
    }
    assert {name: outline_kind(tmp_path / name)[0] for name in kinds} == kinds
    assert outline_kind(structures(tmp_path / "sets" / "rt.dcm")) == (
        OutlineKind.STRUCTURE_SET,
        tmp_path / "sets" / "rt.dcm",
    )
    write_surfaces(tmp_path / "surfaces", blocks())
    write_surfaces(tmp_path / "a.obj", blocks())
    for name in ("surfaces", "a.obj"):
        assert outline_kind(tmp_path / name) == (OutlineKind.SURFACES, tmp_path / name)
    owns = {name: has_own_grid(tmp_path / name) for name in ("seg.dcm", "a.nrrd", "sets", "surfaces")}
    assert owns == {"seg.dcm": True, "a.nrrd": True, "sets": False, "surfaces": False}
    with pytest.raises(InputError, match=r"absent' does not exist"):
        outline_kind(tmp_path / "absent")


def test_a_folder_holds_one_object(tmp_path):
    write_series(tmp_path, Grid())
    file = structures(tmp_path / "rt.dcm")
    assert outline_kind(tmp_path) == (OutlineKind.STRUCTURE_SET, file)
    structures(tmp_path / "below" / "rt.dcm")
    with pytest.raises(StudyError, match="the folder holds 2 DICOM segmentations or structure sets; name the file"):
        read_outlines(tmp_path, GRID)


def test_contours_on_the_grid_of_the_image(tmp_path):
    path = structures(tmp_path / "rt.dcm")
    assert voxel_counts(read_outlines(path, GRID)) == {"liver": 12, "left kidney": 2, "cyst": 0}
    found = read_outlines(path, GRID, ORGANS)
    assert found.scheme is ORGANS
    assert voxel_counts(found) == {"kidney_left": 2, "Liver": 10, "nothing": 0}
    masks = read_outlines(path, GRID, LabelScheme(ORGANS.structures, overlapping=True, background=("*",)))
    assert voxel_counts(masks) == {"kidney_left": 2, "Liver": 12, "nothing": 0}
    with pytest.raises(InputError, match="a file of DICOM structure set has no voxels of its own; name the image"):
        read_outlines(path)


def test_only_what_the_scheme_has_is_drawn(tmp_path):
    far = {"liver": [("CLOSED_PLANAR", square())], "couch": [("CLOSED_PLANAR", square(k=1e6))]}
    path = write_set(tmp_path / "rt.dcm", structure_set(far))
    assert voxel_counts(read_outlines(path, GRID, LabelScheme(scheme("liver").structures, background=("*",)))) == {
        "liver": 12
    }
    none = LabelScheme(scheme("spleen").structures, background=("*",))
    assert voxel_counts(read_outlines(path, GRID, none)) == {"spleen": 0}
    with pytest.raises(LabelError, match=r"'couch' is no structure of the scheme \(liver\)"):
        read_outlines(path, GRID, scheme("liver"))


def test_a_dicom_segmentation(tmp_path):
    path, made = segmentation_file(tmp_path)
    counts = voxel_counts(made)
    assert voxel_counts(read_outlines(path)) == counts
    found = read_outlines(path, made.geometry, ORGANS)
    assert found.geometry.is_close(made.geometry)
    assert voxel_counts(found) == {"kidney_left": counts["left kidney"], "Liver": counts["liver"], "nothing": 0}


def test_a_slicer_segmentation_by_its_names(tmp_path):
    made = blocks()
    write_slicer_nrrd(tmp_path / "a.seg.nrrd", made)
    assert voxel_counts(read_outlines(tmp_path / "a.seg.nrrd")) == voxel_counts(made)
    found = read_outlines(tmp_path / "a.seg.nrrd", None, ORGANS)
    assert voxel_counts(found) == {"kidney_left": 36, "Liver": 36, "nothing": 0}


def test_a_slicer_segmentation_that_nobody_named_goes_by_values(tmp_path):
    write_slicer_nrrd(tmp_path / "a.seg.nrrd", Segmentation(blocks().labels, scheme("Segment_1", "x", "y")))
    found = read_outlines(tmp_path / "a.seg.nrrd", None, scheme("liver", "spleen", "cyst"))
    assert voxel_counts(found) == {"liver": 36, "spleen": 36, "cyst": 9}


@pytest.mark.parametrize("name", ["surfaces", "a.obj"])
def test_surfaces(tmp_path, name):
    write_surfaces(tmp_path / name, blocks(), smooth=False)
    found = read_outlines(tmp_path / name, GRID, ORGANS)
    assert voxel_counts(found) == {"kidney_left": 36, "Liver": 36, "nothing": 0}


def test_label_maps_keep_their_values_with_a_scheme(tmp_path):
    labels = label_map(geometry(), values=(0, 3, 7))
    write_label_map(tmp_path / "a.nii.gz", labels)
    known = LabelScheme.from_names({"liver": 3, "spleen": 7})
    assert np.array_equal(read_outlines(tmp_path / "a.nii.gz", None, known).labels.array, labels.array)
    found = read_outlines(tmp_path / "a.nii.gz")
    assert found.scheme.names == ("structure 3", "structure 7")
    assert np.array_equal(found.labels.array, labels.array)


def test_masks_and_pictures_without_names(tmp_path):
    masks = MultiLabelMap(np.random.default_rng(0).random((2, *GRID.shape)) < 0.5, GRID, ("a", "b"))
    write_multi_label_map(tmp_path / "m.nii", masks)
    found = read_outlines(tmp_path / "m.nii")
    assert (found.scheme.names, found.scheme.overlapping) == (("structure 1", "structure 2"), True)
    assert np.array_equal(found.labels.array, masks.array)
    indexed(tmp_path / "p.png", [[0, 4], [4, 4]])
    assert voxel_counts(read_outlines(tmp_path / "p.png")) == {"structure 4": 3}
    picture(tmp_path / "colours.png")
    with pytest.raises(LabelError, match="holds 3 channels"):
        read_outlines(tmp_path / "colours.png")


def test_an_empty_label_map_says_nothing(tmp_path):
    write_label_map(tmp_path / "a.nii", label_map(GRID, values=(0,)))
    with pytest.raises(LabelError, match="the label map is empty, so it says nothing of its structures"):
        read_outlines(tmp_path / "a.nii")


def test_names_without_voxels(tmp_path):
    seg, _ = segmentation_file(tmp_path)
    write_slicer_nrrd(tmp_path / "a.seg.nrrd", blocks())
    for path in (seg, tmp_path / "a.seg.nrrd", structures(tmp_path / "rt.dcm")):
        assert tuple(one.name for one in named_structures(path)) == NAMES
    assert named_structures(tmp_path / "rt.dcm")[0].colour == known_structure("liver").colour
    write_label_map(tmp_path / "a.nii", label_map(GRID))
    assert named_structures(tmp_path / "a.nii") is None
    write_surfaces(tmp_path / "a.obj", blocks())
    with pytest.raises(InputError, match="surfaces do not name their structures"):
        named_structures(tmp_path / "a.obj")


def test_what_is_no_outline(tmp_path):
    (tmp_path / "a.txt").write_text("no outline at all, but some text of a length")
    with pytest.raises(ReadError, match="not an image"):
        read_outlines(tmp_path / "a.txt", GRID)
