"""A case with its voxels, whatever file they lie in; and what is refused, in words that name no file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest
from case_factories import GRID, KEY, SCHEME, a_record, nifti_case
from dicom_factories import only_series, write_series
from factories import ALL_ORIENTATIONS, geometry, label_map, scheme, volume
from picture_datasets import SQUARE, annotation, coco_file, picture
from seg_factories import HEADER, found_labels, found_masks, source_series

from medseg.core.errors import GeometryError, InputError, LabelError, ReadError, StudyError
from medseg.core.labels import LabelScheme, Region
from medseg.core.segmentation import Segmentation
from medseg.core.volume import LabelMap, MultiLabelMap, Volume
from medseg.io.dicom_seg_file import SegmentationForm
from medseg.io.dicom_seg_write import write_segmentation
from medseg.io.formats import write_label_map, write_multi_label_map, write_volume
from medseg.io.rtstruct_write import write_structure_set
from medseg.io.slicer_nrrd import write_slicer_nrrd
from medseg.review.case_files import CaseFiles
from medseg.review.open_case import OpenCase, open_case, read_other, read_reference, read_uncertainty, series_of
from medseg.review.records import CaseName, Origin

REGIONS = LabelScheme(SCHEME.structures, (Region("all", ("liver", "spleen")), Region("spleen", ("spleen",))))


def prediction_of(case: OpenCase) -> np.ndarray:
    return case.prediction.labels.array


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:60])


def masks_of(segmentation: Segmentation) -> dict[str, np.ndarray]:
    return {structure.name: mask for structure, mask in segmentation.masks()}


def test_image_and_outlines_come_as_they_were_written(tmp_path):
    case = open_case(nifti_case(tmp_path))
    assert np.array_equal(case.volume.array, volume(GRID).array)
    assert np.array_equal(prediction_of(case), label_map(GRID, seed=1).array)
    assert np.array_equal(read_reference(case).labels.array, label_map(GRID, seed=2).array)
    assert case.prediction.geometry is case.volume.geometry
    assert (case.scheme, case.prediction.scheme, case.notes) == (SCHEME, SCHEME, ())
    assert prediction_of(case).dtype == np.uint8


@pytest.mark.parametrize("codes", ALL_ORIENTATIONS[::7])
def test_outlines_with_other_directions_of_axes_are_turned(tmp_path, codes):
    files = nifti_case(tmp_path)
    write_label_map(files.prediction, label_map(GRID, seed=1).reoriented(codes))
    write_label_map(files.reference, label_map(GRID, seed=2).reoriented(codes))
    case = open_case(files)
    assert np.array_equal(prediction_of(case), label_map(GRID, seed=1).array)
    assert np.array_equal(read_reference(case).labels.array, label_map(GRID, seed=2).array)


def test_without_a_prediction_the_outlines_are_empty(tmp_path):
    case = open_case(nifti_case(tmp_path, prediction=None, reference=None))
    assert not prediction_of(case).any()
    assert case.prediction.geometry.is_close(case.volume.geometry)
    assert read_reference(case) is None
    assert read_uncertainty(case) is None
    overlapping = open_case(nifti_case(tmp_path, prediction=None, scheme=replace(SCHEME, overlapping=True)))
    assert isinstance(overlapping.prediction.labels, MultiLabelMap)
    assert prediction_of(overlapping).shape == (2, *GRID.shape)


@pytest.mark.parametrize("other", [geometry((9, 8, 6)), geometry((9, 8, 7), (1.0, 1.5, 2.6)), geometry((9, 8, 7))])
def test_outlines_of_another_grid_are_refused(tmp_path, other):
    files = nifti_case(tmp_path)
    write_label_map(files.prediction, label_map(other))
    with pytest.raises(GeometryError, match="case case-a: the image and the outlines lie on different grids"):
        open_case(files)
    write_label_map(files.prediction, label_map(GRID))
    write_label_map(files.reference, label_map(other))
    with pytest.raises(
        GeometryError, match="the outlines to compare with lie on different grids.* made of another image"
    ):
        read_reference(open_case(files))


def test_a_value_that_nobody_named_is_refused_in_the_prediction_and_left_out_of_the_reference(tmp_path):
    files = nifti_case(tmp_path)
    write_label_map(files.reference, label_map(GRID, (0, 1, 2, 9)))
    reference = read_reference(open_case(files)).labels.array
    assert np.array_equal(
        reference, np.where(label_map(GRID, (0, 1, 2, 9)).array == 9, 0, label_map(GRID, (0, 1, 2, 9)).array)
    )
    write_label_map(files.prediction, label_map(GRID, (0, 1, 9)))
    with pytest.raises(LabelError, match=r"hold the value 9, the labels are liver 1, spleen 2; name it in labels.json"):
        open_case(files)


@pytest.mark.parametrize("value", [-3, 70_000])
def test_values_beyond_any_label_are_refused(tmp_path, value):
    files = nifti_case(tmp_path)
    array = np.zeros(GRID.shape, np.int32)
    array[1, 2, 3] = value
    write_label_map(files.prediction, LabelMap(array, GRID))
    with pytest.raises(LabelError, match=f"hold the value {value}"):
        open_case(files)


def test_labels_of_other_types_become_bytes(tmp_path):
    files = nifti_case(tmp_path)
    for dtype in (np.int16, np.int32, np.float32, np.uint16):
        array = label_map(GRID, seed=1).array.astype(dtype)
        write_volume(files.prediction, Volume(array[np.newaxis], GRID))
        assert prediction_of(open_case(files)).dtype == np.uint8
        assert np.array_equal(prediction_of(open_case(files)), array)
    wide = LabelScheme.from_names({"liver": 1, "tumour": 300})
    array = label_map(GRID).array.astype(np.uint16)
    array[array == 2] = 300
    write_label_map(files.prediction, LabelMap(array, GRID))
    case = open_case(replace(files, scheme=wide))
    assert prediction_of(case).dtype == np.uint16
    assert set(np.unique(prediction_of(case))) == {0, 1, 300}


def test_structures_that_overlap_stay_masks(tmp_path):
    masks = np.random.default_rng(0).random((2, *GRID.shape)) < 0.5
    files = nifti_case(tmp_path, scheme=replace(SCHEME, overlapping=True), reference=None)
    write_multi_label_map(files.prediction, MultiLabelMap(masks, GRID, SCHEME.names))
    case = open_case(files)
    assert np.array_equal(prediction_of(case), masks)
    assert case.scheme.overlapping


def test_regions_are_structures_that_may_overlap(tmp_path):
    """A model of regions writes a mask for each; its reference is a label map of the structures in them."""
    masks = np.random.default_rng(0).random((2, *GRID.shape)) < 0.5
    files = nifti_case(tmp_path, scheme=REGIONS)
    write_multi_label_map(files.prediction, MultiLabelMap(masks, GRID, REGIONS.targets))
    case = open_case(files)
    reference, drawn = masks_of(read_reference(case)), label_map(GRID, seed=2).array
    assert (case.scheme.names, case.scheme.regions, case.scheme.overlapping) == (("all", "spleen"), (), True)
    assert np.array_equal(prediction_of(case), masks)
    assert np.array_equal(reference["all"], drawn > 0)
    assert np.array_equal(reference["spleen"], drawn == 2)


def test_the_only_region_of_a_model_is_a_mask_and_no_structure(tmp_path):
    only = LabelScheme(SCHEME.structures, (Region("all", ("liver", "spleen")),))
    files = nifti_case(tmp_path, scheme=only)
    mask = label_map(GRID, (0, 1), seed=3).array
    write_label_map(files.prediction, LabelMap(mask, GRID))
    case = open_case(files)
    assert np.array_equal(prediction_of(case)[0], mask > 0)
    assert np.array_equal(masks_of(read_reference(case))["all"], label_map(GRID, seed=2).array > 0)


@pytest.mark.parametrize("form", ["seg.dcm", "seg_labelmap.dcm", "labels.seg.nrrd", "rtstruct.dcm"])
@pytest.mark.parametrize("is_known", [True, False])
def test_every_form_of_outlines_is_read(tmp_path, form, is_known):
    source = source_series(tmp_path)
    labels = scheme("liver", "left kidney", "cyst")
    blocks = np.zeros(source.geometry.shape, np.uint8)
    blocks[1:4, 1:5, 1:3], blocks[5:8, 1:5, 1:3], blocks[1:4, 1:5, 3] = 1, 2, 3
    found = Segmentation(LabelMap(blocks, source.geometry), labels)
    match form:
        case "labels.seg.nrrd":
            write_slicer_nrrd(tmp_path / form, found)
        case "rtstruct.dcm":
            write_structure_set(tmp_path / form, found, source, HEADER)
        case _:
            kind = SegmentationForm.LABELMAP if "labelmap" in form else SegmentationForm.BINARY
            write_segmentation(tmp_path / form, found, source, HEADER, kind)
    case = open_case(dicom_case(tmp_path, prediction=tmp_path / form, scheme=labels if is_known else None))
    assert case.scheme.names == labels.names
    assert {name: int(mask.sum()) for name, mask in masks_of(case.prediction).items()} == {
        name: int((blocks == value).sum()) for name, value in zip(labels.names, labels.values, strict=True)
    }
    assert np.array_equal(masks_of(case.prediction)["cyst"], blocks == 3)


def dicom_case(folder: Path, **changes) -> CaseFiles:
    name = CaseName("series-a")
    common = {"name": name, "origin": Origin.BATCH, "image": (folder / "source",), "record": a_record(name)}
    return CaseFiles(**common | changes)


def test_outlines_by_name_go_to_the_values_of_the_scheme_and_others_are_left_out_of_a_reference(tmp_path):
    source = source_series(tmp_path)
    found = found_labels(source)  # liver 1, left kidney 2, cyst 3
    write_segmentation(tmp_path / "seg.dcm", found, source, HEADER)
    wanted = LabelScheme.from_names({"Kidney_L": 4, "Liver": 9})
    case = open_case(dicom_case(tmp_path, reference=tmp_path / "seg.dcm", scheme=wanted))
    drawn, reference = found.labels.array, read_reference(case).labels.array
    assert np.array_equal(reference, np.select([drawn == 1, drawn == 2], [9, 4]))
    with pytest.raises(LabelError, match=r"'cyst' is no structure of the scheme \(Kidney_L, Liver\)"):
        open_case(dicom_case(tmp_path, prediction=tmp_path / "seg.dcm", scheme=wanted))
    strangers = scheme("lung", "heart")
    with pytest.raises(LabelError, match="hold none of the structures lung, heart"):
        read_reference(open_case(dicom_case(tmp_path, reference=tmp_path / "seg.dcm", scheme=strangers)))


@pytest.mark.parametrize("names", [("liver", "spleen"), ("all", "spleen")])
def test_named_outlines_may_be_of_the_regions_or_of_what_is_in_them(tmp_path, names):
    source = source_series(tmp_path)
    found = found_labels(source, scheme(*names))
    write_segmentation(tmp_path / "seg.dcm", found, source, HEADER)
    case = open_case(dicom_case(tmp_path, reference=tmp_path / "seg.dcm", scheme=REGIONS))
    drawn, masks = found.labels.array, masks_of(read_reference(case))
    assert np.array_equal(masks["spleen"], drawn == 2)
    assert np.array_equal(masks["all"], drawn == 1 if names[0] == "all" else drawn > 0)


def test_segments_of_slicer_that_nobody_named_go_by_their_values(tmp_path):
    files = nifti_case(tmp_path)
    found = Segmentation(label_map(GRID, seed=6), scheme("Segment_1", "Segment_2"))
    write_slicer_nrrd(tmp_path / "drawn.seg.nrrd", found)
    case = open_case(replace(files, reference=tmp_path / "drawn.seg.nrrd"))
    assert np.array_equal(read_reference(case).labels.array, found.labels.array)


def test_entries_of_label_files_of_many_images_are_references(tmp_path):
    path = coco_file(tmp_path / "coco.json", [annotation([SQUARE]), annotation([SQUARE], image=2)], ("a.png", "b.png"))
    image = picture(tmp_path / "b.png")
    labels = scheme("organ", "lesion")
    common = {"image": (image,), "reference": path, "reference_item": "b.png", "prediction": None, "scheme": labels}
    reference = read_reference(open_case(nifti_case(tmp_path / "case", roots=(tmp_path,), **common)))
    assert masks_of(reference)["organ"].sum() == 9


def test_overlapping_segments_stay_masks_though_the_scheme_is_exclusive(tmp_path):
    source = source_series(tmp_path)
    found = found_masks(source)
    write_segmentation(tmp_path / "seg.dcm", found, source, HEADER)
    labels = scheme("liver", "tumour")
    case = open_case(dicom_case(tmp_path, prediction=tmp_path / "seg.dcm", scheme=labels))
    assert np.array_equal(prediction_of(case), found.labels.array)
    assert case.scheme.overlapping
    case = open_case(dicom_case(tmp_path, reference=tmp_path / "seg.dcm", scheme=labels))
    assert isinstance(case.prediction.labels, LabelMap)
    assert np.array_equal(read_reference(case).labels.array, found.labels.array)


def test_a_reference_with_values_of_its_own_is_matched_by_name(tmp_path):
    own = LabelScheme.from_names({"spleen": 1, "liver": 2, "kidney": 3})
    files = nifti_case(tmp_path, reference_scheme=own)
    write_label_map(files.reference, label_map(GRID, (0, 1, 2, 3), seed=2))
    drawn = label_map(GRID, (0, 1, 2, 3), seed=2).array
    assert np.array_equal(read_reference(open_case(files)).labels.array, np.select([drawn == 1, drawn == 2], [2, 1]))


def test_without_names_every_value_of_either_label_map_is_a_structure(tmp_path):
    files = nifti_case(tmp_path, scheme=None)
    write_label_map(files.reference, label_map(GRID, (0, 2, 5)))
    case = open_case(files)
    assert case.scheme.names == ("structure 1", "structure 2", "structure 5")
    assert np.array_equal(read_reference(case).labels.array, label_map(GRID, (0, 2, 5)).array)


def test_an_empty_prediction_without_names_can_be_drawn_on(tmp_path):
    files = nifti_case(tmp_path, scheme=None)
    write_label_map(files.prediction, LabelMap(np.zeros(GRID.shape, np.uint8), GRID))
    assert open_case(files).scheme.names == ("structure 1", "structure 2")
    case = open_case(replace(files, reference=None))
    assert case.scheme.names == ("structure 1",)
    assert not prediction_of(case).any()


def test_a_damaged_reference_does_not_hinder_the_prediction(tmp_path):
    files = nifti_case(tmp_path, scheme=None)
    cut_off(files.reference)
    case = open_case(files)
    assert case.scheme.names == ("structure 1", "structure 2")
    with pytest.raises(ReadError, match="^case case-a: (?!.*reference).*damaged"):
        read_reference(case)


def test_outlines_of_others_are_read_by_their_name(tmp_path):
    files = nifti_case(tmp_path)
    own = LabelScheme.from_names({"spleen": 7})
    write_label_map(tmp_path / "other.nii.gz", label_map(GRID, (0, 7), seed=5))
    others = {"Dr. <b>": files.reference, "model": tmp_path / "other.nii.gz"}
    case = open_case(replace(files, others=others, other_schemes={"model": own}))
    assert np.array_equal(read_other(case, "Dr. <b>").labels.array, label_map(GRID, seed=2).array)
    assert np.array_equal(read_other(case, "model").labels.array == 2, label_map(GRID, (0, 7), seed=5).array == 7)
    with pytest.raises(InputError, match="no outlines by that name; it has Dr. <b>, model"):
        read_other(case, "nobody")


def test_links_that_lead_out_of_the_source_are_refused(tmp_path):
    elsewhere = nifti_case(tmp_path / "elsewhere")
    inside = tmp_path / "inside"
    files = nifti_case(inside, uncertainty=inside / "link_entropy.nii.gz", others={"other": inside / "other.nii.gz"})
    for place in (files.uncertainty, files.others["other"]):
        place.symlink_to(elsewhere.prediction)
    case = open_case(files)
    for read in (read_uncertainty, lambda one: read_other(one, "other")):
        with pytest.raises(InputError, match="case case-a: a file lies outside of the folders of its source"):
            read(case)
    for path, target in ((files.prediction, elsewhere.prediction), (files.image[0], elsewhere.image[0])):
        path.unlink()
        path.symlink_to(target)
        with pytest.raises(InputError, match="a file lies outside of the folders of its source"):
            open_case(files)
    assert open_case(replace(files, roots=(tmp_path,))).volume.geometry.is_close(GRID)


def test_a_link_in_a_folder_of_outlines_is_refused(tmp_path):
    files = nifti_case(tmp_path / "inside")
    (tmp_path / "inside" / "surfaces").mkdir()
    (tmp_path / "inside" / "surfaces" / "liver.stl").symlink_to(tmp_path / "elsewhere.stl")
    with pytest.raises(InputError, match="a file lies outside of the folders of its source"):
        open_case(replace(files, prediction=tmp_path / "inside" / "surfaces"))


def test_errors_name_no_file(tmp_path):
    folder = tmp_path / "Doe_Jane_1970"
    files = nifti_case(folder)
    names = ["Doe_Jane.nii.gz", "Jane-Doe-labels.nii.gz"]
    renamed = replace(
        files,
        image=(files.image[0].rename(folder / names[0]),),
        prediction=files.prediction.rename(folder / names[1]),
        identifiers="Doe^Jane",
    )
    assert "Doe" not in repr(renamed)
    for damage in (cut_off, Path.unlink, Path.mkdir):
        damage(renamed.image[0])
        with pytest.raises((ReadError, InputError, StudyError), match="^case case-a: ") as caught:
            open_case(renamed)
        assert "Doe" not in str(caught.value)
        assert caught.value.__cause__ is None


def test_errors_keep_the_words_that_file_names_are_made_of(tmp_path):
    files = nifti_case(tmp_path)  # image.nii.gz
    write_label_map(files.prediction, label_map(geometry()))
    with pytest.raises(GeometryError, match=r"^case case-a: the image and the outlines lie on different grids: shapes"):
        open_case(files)


def test_missing_slices_are_shown_and_said_to_be_interpolated(tmp_path):
    write_series(tmp_path / "source")
    whole = open_case(dicom_case(tmp_path, scheme=SCHEME))
    only_series(tmp_path / "source").files[2].unlink()
    case = open_case(dicom_case(tmp_path, scheme=SCHEME))
    assert whole.notes == ()
    assert case.notes == ("1 of 5 slices is missing and shown interpolated",)
    assert case.volume.geometry.is_close(whole.volume.geometry)


def test_the_files_of_a_series_are_one_image_and_two_series_none(tmp_path):
    write_series(tmp_path / "source")
    series = only_series(tmp_path / "source")
    case = open_case(dicom_case(tmp_path, image=series.files, scheme=SCHEME))
    assert np.array_equal(case.volume.array, open_case(dicom_case(tmp_path, scheme=SCHEME)).volume.array)
    assert [one.uid for one in series_of(case.files)] == [series.uid]
    assert series_of(nifti_case(tmp_path)) == ()
    write_series(tmp_path / "source" / "more")
    with pytest.raises(StudyError, match="case series-a: the files hold 2 DICOM series; one case is one series"):
        open_case(dicom_case(tmp_path, scheme=SCHEME))
    with pytest.raises(StudyError, match="nobody knows where the image is"):
        open_case(dicom_case(tmp_path, image=(), scheme=SCHEME))


def test_a_file_a_channel_makes_one_image(tmp_path):
    paths = [tmp_path / "t1.nii.gz", tmp_path / "t2.nii.gz"]
    for seed, path in enumerate(paths):
        write_volume(path, volume(GRID, seed=seed))
    case = open_case(nifti_case(tmp_path, image=tuple(paths)))
    assert np.array_equal(case.volume.array, np.concatenate([volume(GRID, seed=seed).array for seed in (0, 1)]))


def test_a_written_label_map_reads_the_same_in_nibabel(tmp_path):
    files = nifti_case(tmp_path)
    case = open_case(files)
    image = nibabel.load(files.prediction)
    assert np.array_equal(prediction_of(case), np.asarray(image.dataobj))
    assert np.allclose(case.prediction.geometry.affine, image.affine, atol=1e-3)
    assert KEY.secret not in repr(case).encode()
