"""NRRD files: only what lays out the voxels stays."""

from __future__ import annotations

import gzip
import io

import numpy as np
import pytest
import SimpleITK
from image_readers import by_simpleitk, itk_image

from medseg.core.errors import DataError, ReadError
from medseg.deid.descriptors import Vocabulary
from medseg.deid.nrrd_files import clean_nrrd
from medseg.io.formats import read_volume

STORED = np.arange(24, dtype="<i2").tobytes()
NRRD = (
    "NRRD0004\n# Complete MARK comment: of many words\ntype: short\ndimension: 3\nspace: LPS\nsizes: 2 3 4\n"
    "space directions: (1,0.1,0) (0,2,0.2) (0,0,3)\nspace origin: (5,6,7)\nkinds: domain domain domain\n"
    'space units: "mm" "mm" "mm"\ncontent: MARK content\nsample units: "MARK"\nold min: 0\n'
    "PatientName:=MARK^Pair\nencoding: raw\nendian: little\n"
)


def nothing(text: str) -> str:
    return ""


def written(tmp_path, header: str, data: bytes = STORED, name="a.nrrd"):
    path = tmp_path / name
    path.write_bytes(header.encode("latin-1") + b"\n" + data)
    return path


def cleaned(tmp_path, header: str, data: bytes = STORED, clean_name=nothing):
    result = clean_nrrd(written(tmp_path, header, data), tmp_path / "b.nrrd", clean_name)
    return result, (tmp_path / "b.nrrd").read_bytes()


def test_texts_go_and_the_rest_stays(tmp_path):
    result, content = cleaned(tmp_path, NRRD, STORED + b"MARK behind")
    assert content == (
        b"NRRD0004\ntype: short\ndimension: 3\nspace: LPS\nsizes: 2 3 4\n"
        b"space directions: (1,0.1,0) (0,2,0.2) (0,0,3)\nspace origin: (5,6,7)\nkinds: domain domain domain\n"
        b'space units: "mm" "mm" "mm"\nencoding: raw\nendian: little\n\n' + STORED
    )
    assert {removed.value for removed in result.taken} == {
        b"Complete MARK comment: of many words", b"MARK content", b'"MARK"', b"0", b"MARK^Pair", b"MARK behind",
    }  # fmt: skip
    assert (result.format, result.may_show_text, result.may_show_face) == ("NRRD", False, False)


@pytest.mark.parametrize(("dims", "components"), [(2, 1), (3, 1), (3, 3), (4, 1)])
@pytest.mark.parametrize("packed", [True, False])
def test_files_of_itk(tmp_path, dims, components, packed):
    image = itk_image(dims, components, np.int16)
    image.SetMetaData("0010|0010", "MARK^Doe")
    SimpleITK.WriteImage(image, str(tmp_path / "a.nrrd"), useCompression=packed)
    result = clean_nrrd(tmp_path / "a.nrrd", tmp_path / "b.nrrd", nothing)
    old, new = (SimpleITK.ReadImage(str(tmp_path / name)) for name in ("a.nrrd", "b.nrrd"))
    assert np.array_equal(SimpleITK.GetArrayFromImage(old), SimpleITK.GetArrayFromImage(new))
    assert (old.GetOrigin(), old.GetSpacing(), old.GetDirection()) == (
        new.GetOrigin(), new.GetSpacing(), new.GetDirection(),
    )  # fmt: skip
    assert "0010|0010" not in new.GetMetaDataKeys()
    assert b"MARK" not in (tmp_path / "b.nrrd").read_bytes()
    assert b"MARK^Doe" in [removed.value for removed in result.taken]


def test_gzip_in_the_file_is_new(tmp_path):
    packed = io.BytesIO()
    with gzip.GzipFile(filename="MARK_DOE.raw", mode="wb", fileobj=packed, mtime=1_700_000_000) as stream:
        stream.write(STORED)
    result, content = cleaned(tmp_path, NRRD.replace("raw", "gzip"), packed.getvalue())
    data = content.partition(b"\n\n")[2]
    assert data[3:8] == bytes(5)
    assert gzip.decompress(data) == STORED
    assert b"MARK" not in content
    assert b"MARK_DOE.raw" in [removed.value for removed in result.taken]


def test_diffusion_gradients_and_segments_stay_in_numbers(tmp_path):
    pairs = (
        "modality:=DWMRI\nDWMRI_b-value:=1000\nDWMRI_gradient_0000:=0 0.5 -1e-3\nDWMRI_gradient_0001:=MARK\n"
        "Segment0_Name:=left kidney MARK\nSegment0_ID:=MARK_1\nSegment0_Color:=0.5 0.25 1\nSegment0_LabelValue:=1\n"
        "Segment0_Layer:=0\nSegment0_Extent:=0 1 0 2 0 3\nSegment0_Tags:=Segmentation.Status:MARK|\n"
        "Segment1_Name:=MARK\nSegmentation_MasterRepresentation:=Binary labelmap\n"
        "Segmentation_ContainedRepresentationNames:=Binary labelmap|\nSegmentation_ConversionParameters:=MARK\n"
    )
    clean = Vocabulary.load(("left", "kidney")).clean
    result, content = cleaned(tmp_path, NRRD + pairs, clean_name=clean)
    kept = [line for line in content.decode("latin-1").splitlines() if ":=" in line]
    assert kept == [
        "modality:=DWMRI", "DWMRI_b-value:=1000", "DWMRI_gradient_0000:=0 0.5 -1e-3",
        "Segment0_Name:=left kidney", "Segment0_ID:=Segment_0", "Segment0_Color:=0.5 0.25 1", "Segment0_LabelValue:=1",
        "Segment0_Layer:=0", "Segment0_Extent:=0 1 0 2 0 3", "Segment1_Name:=Segment 1",
        "Segmentation_MasterRepresentation:=Binary labelmap",
        "Segmentation_ContainedRepresentationNames:=Binary labelmap|",
    ]  # fmt: skip
    assert b"left kidney MARK" in [removed.value for removed in result.taken]


def test_a_cleaner_cannot_break_the_header(tmp_path):
    _, content = cleaned(tmp_path, NRRD + "Segment0_Name:=x\n", clean_name=lambda _: "a\n\nb\x00ü ")
    assert b"Segment0_Name:=ab\n" in content


@pytest.mark.parametrize(
    "grid", ["spacings: 1 2 3\naxis mins: 5 6 7\ncenterings: node node node\n", "spacings: 1 2 NaN\ncenters: cell\n"]
)
def test_grids_without_a_world(tmp_path, grid):
    lines = [line for line in NRRD.splitlines(keepends=True) if not line.startswith(("space", "kinds"))]
    header = "".join(lines) + grid
    if "NaN" in grid:
        with pytest.raises(DataError, match="^affine holds a value that is not finite$"):
            cleaned(tmp_path, header)
        return
    _, content = cleaned(tmp_path, header)
    assert grid.encode() in content
    assert read_volume(tmp_path / "b.nrrd").geometry.is_close(read_volume(tmp_path / "a.nrrd").geometry)


def test_older_names_of_fields_become_the_newer(tmp_path):
    lines = [line for line in NRRD.splitlines(keepends=True) if not line.startswith(("space", "kinds"))]
    _, content = cleaned(tmp_path, "".join(lines) + "spacings: 1 2 3\nAxisMins: 5 6 7\ncenters: cell cell cell\n")
    assert b"axis mins: 5 6 7\ncenterings: cell cell cell\n" in content


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("type: short", "type: MARK", "the field 'type' of its header has a value that is not known; save it anew"),
        ("space: LPS", "space: MARK", "the field 'space' of its header has a value that is not known; save it anew"),
        ("kinds: domain", "kinds: MARK", "the field 'kinds' of its header has a value"),
        ("encoding: raw", "encoding: MARK", "the field 'encoding' of its header has a value"),
        ("encoding: raw", "encoding: hex", "packs its voxels by 'hex'; raw and gzip are read"),
        ("encoding: raw", "encoding: raw\nbyte skip: 5", "the field 'byte skip' of its header has a value"),
        ("(5,6,7)", "(5,6,MARK)", "the field 'space origin' of its header has a value"),
        ("sizes: 2 3 4", "sizes: 2 3 5", "truncated or damaged; its header promises 60 bytes of voxels"),
        ("NRRD0004", "MRRD0004", "not an NRRD file"),
    ],
)
def test_refused_without_name_or_value(tmp_path, old, new, message):
    with pytest.raises(ReadError, match=f"^{message}") as caught:
        cleaned(tmp_path, NRRD.replace(old, new, 1))
    assert "MARK" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["a.nrrd"]


def test_an_empty_header_is_refused(tmp_path):
    (tmp_path / "a.nrrd").write_bytes(b"\n")
    with pytest.raises(ReadError, match="^not an NRRD file$"):
        clean_nrrd(tmp_path / "a.nrrd", tmp_path / "b.nrrd", nothing)


def test_units_of_another_form_go(tmp_path):
    _, content = cleaned(tmp_path, NRRD.replace('"mm" "mm" "mm"', '"mm" "mm" "MARK"'))
    assert b"units" not in content


def test_doubts(tmp_path):
    header = NRRD.replace("short", "uchar").replace("sizes: 2 3 4", "sizes: 20 100 100")
    greys = np.random.default_rng(0).integers(0, 256, 200_000).astype(np.uint8)
    assert cleaned(tmp_path, header, greys.tobytes())[0].may_show_text
    assert not cleaned(tmp_path, header, (greys // 4).tobytes())[0].may_show_text
    SimpleITK.WriteImage(itk_image(3, 3, np.uint8), str(tmp_path / "c.nrrd"))
    assert clean_nrrd(tmp_path / "c.nrrd", tmp_path / "d.nrrd", nothing).may_show_text
    SimpleITK.WriteImage(itk_image(2, 1, np.int16), str(tmp_path / "c.nrrd"))
    assert clean_nrrd(tmp_path / "c.nrrd", tmp_path / "d.nrrd", nothing).may_show_text
    large = header.replace("(1,0.1,0) (0,2,0.2) (0,0,3)", "(6,0,0) (0,6,0) (0,0,6)")
    assert cleaned(tmp_path, large, (greys // 4).tobytes())[0].may_show_face


def test_idempotent(tmp_path):
    cleaned(tmp_path, NRRD)
    again = clean_nrrd(tmp_path / "b.nrrd", tmp_path / "c.nrrd", nothing)
    assert (tmp_path / "b.nrrd").read_bytes() == (tmp_path / "c.nrrd").read_bytes()
    assert again.taken == ()
    assert np.array_equal(by_simpleitk(tmp_path / "c.nrrd")[0], by_simpleitk(tmp_path / "a.nrrd")[0])


@pytest.mark.real_data
def test_real_files_keep_voxels_and_grid(real_data, tmp_path):
    paths = sorted([*real_data.glob("pyradiomics/*.nrrd"), *real_data.glob("dcmqi/*/*.nrrd")])
    assert len(paths) == 25
    for path in paths:
        clean_nrrd(path, tmp_path / "b.nrrd", nothing)
        old, new = read_volume(path), read_volume(tmp_path / "b.nrrd")
        assert np.array_equal(old.array, new.array)
        assert old.geometry == new.geometry or old.geometry.is_close(new.geometry)
