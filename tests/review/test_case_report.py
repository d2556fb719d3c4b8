from __future__ import annotations

import re

import numpy as np
import pytest
from case_factories import SENIOR
from exported_cases import corrected, dicom_case, house

from medseg.core.segmentation import Segmentation
from medseg.review.case_report import CaseReport, Disclosed, report_page
from medseg.review.records import Decision, Difficulty, Verdict


@pytest.fixture
def begun(tmp_path):
    place = house(tmp_path)
    with place.store:
        yield place, *corrected(place, dicom_case(tmp_path / "case"))


EVERYTHING = Disclosed()


def page_of(begun, disclosed=EVERYTHING, naming=str):
    place, case, version = begun
    outlines = Segmentation(place.vault.get(version.sha256, case.volume.geometry), case.scheme)
    return report_page(CaseReport.of(place.store, case, version, outlines, naming, disclosed))


def decide(begun, **changes):
    place, case, version = begun
    known = {"verdict": Verdict.ACCEPTED, "made": 1.7e9, "difficulty": Difficulty.HARD, "comment": "thin wall"}
    place.store.decide(Decision(case.files.name, version.number, SENIOR.name, **known | changes), SENIOR)


def test_volumes_and_what_changed_are_in_millilitres(begun):
    _, case, version = begun
    cells = re.findall(r"<tr><td[^>]*>(liver|spleen)</td>((?:<td[^>]*>[^<]*</td>)+)</tr>", page_of(begun))
    rows = {name: [float(cell) for cell in re.findall(r">([^<]+)<", rest)] for name, rest in cells}
    ml = case.volume.geometry.voxel_volume / 1000
    before = {one.name: int(np.count_nonzero(mask)) * ml for one, mask in case.prediction.masks()}
    for name, (volume, difference, changed) in rows.items():
        assert volume == pytest.approx(version.volumes_ml[name], abs=6e-4)
        assert difference == pytest.approx(version.volumes_ml[name] - before[name], abs=6e-4)
        assert changed == pytest.approx(version.changed_ml[name], abs=6e-4)
    assert set(rows) == {"liver", "spleen"}


def test_who_decided_what_and_which_entries_of_the_log_say_so(begun):
    place, case, version = begun
    assert "Nobody has decided about this version." in page_of(begun)
    decide(begun)
    text = page_of(begun)
    numbers = [entry.number for entry in place.store.entries() if entry.case == case.files.name]
    for part in ("accepted, by", SENIOR.name, "hard", "thin wall", version.sha256, version.input_sha256):
        assert part in text
    assert f"{numbers[0]} to {numbers[-1]}" in text


def test_what_is_not_disclosed_is_not_there(begun):
    decide(begun)
    text = page_of(begun, Disclosed(words=False, days=False, pictures=False), lambda _: "reader-1")
    for part in ("thin wall", SENIOR.name, "UTC", "<img"):
        assert part not in text
    assert "reader-1" in text
