"""``medseg convert`` and ``medseg listen`` at the command line."""

from __future__ import annotations

import json

import pytest
from command_line import fails
from factories import geometry, label_map

from medseg.io.formats import read_label_map, write_label_map


@pytest.fixture
def labels(tmp_path):
    write_label_map(tmp_path / "a.nii.gz", label_map(geometry((4, 5, 6))))
    return tmp_path / "a.nii.gz"


def test_a_table_of_voxels_is_shown(medseg, labels, tmp_path):
    done = medseg("convert", labels, "-o", "out/b.seg.nrrd")
    assert done.code == 0
    assert "structure 1" in done.out
    assert (tmp_path / "out" / "b.seg.nrrd").exists()
    again = medseg("convert", "out/b.seg.nrrd", "-o", "c.nii.gz", "--json")
    assert json.loads(again.out)["voxels"] == {
        f"structure {value}": int((read_label_map(labels).array == value).sum()) for value in (1, 2)
    }
    assert (read_label_map(tmp_path / "c.nii.gz").array == read_label_map(labels).array).all()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("nowhere", "-o", "b.nii"), "does not exist"),
        (("a.nii.gz", "-o", "b.dcm"), "name it by --source"),
        (("a.nii.gz", "-o", "b.doc"), "tells no form"),
        (("a.nii.gz", "-o", "a.nii.gz"), "would replace its input"),
        (("a.nii.gz", "-o", "b.dcm", "--source", "a.nii.gz"), "refers to the DICOM series"),
        (("a.nii.gz", "-o", "b.nii", "--labels", "nowhere.json"), "does not exist"),
    ],
)
def test_wrong_requests_are_one_sentence(medseg, labels, arguments, sentence):
    fails(medseg("convert", *arguments), sentence)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "nobody may send to this node"),
        (("--allow", "PACS", "--send-to", "somewhere"), "neither of the form TITLE@HOST:PORT nor a URL"),
        (("--allow", "a title that is far too long"), "is no AE title"),
        (("--allow", "PACS", "--certificate", "x.pem"), "needs its private key"),
        (("--allow", "PACS", "--quiet", "soon"), "is no span of time"),
        (("--allow", "PACS", "--ca", "hospital.pem"), "--ca alone encrypts nothing; add --certificate"),
        (("--allow", "PACS", "--token", "t.txt"), "--token says nothing without --send-to URL"),
        (("--allow", "PACS", "--token", "t.txt", "--send-to", "PACS@pacs.example:104"), "--token says nothing"),
        (("--allow", "PACS", "--send-to", "https://user:secret@pacs.example/dicom-web"), "holds no user, password"),
        (("--allow", "PACS", "--send-to", "PACS@pacs.example:99999"), "port 99999"),
    ],
)
def test_a_node_says_what_it_lacks(medseg, model, arguments, sentence):
    done = medseg("listen", model, "-o", "out", *arguments)
    fails(done, sentence)
    assert "secret" not in done.err
