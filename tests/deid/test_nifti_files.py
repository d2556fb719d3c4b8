"""NIfTI files: texts go, voxels and grid stay bit for bit."""

from __future__ import annotations

import gzip
import io
import struct

import nibabel as nib
import numpy as np
import pydicom
import pytest
from factories import full_disk, geometry
from nibabel.nifti1 import Nifti1Extension, Nifti1Extensions

from medseg.core.errors import DataError, OutputError, ReadError
from medseg.deid.nifti_files import clean_nifti
from medseg.io.formats import read_volume

SHAPE = (3, 4, 5)
VOXELS = np.arange(60, dtype=np.int16).reshape(SHAPE)
TEXTS = ("data_type", "db_name", "descrip", "aux_file", "intent_name")


def marked(voxels=VOXELS, kind=nib.Nifti1Image, order="<", extensions=()) -> nib.Nifti1Image:
    """An image with a marker in each field that can hold text."""
    header = kind.header_class(endianness=order)
    header.set_data_dtype(voxels.dtype)
    made = kind(voxels, geometry(SHAPE, (0.5, 1.5, 2.0), oblique_degrees=13.0).affine, header)
    made.set_qform(made.affine, code=1)
    made.header.set_xyzt_units("mm", "sec")
    made.header["cal_max"], made.header["toffset"] = 77.0, 1.25
    for name in TEXTS:
        if name in made.header:
            made.header[name] = f"MARK{name}"[:9].encode()
    if "glmax" in made.header:
        made.header["extents"] = int.from_bytes(b"MARK", "little")
        made.header["glmax"] = int.from_bytes(b"MARK", "little")
    made.header.extensions = Nifti1Extensions(extensions)
    return made


def saved(path, made=None):
    nib.save(made or marked(), path)
    return path


def plain(path) -> bytes:
    content = path.read_bytes()
    return gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content


def values(cleaned) -> list[bytes]:
    return [removed.value for removed in cleaned.taken]


@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_texts_go_and_the_rest_stays(tmp_path, kind, order, suffix):
    source = saved(tmp_path / f"a{suffix}", marked(kind=kind, order=order))
    cleaned = clean_nifti(source, tmp_path / f"b{suffix}")
    old, new = nib.load(source), nib.load(tmp_path / f"b{suffix}")
    assert b"MARK" not in plain(tmp_path / f"b{suffix}")
    assert new.header.endianness == old.header.endianness == order
    for name in ("dim", "pixdim", "datatype", "bitpix", "scl_slope", "scl_inter", "sform_code", "qform_code", "srow_x",
                 "quatern_b", "qoffset_x", "xyzt_units", "cal_max", "toffset", "magic", "intent_code"):  # fmt: skip
        assert new.header[name].tobytes() == old.header[name].tobytes(), name
    assert plain(tmp_path / f"b{suffix}")[len(new.header.binaryblock) + 4 :] == plain(source)[-VOXELS.nbytes :]
    assert {b"MARKdescr", b"MARKaux_f", b"MARKinten"} <= set(values(cleaned))
    assert cleaned.format == ("NIfTI-1" if kind is nib.Nifti1Image else "NIfTI-2")


@pytest.mark.parametrize(
    "dtype",
    ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8", "c8", "c16", [("R", "u1"), ("G", "u1"), ("B", "u1")]],
)
@pytest.mark.parametrize("shape", [(3, 4), (3, 4, 5), (3, 4, 5, 2), (3, 4, 5, 1, 2)])
def test_every_type_and_number_of_dimensions(tmp_path, dtype, shape):
    voxels = np.frombuffer(bytes(range(240)) * 16, dtype=dtype)[: np.prod(shape)].reshape(shape)
    source = saved(tmp_path / "a.nii", nib.Nifti1Image(voxels, np.eye(4), dtype=voxels.dtype))
    cleaned = clean_nifti(source, tmp_path / "b.nii")
    assert (tmp_path / "b.nii").read_bytes()[352:] == source.read_bytes()[352:]
    assert cleaned.may_show_text == (len(shape) == 2 or isinstance(dtype, list))


def test_scaling_and_a_missing_sform_stay(tmp_path):
    made = marked()
    made.set_sform(None, code=0)
    made.header.set_slope_inter(0.5, -3.0)
    source = saved(tmp_path / "a.nii", made)
    clean_nifti(source, tmp_path / "b.nii")
    assert np.array_equal(nib.load(tmp_path / "b.nii").get_fdata(), nib.load(source).get_fdata())
    assert read_volume(tmp_path / "b.nii").geometry.is_close(read_volume(source).geometry)


def dicom_extension() -> bytes:
    dataset = pydicom.Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 100"
    dataset.PatientName = "MÄRK^DICOM"
    dataset.PatientID = "MARK-4711"
    item = pydicom.Dataset()
    item.StudyDescription = "MARK in a sequence"
    dataset.RequestAttributesSequence = [item]
    buffer = io.BytesIO()
    dataset.save_as(buffer, implicit_vr=False, little_endian=True)
    return buffer.getvalue()


def test_extensions_go_and_are_collected(tmp_path):
    extensions = [Nifti1Extension("comment", b"a MARK comment"), Nifti1Extension(2, dicom_extension())]
    source = saved(tmp_path / "a.nii.gz", marked(extensions=extensions))
    cleaned = clean_nifti(source, tmp_path / "b.nii.gz")
    content = plain(tmp_path / "b.nii.gz")
    assert b"MARK" not in content
    assert content[348:352] == bytes(4)
    assert nib.load(tmp_path / "b.nii.gz").header["vox_offset"] == 0  # nibabel's word for "at once"
    assert np.array_equal(read_volume(tmp_path / "b.nii.gz").array[0], VOXELS)
    by_tag = {removed.tag: removed for removed in cleaned.taken}
    assert by_tag[0x00100010].value.decode("latin-1") == "MÄRK^DICOM"
    assert (by_tag[0x00100010].vr, by_tag[0x00100010].encodings) == ("PN", ("latin_1",))
    assert by_tag[0x00100020].value == b"MARK-4711"
    assert b"a MARK comment" in values(cleaned)
    assert any(b"MARK in a sequence" in value for value in values(cleaned))


def test_a_broken_chain_of_extensions_is_dropped_and_searched(tmp_path):
    content = bytearray(saved(tmp_path / "a.nii").read_bytes())
    broken = struct.pack("<2i", 10**6, 6) + b"MARK behind a wrong size".ljust(40)
    content[108:112] = struct.pack("<f", 352 + len(broken))
    content[348] = 1
    (tmp_path / "a.nii").write_bytes(content[:352] + broken + content[352:])
    cleaned = clean_nifti(tmp_path / "a.nii", tmp_path / "b.nii")
    assert any(b"MARK behind a wrong size" in value for value in values(cleaned))
    assert np.array_equal(read_volume(tmp_path / "b.nii").array[0], VOXELS)


def test_bytes_behind_the_voxels_go(tmp_path):
    source = saved(tmp_path / "a.nii")
    source.write_bytes(source.read_bytes() + b"MARK behind the voxels")
    cleaned = clean_nifti(source, tmp_path / "b.nii")
    assert b"MARK" not in (tmp_path / "b.nii").read_bytes()
    assert values(cleaned)[-1] == b"MARK behind the voxels"


def test_gzip_header_is_new(tmp_path):
    packed = io.BytesIO()
    with gzip.GzipFile(filename="MARK_DOE.nii", mode="wb", fileobj=packed, mtime=1_700_000_000) as stream:
        stream.write(saved(tmp_path / "a.nii").read_bytes())
    (tmp_path / "a.nii.gz").write_bytes(packed.getvalue())
    cleaned = clean_nifti(tmp_path / "a.nii.gz", tmp_path / "b.nii.gz")
    assert (tmp_path / "b.nii.gz").read_bytes()[3:8] == bytes(5)
    assert b"MARK" not in (tmp_path / "b.nii.gz").read_bytes()
    assert b"MARK_DOE.nii" in values(cleaned)


@pytest.mark.parametrize("kind", [nib.Nifti1Pair, nib.Nifti2Pair])
@pytest.mark.parametrize("names", [("a.hdr", "a.img"), ("a.hdr.gz", "a.img.gz"), ("a.HDR", "a.IMG")])
def test_a_pair_becomes_one_file(tmp_path, kind, names):
    made = marked(kind=kind, extensions=[Nifti1Extension("comment", b"a MARK comment")])
    nib.save(made, tmp_path / ("p.hdr.gz" if names[0].endswith(".gz") else "p.hdr"))
    for written, name in zip(("p.hdr", "p.img"), names, strict=True):
        gz = ".gz" if names[0].endswith(".gz") else ""
        (tmp_path / f"{written}{gz}").rename(tmp_path / name)
    cleaned = clean_nifti(tmp_path / names[0], tmp_path / "b.nii.gz")
    new = nib.load(tmp_path / "b.nii.gz")
    assert np.array_equal(np.asarray(new.dataobj), VOXELS)
    assert np.allclose(new.affine, made.affine)
    assert b"MARK" not in plain(tmp_path / "b.nii.gz")
    assert b"a MARK comment" in values(cleaned)


def test_what_lies_before_the_voxels_of_a_pair_goes(tmp_path):
    nib.save(marked(kind=nib.Nifti1Pair), tmp_path / "a.hdr")
    content = bytearray((tmp_path / "a.hdr").read_bytes())
    content[108:112] = struct.pack("<f", 32)
    (tmp_path / "a.hdr").write_bytes(content)
    (tmp_path / "a.img").write_bytes(b"MARK before".ljust(32) + (tmp_path / "a.img").read_bytes())
    cleaned = clean_nifti(tmp_path / "a.hdr", tmp_path / "b.nii")
    assert np.array_equal(read_volume(tmp_path / "b.nii").array[0], VOXELS)
    assert any(value.startswith(b"MARK before") for value in values(cleaned))


def test_a_pair_needs_exactly_one_other_half(tmp_path):
    nib.save(marked(kind=nib.Nifti1Pair), tmp_path / "a.hdr")
    (tmp_path / "a.img").rename(tmp_path / "b.img")
    with pytest.raises(ReadError, match="^is the header of a pair with 0 .img files beside it, one is needed$"):
        clean_nifti(tmp_path / "a.hdr", tmp_path / "c.nii")
    for name in ("a.img", "a.img.gz"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(ReadError, match="pair with 2 .img files"):
        clean_nifti(tmp_path / "a.hdr", tmp_path / "c.nii")


def test_doubts(tmp_path):
    def doubts(voxels, spacing=(1.0, 1.0, 1.0)):
        nib.save(nib.Nifti1Image(voxels, np.diag([*spacing, 1.0]), dtype=voxels.dtype), tmp_path / "a.nii")
        cleaned = clean_nifti(tmp_path / "a.nii", tmp_path / "b.nii")
        return cleaned.may_show_text, cleaned.may_show_face

    greys = np.random.default_rng(0).integers(0, 256, (30, 100, 100)).astype(np.uint8)
    assert doubts(greys) == (True, False)
    assert doubts(greys[:, :60, :60]) == (False, False)
    assert doubts(greys // 3, (5.0, 5.0, 5.0)) == (False, True)
    assert doubts(greys.astype(np.int16)) == (False, False)
    assert doubts(greys[:, :, :1].astype(np.int16)) == (True, False)
    assert doubts(greys[:, :, 0].astype(np.int16)) == (True, False)


def test_idempotent(tmp_path):
    clean_nifti(saved(tmp_path / "a.nii.gz"), tmp_path / "b.nii.gz")
    cleaned = clean_nifti(tmp_path / "b.nii.gz", tmp_path / "c.nii.gz")
    assert (tmp_path / "b.nii.gz").read_bytes() == (tmp_path / "c.nii.gz").read_bytes()
    assert cleaned.taken == ()


@pytest.mark.parametrize(
    ("offset", "value", "message"),
    [
        (40, struct.pack("<4h", 3, -4, 4, 5), "its dimensions are not those of an image"),
        (40, struct.pack("<4h", 3, 4, 4, 5), "truncated or damaged; its header promises 160 bytes of voxels"),
        (70, struct.pack("<h", 77), "its data type is none of NIfTI's"),
        (70, struct.pack("<h", 1), "its data type is none of NIfTI's"),
        (108, struct.pack("<f", 20.0), "its voxels start at byte 20, which cannot be"),
        (344, b"abc\0", "not a NIfTI file, or truncated within its header"),
    ],
)
def test_damaged_headers_are_refused_without_a_name(tmp_path, offset, value, message):
    content = bytearray(saved(tmp_path / "MARK.nii").read_bytes())
    content[offset : offset + len(value)] = value
    (tmp_path / "MARK.nii").write_bytes(content)
    with pytest.raises(DataError, match=f"^{message}$"):
        clean_nifti(tmp_path / "MARK.nii", tmp_path / "out" / "b.nii")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [tmp_path / "MARK.nii"]


@pytest.mark.parametrize("place", [float("nan"), -1.0, 1e30])
def test_a_pair_whose_voxels_cannot_lie_there(tmp_path, place):
    nib.save(marked(kind=nib.Nifti1Pair), tmp_path / "a.hdr")
    content = bytearray((tmp_path / "a.hdr").read_bytes())
    content[108:112] = struct.pack("<f", place)
    (tmp_path / "a.hdr").write_bytes(content)
    with pytest.raises(ReadError, match="^its voxels start where they cannot$"):
        clean_nifti(tmp_path / "a.hdr", tmp_path / "b.nii")


@pytest.mark.real_data
def test_real_files_keep_voxels_and_grid(real_data, tmp_path):
    paths = sorted(real_data.rglob("*.nii.gz"))[::20]
    assert len(paths) > 15
    for path in paths:
        clean_nifti(path, tmp_path / "b.nii.gz")
        old, new = nib.load(path), nib.load(tmp_path / "b.nii.gz")
        assert np.array_equal(np.asarray(old.dataobj), np.asarray(new.dataobj))
        assert np.array_equal(old.affine, new.affine)
        assert not len(new.header.extensions)


def test_a_full_disk_is_told_and_leaves_nothing(tmp_path):
    voxels = np.random.default_rng(0).integers(0, 1000, (64, 64, 64)).astype(np.int16)
    source = saved(tmp_path / "a.nii", nib.Nifti1Image(voxels, np.eye(4)))
    with full_disk(100_000), pytest.raises(OutputError, match=r"^cannot write 'b\.nii': "):
        clean_nifti(source, tmp_path / "b.nii")
    assert list(tmp_path.iterdir()) == [source]
