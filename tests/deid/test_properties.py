"""What holds for every object: twice is once, order and processes do not matter, another key gives another result."""

from __future__ import annotations

import io
import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pydicom
import pytest
from deid_runs import KEY, OTHER_KEY, Output, clean_path, cleaned_bytes, profile
from dicom_bytes import element
from hypothesis import given, settings
from hypothesis import strategies as st
from marked_study import Marked, write_marked_study
from pydicom.datadict import DicomDictionary
from raw_dicom import NEEDED, file_of, sequence
from table_rows import NUMBERS, rows

from medseg.config.deid import DeidProfile, Mode, Option, Unlisted
from medseg.core.errors import DeidError, ReadError
from medseg.core.pseudonyms import ProjectKey
from medseg.deid.engine import Engine
from medseg.deid.technical import KEPT_BINARY, KEPT_TEXT

PIXEL_STEPS = {Option.CLEAN_PIXEL_DATA, Option.CLEAN_VISUAL_FEATURES}
PROFILES: dict[str, DeidProfile] = {
    "basic": DeidProfile(),
    **{str(option): profile(option) for option in Option if option not in PIXEL_STEPS},
    "all": profile(*(set(Option) - {Option.RETAIN_FULL_DATES})),
    "allow list": DeidProfile(unlisted=Unlisted.ALLOW_LIST),
    "allow list with dates": DeidProfile(
        unlisted=Unlisted.ALLOW_LIST, options=frozenset({Option.RETAIN_MODIFIED_DATES, Option.CLEAN_DESCRIPTORS})
    ),
    "return": profile(mode=Mode.RETURN),
    "return, cleaned": profile(Option.CLEAN_DESCRIPTORS, Option.CLEAN_STRUCTURED_CONTENT, mode=Mode.RETURN),
}
BUNDLED = sorted(
    path for path in (Path(pydicom.__file__).parent / "data" / "test_files").rglob("*") if path.suffix == ".dcm"
)


@pytest.fixture(scope="module")
def marked(tmp_path_factory: pytest.TempPathFactory) -> Marked:
    return write_marked_study(tmp_path_factory.mktemp("marked"), slices=2)


def cleaned(path: Path, chosen: DeidProfile, key: ProjectKey = KEY) -> Output | None:
    """The output; None if the file is refused or no DICOM file."""
    try:
        return clean_path(path, Engine(chosen, key))
    except (DeidError, ReadError):
        return None


def twice(paths: list[Path], chosen: DeidProfile, folder: Path) -> Iterator[tuple[str, bool]]:
    """For each file whether cleaning its output changes nothing."""
    for path in paths:
        once = cleaned(path, chosen)
        if once is not None:
            (folder / "once.dcm").write_bytes(once.raw)
            again = cleaned(folder / "once.dcm", chosen)
            yield path.name, again is not None and again.raw == once.raw


@pytest.mark.parametrize("name", PROFILES)
def test_twice_is_once(name, marked, tmp_path):
    results = dict(twice(list(marked.files.values()), PROFILES[name], tmp_path))
    assert [file for file, is_same in results.items() if not is_same] == []
    assert len(results) == len(marked.files)


@pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom's, about its own files
@pytest.mark.parametrize("name", PROFILES)
def test_twice_is_once_for_files_of_many_makers(name, tmp_path):
    results = dict(twice(BUNDLED, PROFILES[name], tmp_path))
    assert [file for file, is_same in results.items() if not is_same] == []
    assert len(results) >= 60


def test_names_stay_when_cleaned_again(marked, tmp_path):
    once = cleaned(marked.files["0/ct0"], PROFILES["retain_longitudinal_modified_dates"])
    assert once is not None
    (tmp_path / "once.dcm").write_bytes(once.raw)
    again = cleaned(tmp_path / "once.dcm", PROFILES["basic"])
    assert again is not None
    for part in ("patient", "study", "series", "instance"):
        assert getattr(again.cleaned, part) == getattr(once.cleaned, part)


@pytest.mark.parametrize("name", ["basic", "all", "return"])
def test_order_does_not_matter(name, marked):
    paths = list(marked.files.values())
    engine, other = Engine(PROFILES[name], KEY), Engine(PROFILES[name], KEY)
    forwards = {path: clean_path(path, engine) for path in paths}
    backwards = {path: clean_path(path, other) for path in reversed(paths)}
    assert all(forwards[path].raw == backwards[path].raw for path in paths)


def test_processes_do_not_matter(marked):
    paths = list(marked.files.values())
    expected = [cleaned_bytes(path, PROFILES["all"]) for path in paths]
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        assert list(pool.map(cleaned_bytes, paths, [PROFILES["all"]] * len(paths))) == expected


def test_another_key_gives_other_pseudonyms(marked):
    shifting = PROFILES["retain_longitudinal_modified_dates"]
    for path in marked.files.values():
        ours, theirs = cleaned(path, shifting), cleaned(path, shifting, OTHER_KEY)
        assert ours is not None
        assert theirs is not None
        assert not set(_pseudonyms(ours)) & set(_pseudonyms(theirs))


def _pseudonyms(output: Output) -> Iterator[str]:
    cleaned_object, dataset = output.cleaned, output.dataset
    yield from (cleaned_object.patient, cleaned_object.study, cleaned_object.series, cleaned_object.instance)
    yield from (dataset.PatientID, str(dataset.PatientName), dataset.AccessionNumber, dataset.StudyDate)
    yield from (str(one.value) for one in dataset.iterall() if one.VR == "UI" and str(one.value).startswith("2.25."))


_TEXT_VRS = ("PN", "LO", "SH", "ST", "LT", "UC", "UT", "UR", "AE", "UN", "OB", "OW", "CS", "UI", "DS", "IS", "AS", "DA")
_TAGS = sorted(
    tag
    for tag, (vr, *_rest) in DicomDictionary.items()
    if vr != "SQ" and tag >> 16 > 4 and tag not in NEEDED and tag not in KEPT_TEXT and tag not in KEPT_BINARY
)
_HOLDERS = (0x00082218, 0x00081140, 0x00400275, 0x0040A730, 0x00700001, 0x00120064, 0x00880200, 0x04000561)
_PRIVATE = st.builds(
    lambda group, number: (2 * group + 9) << 16 | number, st.integers(0, 60), st.integers(0x1000, 0x10FF)
)
_DRAWN = st.integers(0, 15).flatmap(
    lambda n: st.sampled_from([0x60003000, 0x60004000, 0x50003000]).map(lambda t: t + (n << 17))
)
_LEAF = st.tuples(st.one_of(st.sampled_from(_TAGS), _PRIVATE, _DRAWN), st.sampled_from(_TEXT_VRS)).filter(
    lambda leaf: leaf[1] != "UN" or DicomDictionary.get(leaf[0], ("??",))[0] not in NUMBERS  # any bytes are a number
)
_MARKER = b"Zq%03dorb^Quux"


@st.composite
def contents(draw: st.DrawFn, depth: int = 0) -> dict[int, object]:
    """Tags with a representation each, or with the contents of an item."""
    found: dict[int, object] = dict(draw(st.lists(_LEAF, min_size=1, max_size=8)))
    if depth < 3:
        for tag in draw(st.lists(st.sampled_from(_HOLDERS), max_size=2)):
            found[tag] = draw(contents(depth + 1))
    return found


def planted(found: dict[int, object], counter: Iterator[int], kept: set[int]) -> list[tuple[int, bytes]]:
    """Elements by tag, each text with a marker of its own, without those that an option keeps as they are."""
    elements = []
    for tag in sorted(found.keys() - kept):
        inside = found[tag]
        if isinstance(inside, dict):
            elements.append((tag, sequence(tag, b"".join(one for _, one in planted(inside, counter, kept)))))
        else:
            elements.append((tag, element(tag, str(inside), _MARKER % next(counter))))
    return elements


@settings(max_examples=100)
@given(found=contents(), name=st.sampled_from(sorted(set(PROFILES) - {"return", "return, cleaned"})))
def test_no_text_survives_anywhere(found, name, tmp_path_factory):
    folder = tmp_path_factory.mktemp("fuzz")
    options = {str(option) for option in PROFILES[name].options}
    kept = {row.tag for row in rows() if any(row.options.get(option) == "K" for option in options)}
    (folder / "planted.dcm").write_bytes(file_of(*planted(found, iter(range(1000)), kept)))
    output = cleaned(folder / "planted.dcm", PROFILES[name])
    if output is None:
        return
    assert b"orb^" not in output.raw
    assert b"Quux" not in output.raw
    list(pydicom.dcmread(io.BytesIO(output.raw)).iterall())
    assert list(twice([folder / "planted.dcm"], PROFILES[name], folder)) == [("planted.dcm", True)]
