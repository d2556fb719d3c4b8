"""Uploads made to crash, exhaust, mislead or get out: refused in one sentence, and nothing of them is left.

The numbers are those of the attacks in the plan. What each reader does with such files is tested beside it; here they
come in through the door.
"""

from __future__ import annotations

import gzip
import io
import os
import stat
import struct
import tarfile
import threading
import zipfile
import zlib

import nibabel as nib
import numpy as np
import pytest
from deid_factories import SECRETS, change, write_study
from dicom_bytes import CT, PIXELS, UNDEFINED, delimited, dicom_bytes, element, implicit, item
from pydicom import uid
from upload_runs import BERT, MARK, Desk, content_of, in_this_process, zipped

from medseg.core.errors import MedsegError
from medseg.io import archives

MIB = 2**20
SECRET_FILE = "root:MARK:0:0:/root:/bin/sh\n" * 200
STUDY = (
    element(0x00080016, "UI", CT.encode())
    + element(0x00080018, "UI", b"1.2.3.4")
    + element(0x00100010, "PN", b"MARK^NAME")
    + element(0x0020000D, "UI", b"1.2.3")
    + element(0x0020000E, "UI", b"1.2.3.1")
)
HELD = "nothing of the upload can be shown: 1 file held back: "


@pytest.fixture
def desk(tmp_path, monkeypatch):
    in_this_process(monkeypatch)
    elsewhere = tmp_path.parent / f"{tmp_path.name}-temporary"
    elsewhere.mkdir()
    monkeypatch.setenv("TMPDIR", str(elsewhere))
    monkeypatch.setattr("tempfile.tempdir", str(elsewhere))
    made = Desk(tmp_path)
    yield made
    made.sessions.close()
    assert not list(elsewhere.iterdir())


@pytest.fixture
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    write_study(folder)
    return content_of(folder)


def image(rows, columns, frames, pixels):
    shape = element(0x00280008, "IS", str(frames).encode()) + element(0x00280010, "US", struct.pack("<H", rows))
    shape = element(0x00280002, "US", b"\1\0") + shape + element(0x00280011, "US", struct.pack("<H", columns))
    return shape + element(0x00280100, "US", b"\x10\0") + pixels


def nifti(changes=(), behind=b"", voxels=None):
    voxels = np.arange(60, dtype=np.int16).reshape(3, 4, 5) if voxels is None else voxels
    content = bytearray(nib.Nifti1Image(voxels, np.eye(4)).to_bytes())
    for offset, value in changes:
        content[offset : offset + len(value)] = value
    return bytes(content) + behind


def tar_of(*members):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, kind, target in members:
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, target
            member.size = 3 if kind == tarfile.REGTYPE else 0
            archive.addfile(member, io.BytesIO(b"abc") if member.size else None)
    return stream.getvalue()


class TestArchives:
    """Attacks 9, 10 and 11."""

    @pytest.mark.parametrize(
        "name", ["../../MARK.dcm", "/MARK.dcm", r"..\MARK", "C:/MARK", "CON", "a:b", "MARK\nline", "\x1b[2J"]
    )
    def test_9_names_that_lead_elsewhere(self, desk, study, name):
        desk.refuse({f"{MARK}.zip": zipped({**study, name: b"1"})}, "a name that leads elsewhere or is reserved")

    @pytest.mark.parametrize("names", [("MARK", "mark"), ("MARK/a", "MARK"), ("a", "a.")])
    def test_9_names_that_collide(self, desk, names):
        desk.refuse({"x": zipped(dict.fromkeys(names, b"1"))}, "two entries of the same name")

    @pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR])
    def test_9_links_and_devices(self, desk, kind):
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w") as archive:
            entry = zipfile.ZipInfo(MARK)
            entry.create_system, entry.external_attr = 3, (kind | 0o777) << 16
            archive.writestr(entry, "/etc/passwd")
        desk.refuse({"x.zip": stream.getvalue()}, "links or devices")

    def test_9_encrypted(self, desk):
        data = bytearray(zipped({MARK: b"1"}))
        data[data.index(b"PK\1\2") + 8] |= 1
        desk.refuse({"x.zip": bytes(data)}, "an archive is encrypted")

    def test_9_archives_in_archives_stay_packed(self, desk, study):
        inner = zipped({"a.zip": zipped(study)})
        desk.refuse({"x.zip": inner}, "^the upload holds no DICOM object .*1 x an archive inside the folder")

    def test_10_bomb(self, desk):
        bomb = zipped({str(number): bytes(16 * MIB) for number in range(6)})
        desk.refuse({"x.zip": bomb}, "an archive grows past the limit of 64 MiB")

    def test_10_bomb_of_bombs(self, desk):
        bomb = zipped({"MARK": bytes(60 * MIB)})
        desk.refuse({"x.zip": zipped({str(number): bomb for number in range(4)})}, "4 x an archive inside the folder")

    def test_10_many_archives_that_grow_together(self, tmp_path, monkeypatch):
        in_this_process(monkeypatch)
        desk = Desk(tmp_path, limits={"upload_mb": 100, "session_mb": 1000})
        bomb = zipped({"MARK": bytes(60 * MIB)})
        desk.refuse({"a": bomb, "b": bomb}, "the upload unpacks to more than the limit of 100 MB")
        desk.sessions.close()

    def test_10_an_upload_that_the_session_does_not_hold(self, tmp_path, monkeypatch):
        in_this_process(monkeypatch)
        desk = Desk(tmp_path, limits={"upload_mb": 1000, "session_mb": 64})
        bomb = zipped({str(number): bytes(8 * MIB) for number in range(9)})
        monkeypatch.setattr(archives, "_FREE_BYTES", 2**30)
        desk.refuse({"a": bomb}, "temporary files of this session reach the limit of 64 MB")
        desk.sessions.close()

    def test_10_sizes_that_lie(self, desk):
        lie = zipped({MARK: b"1" * 1000}).replace(struct.pack("<L", 1000), struct.pack("<L", 5))
        desk.refuse({"x": lie}, r"of another size than it says|cannot be read \(BadZipFile\)")

    def test_10_too_many_entries(self, desk, monkeypatch):
        monkeypatch.setattr(archives, "_MOST_ENTRIES", 3)
        desk.refuse({"x": zipped({f"{number}/MARK": b"" for number in range(4)})}, "more than 3 entries")

    def test_10_entries_that_overlap(self, desk):
        data = zipped({"one": b"1" * 1000, "two": b"2" * 1000})
        second = data.index(b"PK\1\2", data.index(b"PK\1\2") + 1)
        desk.refuse({"x": data[: second + 42] + struct.pack("<L", 0) + data[second + 46 :]}, "entries that overlap")

    def test_cut_off(self, desk, study):
        whole = zipped(study)
        desk.refuse({"MARK.zip": whole[: len(whole) // 2]}, r"an archive cannot be read \(\w+\)")

    @pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
    def test_11_links_and_devices_in_tar_files(self, desk, kind):
        desk.refuse({"x": tar_of(("MARK", kind, "/etc/passwd"))}, "links or devices")

    @pytest.mark.parametrize("name", ["../MARK", "/MARK"])
    def test_11_names_in_tar_files(self, desk, name):
        desk.refuse({"x": tar_of((name, tarfile.REGTYPE, ""))}, "leads elsewhere")

    def test_20_names_that_are_no_text(self, desk):
        desk.refuse({"x": tar_of((os.fsdecode(b"\xff\xfe"), tarfile.REGTYPE, ""))}, "leads elsewhere")


class TestDicom:
    """Attacks 1 to 8, 13, 16, 17 and 19."""

    def refuse(self, desk, message, *elements, syntax=uid.ExplicitVRLittleEndian):
        desk.refuse({f"{MARK}.dcm": dicom_bytes(STUDY, *elements, syntax=syntax)}, message)

    def test_1_deflated_bomb(self, desk):
        packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
        bomb = packer.compress(STUDY) + b"".join(packer.compress(bytes(2**24)) for _ in range(20)) + packer.flush()
        content = dicom_bytes(bomb, syntax=uid.DeflatedExplicitVRLittleEndian)
        desk.refuse({"x": content}, f"^{HELD}a deflated DICOM file grows past the limit of")

    @pytest.mark.parametrize(("rows", "columns", "frames"), [(65535, 65535, 1000), (65535, 65535, 1), (8, 8, 10**9)])
    def test_2_image_of_terabytes(self, desk, rows, columns, frames):
        pixels = element(0x7FE00010, "OW", bytes(8192))
        self.refuse(desk, "pixels of 1 x 16 bits", image(rows, columns, frames, pixels))

    def test_3_run_length_bomb(self, desk):
        frame = struct.pack("<16L", 2, 64, 2**20, *[0] * 13) + b"\x81\0" * 2**20
        pixels = delimited(0x7FE00010, "OB", item() + item(frame))
        self.refuse(desk, "are more than the limit", image(46341, 46341, 1, pixels), syntax=uid.RLELossless)

    def test_4_nested_sequences(self, desk):
        nested = (element(0x00081140, "SQ", b"", UNDEFINED) + implicit(0xFFFEE000, b"", UNDEFINED)) * 5000
        self.refuse(desk, r"nested more than 32 deep|cannot be read \(RecursionError\)", nested)

    @pytest.mark.parametrize(("tag", "vr"), [(0x7FE00010, "OW"), (0x00081140, "SQ"), (0x00104000, "UT")])
    def test_5_element_longer_than_memory(self, desk, tag, vr):
        self.refuse(desk, "ends inside an element", element(tag, vr, b"1234", 0xFFFFFFF0))

    def test_6_uids_that_are_paths(self, desk):
        content = dicom_bytes(
            element(0x00080016, "UI", CT.encode()),
            element(0x00080018, "UI", b"../../../../MARK/x"),
            element(0x00100020, "LO", rb"..\..\MARK"),
            element(0x0020000D, "UI", b"/etc/MARK"),
            element(0x0020000E, "UI", b"/etc/MARK"),
            image(2, 1, 1, PIXELS),
        )
        desk.refuse({"x": content}, "nothing of the upload can be shown")

    @pytest.mark.parametrize(
        "name", ["<img src=x onerror=MARK>", "=cmd|MARK", "\x1b[2JMARK", "\u202eMARK", "../../MARK", "MARK\\a"]
    )
    def test_7_names_that_act(self, desk, tmp_path_factory, capfd, name):
        folder = tmp_path_factory.mktemp("acting")
        write_study(folder, SpecificCharacterSet="ISO_IR 192", SeriesDescription=f"{MARK} chest"[:60])
        for path in folder.iterdir():
            change(path, PatientName=name, PatientComments=name)
        (case,) = desk.upload(content_of(folder))
        assert MARK.encode() not in desk.shown()
        assert MARK not in repr(case)
        assert capfd.readouterr() == ("", "")

    @pytest.mark.parametrize("preamble", [b"MZ\x90\0MARK", b"\x7fELFMARK", b"<html><script>MARK", b"PK\3\4MARK"])
    def test_8_preambles_of_other_formats(self, desk, study, preamble):
        files = {name: preamble.ljust(128, b"\0") + content[128:] for name, content in study.items()}
        (case,) = desk.upload(files)
        assert all(path.read_bytes()[:132] == bytes(128) + b"DICM" for path in case.files.image)

    def test_13_directory_that_names_other_files(self, desk, study):
        record = element(0x00041500, "CS", rb"..\..\etc")
        (case,) = desk.upload({**study, "DICOMDIR": dicom_bytes(element(0x00041220, "SQ", item(record)))})
        assert case.slices == 2

    def test_16_names_where_they_do_not_belong(self, desk, tmp_path_factory):
        folder = tmp_path_factory.mktemp("odd")
        write_study(folder)
        hidden = element(0x00091001, "SQ", item(element(0x00111001, "LO", b"MARK^HIDDEN")))
        for path in folder.iterdir():
            path.write_bytes(path.read_bytes() + element(0xFFFCFFFC, "OB", b"MARK^BEHIND") + hidden)
        files = content_of(folder)
        (case,) = desk.upload(files)
        assert case.slices == 2
        assert MARK.encode() not in desk.shown()

    def test_17_two_patients_in_one_study(self, desk, tmp_path_factory):
        folder = tmp_path_factory.mktemp("two")
        one, _ = write_study(folder)
        change(one, PatientID="MARK", PatientName="MARK^Other")
        desk.refuse(content_of(folder), "the files of the study name several patients")

    def test_a_damaged_slice_takes_its_series_with_it(self, desk, tmp_path_factory):
        folder = tmp_path_factory.mktemp("damaged")
        paths = write_study(folder)
        paths[0].write_bytes(paths[0].read_bytes()[:-20])
        desk.refuse(content_of(folder), r"a series \(CT\) is left out, as 1 of its files|held back")


class TestImages:
    """Attacks 14 and 15."""

    @pytest.mark.parametrize("pack", [bytes, gzip.compress])
    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ([(40, struct.pack("<4h", 3, 32767, 32767, 32767))], "headers promise .* MB of voxels; at most 2048 MB"),
            ([(40, struct.pack("<4h", 3, 300, 400, 500))], "its header promises .*, which a file of .* cannot hold"),
            ([(108, struct.pack("<f", -352.0))], "its voxels start at byte -352, which cannot be"),
            ([(280, struct.pack("<f", np.nan))], "its affine is singular or not finite"),
        ],
    )
    def test_14_hostile_headers(self, desk, changes, message, pack):
        desk.refuse({f"{MARK}.nii.gz": pack(nifti(changes))}, message)

    def test_14_bombs_are_not_decoded(self, tmp_path, monkeypatch):
        in_this_process(monkeypatch)
        desk = Desk(tmp_path, limits={"upload_mb": 16})
        bomb = gzip.compress(nifti(voxels=np.zeros((300, 300, 100), np.int16)))
        desk.refuse({"a.nii.gz": bomb}, "the upload's headers promise 17 MB of voxels; at most 16 MB are taken")
        desk.sessions.close()

    def test_14_texts_behind_the_voxels_and_in_extensions(self, desk):
        extended = nifti([(108, struct.pack("<f", 384.0)), (348, b"\1")])
        extension = struct.pack("<2i", 32, 2) + b"MARK^EXTENSION".ljust(24, b"\0")
        content = extended[:352] + extension + extended[352:] + b"MARK^BEHIND" * 10
        (case,) = desk.upload({"a.nii": content})
        assert MARK.encode() not in desk.shown()
        assert len(case.files.image) == 1

    @pytest.mark.parametrize("name", ["a.mhd", "a.nhdr", "a.nrrd", "a.mha"])
    def test_15_headers_that_point_to_other_files(self, desk, tmp_path, name):
        secret = tmp_path.parent / f"{tmp_path.name}-secret"
        secret.write_text(SECRET_FILE)
        if name.startswith("a.m"):
            fields = "NDims = 3\nDimSize = 10 10 10\nElementType = MET_UCHAR\nElementDataFile = "
            header = f"ObjectType = Image\n{fields}{secret}\n"
        else:
            fields = "type: uint8\ndimension: 3\nsizes: 10 10 10\nencoding: raw\n"
            header = f"NRRD0004\n{fields}data file: {secret}\n\n"
        desk.refuse({name: header.encode(), "a.raw": bytes(1000)}, "its header points to another file")

    def test_15_halves_of_pairs_find_nothing(self, desk):
        header = bytearray(nifti()[:352])
        header[344:348] = b"ni1\0"
        desk.refuse({"a.hdr": bytes(header), "a.img": bytes(120)}, "is the header of a pair with 0 .img files")

    def test_others(self, desk):
        desk.refuse({"MARK.pdf": b"%PDF MARK"}, "holds no DICOM object and no other image, only: 1 x a file of another")
        desk.refuse({"MARK.nii.gz": b"MARK"}, "an image by its name, but damaged or of another kind")


def test_18_two_uploads_at_once_in_processes_of_their_own(tmp_path, tmp_path_factory):
    """With the same file names and the same UIDs; each person finds their own voxels and nothing else."""
    desk = Desk(tmp_path)
    sessions = {desk.session.owner: desk.session, BERT: desk.sessions.open(BERT)}
    files, cases, errors = {}, {}, []
    for number, owner in enumerate(sessions):
        folder = tmp_path_factory.mktemp("study")
        write_study(folder, PatientName=f"{owner}^Patient", PatientID=f"number {number}")
        files[owner] = content_of(folder)
        files[owner]["image.nii"] = nifti(voxels=np.full((3, 4, 5), 100 + number, np.int16))
    assert set(files[desk.session.owner]) == set(files[BERT])

    def upload(owner):
        try:
            cases[owner] = desk.upload({"a.zip": zipped(files[owner])}, sessions[owner])
        except MedsegError as error:
            errors.append(error)

    threads = [threading.Thread(target=upload, args=(owner,)) for owner in sessions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    mine, theirs = (cases[owner] for owner in sessions)
    assert [len(mine), len(theirs)] == [2, 2]
    assert {case.files.name for case in mine}.isdisjoint(case.files.name for case in theirs)
    for number, owner in enumerate(sessions):
        assert {case.files.record.owner for case in cases[owner]} == {owner}
        (path,) = [case.files.image[0] for case in cases[owner] if case.modality == ""]
        assert np.unique(np.asarray(nib.load(path).dataobj)).tolist() == [100 + number]
        assert len({case.files.image[0].parts[: len(tmp_path.parts) + 3] for case in cases[owner]}) == 1
    assert not any(secret.encode() in desk.shown() for secret in (*SECRETS, BERT, "number 1"))
    sessions[BERT].close()
    assert all(path.exists() for case in mine for path in case.files.image)
    assert not any(path.exists() for case in theirs for path in case.files.image)
    desk.sessions.close()
    assert [path.name for path in (desk.config.folder / "sessions").iterdir()] == [".lock"]
