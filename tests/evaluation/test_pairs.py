import pytest
from factories import scheme

from medseg.core.case import CaseId
from medseg.core.errors import InputError, ReadError
from medseg.data.dataset import CaseFiles, Dataset
from medseg.evaluation.pairs import label_files, match


def touch(folder, *names):
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).touch()
    return folder


def dataset(tmp_path, **labels):
    cases = tuple(CaseFiles(CaseId(name), {}, label, f"patient of {name}") for name, label in labels.items())
    return Dataset("set", tmp_path, ("MR",), scheme(), cases)


def test_files_match_by_name_whatever_their_format(tmp_path):
    predicted = touch(tmp_path / "predicted", "a.nii.gz", "b.mha", "c.seg.nrrd")
    reference = touch(tmp_path / "reference", "a.nrrd", "b.nii", "c.nii.gz", "labels.json", ".hidden.nii.gz")
    matching = match(predicted, reference)
    assert [(pair.case, pair.patient, pair.predicted.name, pair.reference.name) for pair in matching.pairs] == [
        ("a", "a", "a.nii.gz", "a.nrrd"), ("b", "b", "b.mha", "b.nii"), ("c", "c", "c.seg.nrrd", "c.nii.gz")
    ]  # fmt: skip
    assert (matching.without_prediction, matching.without_reference) == ({}, ())


def test_what_has_no_partner_is_told(tmp_path):
    predicted = touch(tmp_path / "predicted", "a.png", "stranger.png")
    reference = touch(tmp_path / "reference", "a.png", "lost.png")
    matching = match(predicted, reference)
    assert [pair.case for pair in matching.pairs] == ["a"]
    assert matching.without_prediction == {"lost": "no prediction of this name"}
    assert matching.without_reference == ("stranger",)


def test_what_predict_lays_beside_a_prediction_is_none(tmp_path):
    names = ("a.nii.gz", "a_probabilities.nii.gz", "a_entropy.nii.gz", "a_preview.png", "b.nii", "b_probabilities.nrrd")
    predicted = touch(tmp_path / "predicted", *names, "c_entropy.nii.gz")
    reference = touch(tmp_path / "reference", "a.nii", "b.nii", "c_entropy.nii", "d.nii")
    matching = match(predicted, reference)
    assert [(pair.case, pair.probabilities and pair.probabilities.name) for pair in matching.pairs] == [
        ("a", "a_probabilities.nii.gz"), ("b", "b_probabilities.nrrd"), ("c_entropy", None)
    ]  # fmt: skip
    assert matching.without_reference == ()
    (pair,) = match(predicted / "a.nii.gz", reference / "d.nii").pairs
    assert pair.probabilities == predicted / "a_probabilities.nii.gz"


def test_two_files_are_a_pair(tmp_path):
    folder = touch(tmp_path / "both", "model.nii.gz", "expert.nii.gz")
    (pair,) = match(folder / "model.nii.gz", folder / "expert.nii.gz").pairs
    assert (pair.case, pair.predicted.name) == ("expert", "model.nii.gz")


def test_one_prediction_is_looked_up_in_a_folder(tmp_path):
    reference = touch(tmp_path / "reference", "a.nii", "b.nii")
    matching = match(touch(tmp_path / "predicted", "a.nii") / "a.nii", reference)
    assert [pair.case for pair in matching.pairs] == ["a"]
    assert matching.without_prediction == {}  # nobody asked for b


def test_a_data_set_gives_patients_and_images(tmp_path):
    reference = dataset(tmp_path, a=tmp_path / "a.nii", b=tmp_path / "b.nii", unlabelled=None)
    matching = match(touch(tmp_path / "predicted", "a.nii.gz", "unlabelled.nii.gz"), reference)
    (pair,) = matching.pairs
    assert (pair.patient, pair.reference, pair.files) == ("patient of a", tmp_path / "a.nii", reference.cases[0])
    assert list(matching.without_prediction) == ["b"]
    assert matching.without_reference == ("unlabelled",)


def test_predictions_csv_links_outputs_to_cases(tmp_path):
    predicted = touch(tmp_path / "predicted", "series-01.nii.gz", "b.nii.gz", "c_d.nii.gz", "series-01_preview.png")
    rows = [
        "case,input,status,reason,output", "a,a,done,,series-01.nii.gz", ",,done,,b.nii.gz", "c_d,c/d,done,,c_d.nii.gz",
        "e,e,failed,out of memory,", "series-02,series-02,skipped,another modality,", ",,,,",
    ]  # fmt: skip
    (predicted / "predictions.csv").write_text("\n".join(rows))
    reference = dataset(tmp_path, **dict.fromkeys(("a", "b", "c/d", "e", "f"), tmp_path / "x.nii"))
    matching = match(predicted, reference)
    assert [(pair.case, pair.predicted.name) for pair in matching.pairs] == [
        ("a", "series-01.nii.gz"), ("b", "b.nii.gz"), ("c/d", "c_d.nii.gz")
    ]  # fmt: skip
    assert matching.without_prediction == {"e": "failed: out of memory", "f": "no prediction of this name"}
    assert matching.without_reference == ()


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        (b"case,status\na,done\n", InputError, "predictions.csv has no column 'output'"),
        (b"", InputError, "has no column 'output'"),
        (b"case,output\na,../elsewhere.nii.gz\n", InputError, "leaves its folder"),
        (b"case,output\na,/etc/passwd\n", InputError, "leaves its folder"),
        (b"\xff\xfe\x00", ReadError, "predictions.csv"),
        (b"case,output\na," + b"x" * 200_000, InputError, "predictions.csv is no table"),
        (b"case,output\na,one.nii\na,two.nii\n", InputError, "two predictions belong to case 'a'"),
    ],
)
def test_a_hostile_or_broken_table_is_refused(tmp_path, content, error, message):
    predicted = touch(tmp_path / "predicted")
    (predicted / "predictions.csv").write_bytes(content)
    with pytest.raises(error, match=message):
        match(predicted, dataset(tmp_path, a=tmp_path / "a.nii"))


def test_two_files_of_one_name_are_refused(tmp_path):
    folder = touch(tmp_path / "predicted", "a.nii", "a.mha")
    with pytest.raises(InputError, match=r"'predicted' holds two files for 'a': a.mha and a.nii"):
        label_files(folder)


def test_nothing_in_common_says_what_there_is(tmp_path):
    predicted = touch(tmp_path / "predicted", "x.nii", "y.nii")
    reference = touch(tmp_path / "reference", *(f"{name}.nii" for name in "abcd"))
    message = r"no prediction has a reference of its name: 2 predictions \(x, y\), 4 references \(a, b, c, …\)"
    with pytest.raises(InputError, match=message):
        match(predicted, reference)
    with pytest.raises(InputError, match="no predictions, 4 references"):
        match(touch(tmp_path / "empty"), reference)


@pytest.mark.parametrize("missing", ["predicted", "reference"])
def test_a_wrong_path_is_named(tmp_path, missing):
    paths = {name: touch(tmp_path / name, "a.nii") for name in ("predicted", "reference")} | {
        missing: tmp_path / "nowhere"
    }
    with pytest.raises(InputError, match="nowhere' does not exist"):
        match(paths["predicted"], paths["reference"])
