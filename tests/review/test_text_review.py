"""Pictures that may show text are blank for everybody until somebody who may decide has decided, which is logged."""

from __future__ import annotations

import io
import threading

import nibabel as nib
import numpy as np
import pydicom
import pytest
from deid_factories import SECRETS, leaks, noise, write_capture, write_study
from dicom_factories import set_pixels, write_file
from PIL import Image
from upload_runs import ANNA, BERT, KEY, Desk, WhiteFinder, content_of, in_this_process

from medseg.config.review import Role
from medseg.core.errors import InputError, OutputError
from medseg.deid.boxes import Box
from medseg.io.formats import read_volume
from medseg.review.records import Act, Reader
from medseg.review.store import open_store
from medseg.review.text_review import (
    blank,
    blanked_picture,
    drop,
    release,
    suspected_boxes,
    text_cases,
    whole_picture,
)

READER, OTHER, SENIOR = Reader(ANNA, Role.READER), Reader(BERT, Role.READER), Reader("carl", Role.SENIOR)
WHITE = Box(4, 6, 9, 20)


class Log(list):
    """What a store would have logged."""

    def __call__(self, act, actor, case=None, details=None, /):
        self.append((act, actor.name, case, dict(details or {})))

    def acts(self):
        return [act for act, *_ in self]


@pytest.fixture
def log():
    return Log()


@pytest.fixture
def finder(monkeypatch):
    """Nothing here reads text, or ``found`` does."""
    found = []
    monkeypatch.setattr("medseg.deid.study._finder", lambda: found[0] if found else None)
    return found


@pytest.fixture
def desk(tmp_path, monkeypatch, finder):
    in_this_process(monkeypatch)
    made = Desk(tmp_path)
    yield made
    made.sessions.close()


@pytest.fixture
def capture(tmp_path_factory):
    folder = tmp_path_factory.mktemp("capture")
    write_study(folder)
    write_capture(folder / "capture")
    return content_of(folder)


def cine(folder, frames=3):
    """An ultrasound cine with white text in its second frame."""
    path = write_capture(folder)
    dataset = pydicom.dcmread(path)
    values = noise((frames, 24, 32)) // 2
    values[1, WHITE.top : WHITE.bottom, WHITE.left : WHITE.right] = 255
    set_pixels(dataset, values)
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit = 7
    dataset.PixelRepresentation = 0
    dataset.NumberOfFrames = frames
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.7.2"
    dataset.PixelData = values.tobytes()
    write_file(path, dataset)
    return content_of(folder), values


def picture(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)))


def one(desk, reader=SENIOR):
    (case,) = text_cases(desk.sessions, reader, desk.config)
    return case


def slide(depth=1, text=True) -> tuple[bytes, np.ndarray]:
    """A NIfTI file of 8 bits as seen in LPS: greys, and white text."""
    values = (noise((32, 24, depth)) // 2).astype(np.uint8)
    values[0, 0, 0] = 0
    if text:
        values[WHITE.left : WHITE.right, WHITE.top : WHITE.bottom] = 255
    return nib.Nifti1Image(values, np.diag([-1.0, -1.0, 2.0, 1.0])).to_bytes(), values


def test_who_sees_what_waits(desk, capture):
    (shown,) = desk.upload(capture)
    assert shown.modality == "CT"
    case = one(desk, READER)
    assert (case.owner, case.modality, case.pictures) == (ANNA, "OT", 1)
    assert KEY.made_name(case.name)
    assert case.name != shown.files.name
    assert case.reason.startswith("an image of no known kind; nothing here searches it")
    assert one(desk, SENIOR).name == case.name
    assert text_cases(desk.sessions, OTHER, desk.config) == []
    assert not any(secret in repr(case) for secret in SECRETS)
    assert leaks(desk.config.folder / "sessions") & {SECRETS[0]}  # in the originals, until somebody decides
    assert not any(secret.encode() in desk.shown() for secret in SECRETS)


def test_pictures_are_black_unless_a_search_can_tell(desk, capture):
    desk.upload(capture)
    case = one(desk, READER)
    for reader in (READER, SENIOR):
        shown = picture(blanked_picture(case, 0, reader, desk.config))
        assert shown.shape == (24, 32)
        assert not shown.any()
    with pytest.raises(InputError, match="a reader may not release burned-in text"):
        blanked_picture(case, 0, OTHER, desk.config)
    for index in (-1, 1, 100):
        with pytest.raises(InputError, match="there is no picture"):
            blanked_picture(case, index, READER, desk.config)


def test_whoever_decides_sees_them_and_the_log_says_so(desk, capture, log):
    desk.upload(capture)
    case = one(desk)
    whole = picture(whole_picture(case, 0, SENIOR, desk.config, log))
    assert len(np.unique(whole)) > 100
    assert log == [(Act.IDENTIFIERS_SHOWN, "carl", case.name, {"what": "held back picture", "picture": 1})]
    for reader in (READER, OTHER):
        with pytest.raises(InputError, match="a reader may not release burned-in text; ask a senior"):
            whole_picture(case, 0, reader, desk.config, log)
        with pytest.raises(InputError, match="a reader may not release burned-in text"):
            suspected_boxes(case, 0, reader, desk.config)
    assert len(log) == 1
    assert suspected_boxes(case, 0, SENIOR, desk.config) == []


def test_released_pictures_become_a_case_of_their_owner(desk, capture, log):
    (before,) = desk.upload(capture)
    case = one(desk)
    (made,) = release(case, SENIOR, desk.config, log)
    assert made.files.name == case.name
    assert (made.files.record.owner, made.modality, made.slices) == (ANNA, "OT", 1)
    assert log == [(Act.TEXT_RELEASED, "carl", case.name, {"what": "released", "pictures": 1, "boxes": 0})]
    (upload,) = desk.session.uploads
    assert {one.files.name for one in upload.cases} == {before.files.name, made.files.name}
    assert all(path.exists() for one in upload.cases for path in one.files.image)
    assert text_cases(desk.sessions, SENIOR, desk.config) == []
    assert leaks(desk.config.folder) == set()  # the originals are gone
    assert not [path for path in desk.folder.rglob("*") if path.name in ("originals", "held", "temporary")]
    for act in (
        lambda: release(case, SENIOR, desk.config, log),
        lambda: blank(case, [WHITE], SENIOR, desk.config, log),
        lambda: drop(case, SENIOR, desk.config, log),
        lambda: whole_picture(case, 0, SENIOR, desk.config, log),
        lambda: blanked_picture(case, 0, READER, desk.config),
    ):
        with pytest.raises(InputError, match="somebody has decided about these pictures meanwhile"):
            act()
    assert len(log) == 1


def test_a_store_keeps_who_looked_and_who_decided(desk, capture):
    desk.upload(capture)
    case = one(desk)
    with open_store(desk.config.folder, KEY) as store:
        whole_picture(case, 0, SENIOR, desk.config, store.log)
        release(case, SENIOR, desk.config, store.log)
        told = [(entry.act, entry.who, entry.case) for entry in store.entries()]
        assert store.verify().ok
    assert told == [(act, "carl", case.name) for act in ("identifiers shown", "burned-in text released")]


@pytest.mark.parametrize("reader", [READER, OTHER])
def test_readers_decide_nothing(desk, capture, log, reader):
    desk.upload(capture)
    case = one(desk)
    for act in (release, lambda case, *rest: blank(case, [WHITE], *rest)):
        with pytest.raises(InputError, match="a reader may not release burned-in text; ask a senior"):
            act(case, reader, desk.config, log)
    if reader is OTHER:
        with pytest.raises(InputError, match="a reader may not"):
            drop(case, reader, desk.config, log)
    assert log == []
    assert one(desk).name == case.name


def test_nothing_is_released_that_is_not_logged(desk, capture):
    desk.upload(capture)

    def broken(*_):
        raise OutputError("the disk is full")

    for act in (release, lambda case, *rest: blank(case, [WHITE], *rest), drop):
        with pytest.raises(OutputError, match="the disk is full"):
            act(one(desk), SENIOR, desk.config, broken)
    with pytest.raises(OutputError, match="the disk is full"):
        whole_picture(one(desk), 0, SENIOR, desk.config, broken)
    (upload,) = desk.session.uploads
    assert len(upload.cases) == 1


def test_boxes_are_filled_in_every_frame(desk, log, tmp_path_factory):
    files, values = cine(tmp_path_factory.mktemp("cine"))
    assert desk.upload(files) == []
    case = one(desk)
    assert case.pictures == 3
    seen = [picture(whole_picture(case, index, SENIOR, desk.config, log)) for index in range(3)]
    assert (seen[1][WHITE.top : WHITE.bottom, WHITE.left : WHITE.right] > 250).all()
    assert all(np.corrcoef(one.ravel(), value.ravel())[0, 1] > 0.99 for one, value in zip(seen, values, strict=True))
    with pytest.raises(InputError, match="no box was drawn"):
        blank(case, [Box(3, 3, 3, 9)], SENIOR, desk.config, log)
    (upload,) = desk.session.uploads
    blank(case, [WHITE, Box(20, 30, 99, 99)], SENIOR, desk.config, log)
    assert log[-1][3] == {"what": "blanked and released", "pictures": 3, "boxes": 2}
    (path,) = desk.config.folder.rglob("instance-*.dcm")
    result = pydicom.dcmread(path).pixel_array
    inside = np.zeros((24, 32), bool)
    inside[WHITE.top : WHITE.bottom, WHITE.left : WHITE.right] = inside[20:, 30:] = True
    assert (result[:, inside] == values.min()).all()
    assert (result[:, ~inside] == values[:, ~inside]).all()
    assert upload.held == ()


def test_text_that_a_search_finds_in_a_picture_is_all_that_is_blanked(desk, finder, log):
    finder.append(WhiteFinder())
    content, values = slide()
    assert desk.upload({"slide.nii": content}) == []
    case = one(desk, READER)
    assert case.reason == "the image shows what looks like text"
    shown = picture(blanked_picture(case, 0, READER, desk.config))
    assert blanked_picture(case, 0, READER, desk.config) == blanked_picture(case, 0, SENIOR, desk.config)
    margin = WHITE.grown(2)
    assert not shown[margin.top : margin.bottom, margin.left : margin.right].any()
    assert shown[margin.bottom :].any()
    assert suspected_boxes(case, 0, SENIOR, desk.config) == [margin]
    (made,) = blank(case, [WHITE], SENIOR, desk.config, log)
    result = read_volume(made.files.image[0])
    assert result.array.dtype == np.uint8
    expected = values.copy()
    expected[WHITE.left : WHITE.right, WHITE.top : WHITE.bottom] = 0
    assert (result.array[0] == expected).all()
    assert np.allclose(result.geometry.affine, np.diag([-1.0, -1.0, 2.0, 1.0]))


def test_pictures_in_jpeg_are_filled_too(desk, finder, log):
    finder.append(WhiteFinder())
    values = (noise((24, 32)) // 3).astype(np.uint8)
    values[8:16, 8:24] = 255
    stream = io.BytesIO()
    Image.fromarray(values).save(stream, format="JPEG", quality=95)
    assert desk.upload({"a.jpeg": stream.getvalue()}) == []
    (made,) = blank(one(desk), [Box(6, 6, 18, 26)], SENIOR, desk.config, log)
    (path,) = made.files.image
    assert path.suffix == ".png"
    result = read_volume(path).array[0, :, :, 0].T
    assert (result[6:18, 6:26] == result.min()).all()
    assert result[18:].max() > 60


def test_what_was_filled_is_released_though_nothing_here_reads_it(desk, log):
    desk.upload({"slide.nii": slide()[0], "other.nii": slide(text=False)[0]})
    case, _ = text_cases(desk.sessions, SENIOR, desk.config)
    (made,) = blank(case, [WHITE], SENIOR, desk.config, log)
    assert not read_volume(made.files.image[0]).array[0, WHITE.left : WHITE.right, WHITE.top : WHITE.bottom].any()
    other = one(desk)
    (released,) = release(other, SENIOR, desk.config, log)
    assert released.files.name != made.files.name
    (upload,) = desk.session.uploads
    assert (len(upload.cases), upload.held) == (2, ())


def test_released_image_files_keep_their_name(desk, finder, log):
    finder.append(WhiteFinder())
    content, values = slide()
    desk.upload({"slide.nii": content})
    case = one(desk)
    (made,) = release(case, SENIOR, desk.config, log)
    assert made.files.name == case.name
    assert (read_volume(made.files.image[0]).array[0] == values).all()


def test_a_series_waits_as_a_whole(desk, finder, tmp_path_factory, log):
    """Of a series of derived slices one shows text: the others do not become a volume without it."""
    finder.append(WhiteFinder())
    folder = tmp_path_factory.mktemp("derived")
    write_study(folder, ImageType=["DERIVED", "SECONDARY"])
    finder[0].find = lambda picture: []
    (shown,) = desk.upload(content_of(folder))
    assert shown.slices == 2
    asked = []
    finder[0].find = lambda picture: [Box(1, 1, 4, 4)] if len(asked) % 2 or asked.append(1) else []
    assert desk.upload(content_of(folder)) == []
    case = one(desk)
    assert case.reason.endswith(("text was still found after it had been blanked", "a page, not an image"))
    assert case.name == shown.files.name
    finder[0].find = lambda picture: []
    (made,) = release(case, SENIOR, desk.config, log)
    assert (made.slices, made.files.name) == (2, shown.files.name)


def test_dropped_pictures_are_gone(desk, capture, log):
    (shown,) = desk.upload(capture)
    case = one(desk)
    drop(case, READER, desk.config, log)
    assert log == [(Act.REFUSED, ANNA, case.name, {"what": "held back pictures dropped", "pictures": 1})]
    assert text_cases(desk.sessions, SENIOR, desk.config) == []
    assert leaks(desk.config.folder) == set()
    assert all(path.exists() for path in shown.files.image)


def test_what_was_dropped_does_not_come_back_with_the_next_decision(desk, capture, log):
    content, _ = slide(text=False)
    desk.upload({**capture, "a.nii": content})
    first, second = text_cases(desk.sessions, SENIOR, desk.config)
    drop(first, SENIOR, desk.config, log)
    (made,) = release(second, SENIOR, desk.config, log)
    assert made.files.name == second.name
    assert text_cases(desk.sessions, SENIOR, desk.config) == []
    assert leaks(desk.config.folder) == set()


def test_a_decision_is_made_once(desk, capture, log):
    desk.upload(capture)
    case, results = one(desk), []

    def decide():
        try:
            results.append(len(release(case, SENIOR, desk.config, log)))
        except InputError as error:
            results.append(str(error).partition(";")[0])

    threads = [threading.Thread(target=decide) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results.count(1) == 1
    assert results.count("somebody has decided about these pictures meanwhile") == 2


def test_what_waits_goes_with_its_session(desk, capture, log):
    desk.upload(capture)
    case = one(desk)
    desk.session.close()
    assert text_cases(desk.sessions, SENIOR, desk.config) == []
    for act in (lambda: release(case, SENIOR, desk.config, log), lambda: drop(case, SENIOR, desk.config, log)):
        with pytest.raises(InputError, match="this session has ended"):
            act()
    assert [path.name for path in (desk.config.folder / "sessions").iterdir()] == [".lock"]


def test_several_things_wait_and_are_decided_one_by_one(desk, capture, log):
    content, _ = slide(text=False)
    desk.upload({**capture, "a.nii": content})
    first, second = text_cases(desk.sessions, SENIOR, desk.config)
    assert {first.modality, second.modality} == {"OT", ""}
    release(first, SENIOR, desk.config, log)
    (left,) = text_cases(desk.sessions, SENIOR, desk.config)
    assert left.name == second.name
    release(second, SENIOR, desk.config, log)
    (upload,) = desk.session.uploads
    assert len(upload.cases) == 3
    assert leaks(desk.config.folder) == set()
