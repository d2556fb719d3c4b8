"""One page and one table of what became of all studies."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest
from PIL import Image

from medseg.batch import overview
from medseg.batch.manifest import open_manifest
from medseg.batch.outputs import THUMBNAIL
from medseg.batch.overview import overview_page, summary_csv
from medseg.batch.records import Measured, Stage, Status, StudyResult, StudyTask
from medseg.inference.expected import StructureFacts

HOSTILE = "<script>alert(1)</script>\"'&"
COLOURS = {"liver": (200, 30, 30), HOSTILE: (30, 30, 200)}
FACTS = {
    "liver": StructureFacts(
        cases=9, share=1.0, smallest_ml=900, largest_ml=2100, mean_ml=1500, deviation_ml=300, most_components=1,
        border_share=0.0,
    )
}  # fmt: skip


def study(number: int, *flags: str, ml: float | None = 1500.0) -> StudyResult:
    name, series = f"study-{number:03d}", f"series-{number:03d}"
    found = (Measured(series, "liver", ml, 1, flags), Measured(series, HOSTILE, 3.0, 2, ()))
    spent = {Stage.READ: 1.0, Stage.PREDICT: 2.0, Stage.WRITE: 0.5}
    return StudyResult(name, "1", Status.DONE, "", (series,), spent, found)


def failed(number: int, reason: str, status=Status.FAILED) -> StudyResult:
    return StudyResult(f"study-{number:03d}", "1", status, reason)


def shown(folder: Path, *results: StudyResult, waiting: int = 0) -> tuple[str, list[dict[str, str]]]:
    """The page and the rows of the table."""
    with open_manifest(folder, "model") as manifest:
        manifest.begin({"medseg": "0.1", "torch": "9"}, {})
        manifest.expect(StudyTask(f"study-9{number}", (), "1") for number in range(waiting))
        for result in results:
            manifest.record(result)
        text = overview_page(manifest, folder / "studies", COLOURS, FACTS)
        table = summary_csv(manifest, tuple(COLOURS))
    return text, list(csv.DictReader(table.splitlines()))


def draw(folder: Path, number: int) -> Path:
    path = folder / "studies" / f"study-{number:03d}" / f"series-{number:03d}" / THUMBNAIL
    path.parent.mkdir(parents=True)
    Image.new("RGB", (30, 20), (number, 90, 20)).save(path)
    return path


def test_the_page_counts_and_says_what_to_look_at_first(tmp_path):
    for number in (1, 2, 3):
        draw(tmp_path, number)
    text, _ = shown(
        tmp_path,
        study(1),
        study(2, "volume 5000 mL, 900 to 2100 in training", ml=5000.0),
        study(3, "touches the border of the image", "4 parts, at most 1 in training"),
        failed(4, "not enough memory for this study"),
        failed(5, "its modality is MR, the rule wants CT", Status.SKIPPED),
        waiting=2,
    )
    assert "7 studies: 2 waiting, 3 done, 1 skipped, because no series fits the model, 1 failed." in text
    assert "2 studies to look at: something is unlike the training cases." in text
    assert "Median of a study: read 1.0 s, predict 2.0 s, write 0.5 s." in text
    odd = text[text.index("Look at these first") : text.index("Volumes")]
    assert odd.index("study-003") < odd.index("study-002")
    assert "study-002: liver: volume 5000 mL, 900 to 2100 in training" in odd
    assert "liver (900 to 2.1e+03)" in text
    assert text.count("data:image/png;base64,") == 3
    assert "not enough memory for this study" in text
    assert "medseg 0.1, torch 9" in text


def test_nothing_from_outside_becomes_part_of_the_page(tmp_path):
    text, rows = shown(tmp_path, study(1, HOSTILE), failed(2, HOSTILE), failed(3, f"=1+{HOSTILE}", Status.SKIPPED))
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert rows[2]["reason"] == f"'=1+{HOSTILE}"
    assert f"{HOSTILE} mL" in rows[0]


def test_an_empty_batch_is_a_page_and_a_table_too(tmp_path):
    text, rows = shown(tmp_path)
    assert "0 studies: none." in text
    assert "Volumes" not in text
    assert rows == []


def test_the_table_has_a_line_for_each_study_and_series(tmp_path):
    two = study(1, "odd")
    two = StudyResult(
        two.name, "1", Status.DONE, "", ("series-001", "series-x"), two.seconds,
        (*two.measured, Measured("series-x", "liver", None, 0, ("missing",))),
    )  # fmt: skip
    _, rows = shown(tmp_path, two, failed(2, "too\nlong"))
    assert [(row["study"], row["series"], row["status"]) for row in rows] == [
        ("study-001", "series-001", "done"),
        ("study-001", "series-x", "done"),
        ("study-002", "", "failed"),
    ]
    assert [row["liver mL"] for row in rows] == ["1500", "", ""]
    assert [row["look at"] for row in rows] == ["liver: odd", "liver: missing", ""]
    assert rows[0]["seconds"] == "3.5"
    assert rows[2]["reason"] == "too long"


def test_pictures_that_are_not_there_or_damaged_are_left_out(tmp_path):
    draw(tmp_path, 1).write_bytes(b"no picture")
    path = draw(tmp_path, 2)
    path.write_bytes(path.read_bytes()[:200])
    draw(tmp_path, 3)
    text, _ = shown(tmp_path, *map(study, range(1, 5)))
    assert text.count("data:image/png;base64,") == 1


def test_a_large_batch_keeps_its_page_small(tmp_path, monkeypatch):
    for name in ("_MOST_ROWS", "_MOST_ODD", "_MOST_OTHERS", "_MOST_DOTS"):
        monkeypatch.setattr(overview, name, 3)
    for number in range(8):
        draw(tmp_path, number)
    text, rows = shown(tmp_path, *(study(number, *["odd"] * (number < 4)) for number in range(8)))
    assert len(rows) == 8
    assert "Pictures of the first 3." in text
    assert "2 of 4, spread evenly." in text
    assert text.count("data:image/png;base64,") == 5
    assert "table, the first 3 of 8" in text
    assert len(re.findall(r"<circle", text)) == 6


@pytest.mark.parametrize("ml", [None, 0.0])
def test_targets_without_a_volume_have_no_dot(tmp_path, ml):
    text, _ = shown(tmp_path, study(1, ml=ml))
    assert len(re.findall(r"<circle", text)) == (1 if ml is None else 2)
