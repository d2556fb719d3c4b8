import re

import pytest
from dicom_factories import Grid, write_series

from medseg.core.case import CaseId
from medseg.core.errors import InputError, ReadError
from medseg.data.dataset import CaseFiles, ImageFile
from medseg.evaluation.attributes import AuditOptions, gather_attributes, known_attributes
from medseg.evaluation.pairs import Pair


def pairs(*names, **attributes):
    """Cases of one data set; the patient of ``a1`` is ``a``."""
    return [_pair(name, {key: values[name] for key, values in attributes.items() if name in values}) for name in names]


def _pair(name, attributes, images=None):
    files = CaseFiles(CaseId(name), images or {}, None, name[0], attributes)
    return Pair(CaseId(name), name[0], None, None, files)


def table(tmp_path, text):
    path = tmp_path / "attributes.csv"
    path.write_text(text)
    return AuditOptions(path)


def test_the_manifest_tells_by_itself():
    found = gather_attributes(pairs("a1", "b1", sex={"a1": "F", "b1": " M "}, site={"a1": "N/A"}), AuditOptions())
    assert found == {"sex": {"a1": "F", "b1": "M"}}


def test_a_table_goes_by_case_and_counts_before_the_manifest(tmp_path):
    options = table(tmp_path, "case,sex,scanner,label,image.MR\na1,M,X,l.nii,i.nii\n,,,,\nb1,,Y,,\nz9,F,Z,,\n")
    found = gather_attributes(pairs("a1", "b1", sex={"a1": "F", "b1": "F"}), options)
    assert found == {"sex": {"a1": "M", "b1": "F"}, "scanner": {"a1": "X", "b1": "Y"}}


def test_a_table_may_go_by_patient(tmp_path):
    options = table(tmp_path, "patient,sex\na,F\nb,M\n")
    assert gather_attributes(pairs("a1", "a2", "b1"), options) == {"sex": {"a1": "F", "a2": "F", "b1": "M"}}


@pytest.mark.parametrize("name", ["age", "Patient Age", "age_years"])
def test_ages_are_parted_into_bands(tmp_path, name):
    options = table(tmp_path, f"case,{name}\na1,45\nb1,079Y\nc1,8\nd1,030M\n")
    found = gather_attributes(pairs("a1", "b1", "c1", "d1"), options)
    assert found == {name: {"a1": "40 to 59", "b1": "60 to 79", "c1": "under 20", "d1": "under 20"}}


def test_ages_that_are_bands_already_stay(tmp_path):
    options = table(tmp_path, "case,age\na1,18-29\nb1,90+\n")
    assert gather_attributes(pairs("a1", "b1"), options) == {"age": {"a1": "18-29", "b1": "90+"}}


def test_one_age_in_words_leaves_the_others_in_their_bands(tmp_path):
    options = table(tmp_path, "case,age\na1,63\nb1,90+\n")
    assert gather_attributes(pairs("a1", "b1"), options) == {"age": {"a1": "60 to 79", "b1": "90+"}}


def test_other_numbers_have_the_bands_that_the_user_names(tmp_path):
    table(tmp_path, "case,bmi,age,site\na1,24.5,30,1\nb1,31,50,2\n")
    bands = {"bmi": (18.5, 25.0, 30.0), "age": (40.0,)}
    found = gather_attributes(pairs("a1", "b1"), AuditOptions(tmp_path / "attributes.csv", bands=bands))
    assert found == {
        "bmi": {"a1": "18.5 to under 25", "b1": "30 and over"}, "age": {"a1": "under 40", "b1": "40 and over"},
        "site": {"a1": "1", "b1": "2"},
    }  # fmt: skip


def test_only_the_attributes_that_are_asked_for():
    cases = pairs("a1", sex={"a1": "F"}, site={"a1": "X"})
    assert gather_attributes(cases, AuditOptions(names=("site",))) == {"site": {"a1": "X"}}
    with pytest.raises(InputError, match="no case has the attribute 'age'; there are 'sex', 'site'"):
        gather_attributes(cases, AuditOptions(names=("age",)))
    with pytest.raises(InputError, match="no case has the attribute 'bmi'; there are none"):
        gather_attributes([], AuditOptions(bands={"bmi": (20.0,)}))


def test_headers_tell_in_bands(tmp_path):
    changes = {"PatientSex": "F", "PatientAge": "047Y", "Manufacturer": "SIEMENS", "MagneticFieldStrength": "1.494"}
    write_series(tmp_path / "a", Grid(), **changes)
    (tmp_path / "a" / "notes.txt").write_text("no DICOM")
    (tmp_path / "b.nii").touch()
    cases = [
        _pair("a1", {"sex": "M"}, {"MR": ImageFile(tmp_path / "a")}),
        _pair("b1", {}, {"MR": ImageFile(tmp_path / "b.nii")}),
        _pair("c1", {}),
    ]
    found = gather_attributes(cases, AuditOptions(headers=True))
    assert found["sex"] == {"a1": "M"}  # what the manifest says counts before the header
    assert found["age_band"] == {"a1": "40-49"}
    assert found["manufacturer"] == {"a1": "Siemens"}
    assert gather_attributes(cases, AuditOptions()) == {"sex": {"a1": "M"}}
    known = known_attributes(pair.files for pair in cases)
    assert known == {name: by_case for name, by_case in found.items() if by_case}


def test_of_several_series_the_one_that_is_named_tells(tmp_path):
    write_series(tmp_path / "a" / "1", Grid(), SeriesInstanceUID="1.2.3", PatientSex="F")
    write_series(tmp_path / "a" / "2", Grid(), SeriesInstanceUID="1.2.4", PatientSex="M")
    first = min((tmp_path / "a" / "1").iterdir())
    (tmp_path / "a" / "0.dcm").write_bytes(first.read_bytes()[:300])  # damaged
    found = [
        gather_attributes(
            [_pair("a1", {}, {"CT": ImageFile(tmp_path / "a", series=series)})], AuditOptions(headers=True)
        )
        for series in ("1.2.3", "1.2.4", "1.2.5")
    ]
    assert [one.get("sex") for one in found] == [{"a1": "F"}, {"a1": "M"}, None]


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("", ReadError, "no column 'case' or 'patient'; the columns are missing"),
        ("name,sex\na1,F\n", ReadError, "no column 'case' or 'patient'; the columns are name, sex"),
        ("case,sex,sex\na1,F,F\n", ReadError, "several columns have one name"),
        ("case,sex\n", ReadError, "each line needs 2 cells as the header has, and there must be one"),
        ("case,sex\na1\n", ReadError, "each line needs 2 cells"),
        ('case,sex\na1,"F\n', ReadError, "not a valid CSV table at line 2"),
        ("case,sex\na1,F\na1,M\n", InputError, "two rows of one case differ; keep one of them"),
        ("case,sex\nz,F\n", InputError, "no row names a case that has a prediction and a reference"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(tmp_path, text, error, message):
    with pytest.raises(error, match=f"^attributes.csv: {re.escape(message)}"):
        gather_attributes(pairs("a1"), table(tmp_path, text))


def test_bands_need_numbers(tmp_path):
    table(tmp_path, "case,bmi\na1,MARKER\n")
    with pytest.raises(InputError, match="'bmi' holds a value that is no number, so it has no bands") as caught:
        gather_attributes(pairs("a1"), AuditOptions(tmp_path / "attributes.csv", bands={"bmi": (20.0,)}))
    assert "MARKER" not in str(caught.value)
    for edges in ((), (30.0, 20.0), (20.0, 20.0)):
        with pytest.raises(InputError, match="bands of 'bmi' need one number or more, each larger"):
            AuditOptions(bands={"bmi": edges})
