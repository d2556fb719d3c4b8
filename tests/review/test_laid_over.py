import numpy as np
import pytest
from case_factories import ANN, SENIOR, config_of, entropy_file, folder_source

from medseg.core.errors import InputError
from medseg.core.volume import LabelMap
from medseg.review.desk import open_desk
from medseg.review.laid_over import Beside, Kind
from medseg.review.served_file import HEADER_BYTES

HERE = "this tab"


@pytest.fixture
def desk(tmp_path):
    source = folder_source(tmp_path / "data")
    source = source.model_copy(update={"others": {"second model": source.reference}})
    with open_desk(config_of(source, folder=tmp_path / "review", key=tmp_path / "project.key")) as opened:
        yield opened


@pytest.fixture
def seat(desk):
    return desk.sit(HERE, desk.cases(SENIOR)[0].name, SENIOR)


def save(desk, seat):
    grant, labels = seat.sitting.shown.grants.mask, seat.sitting.shown.segmentation.labels
    array = labels.array.copy()
    array[:3, :3] = 1
    desk.drafts.put(grant.case, grant.reader, grant.base, LabelMap(array, labels.geometry))
    return seat.sitting.save()


def test_the_reference_comes_first_then_versions_then_others(desk, seat):
    save(desk, seat)
    assert [one.words for one in seat.over.choices()] == ["reference", "version 0 (prediction)", "second model"]


def test_a_comparison_is_made_once_and_anew_after_a_save(desk, seat):
    reference = Beside(Kind.REFERENCE)
    first = seat.over.comparison(reference)
    assert seat.over.comparison(reference) is first
    assert {row["target"] for row in first.rows} == {"liver", "spleen"}
    assert first.places
    save(desk, seat)
    second = seat.over.comparison(reference)
    assert second.identity != first.identity
    assert not first.map.path.exists()
    assert second.map.path.exists()


def test_a_version_beside_itself_agrees_everywhere(desk, seat):
    save(desk, seat)
    seat.sitting.show(0)
    comparison = seat.over.comparison(Beside(Kind.VERSION, "0", "prediction"))
    assert comparison.places == ()
    values = np.fromfile(comparison.map.path, np.uint8, offset=HEADER_BYTES)
    assert set(values.tolist()) <= {0, 1}


def test_other_models_are_compared_by_name(seat):
    names = [entry.words for entry in seat.over.comparison(Beside(Kind.OTHER, "second model")).legend]
    assert "only second model" in names


def test_what_is_not_there_is_one_sentence(seat):
    with pytest.raises(InputError, match="no outlines by that name"):
        seat.over.comparison(Beside(Kind.OTHER, "third model"))
    with pytest.raises(InputError, match="no version 9"):
        seat.over.comparison(Beside(Kind.VERSION, "9", "x"))


def test_without_a_map_there_is_no_doubt(seat):
    assert seat.over.doubt() is None


def test_doubt_is_about_the_outlines_on_the_screen(seat):
    files = seat.sitting.opened.case.files
    path = entropy_file(files.prediction.with_name("entropy.nii.gz"))
    object.__setattr__(files, "uncertainty", path)  # as if the source had found it
    doubt = seat.over.doubt()
    assert seat.over.doubt() is doubt
    assert doubt.slices
    assert set(doubt.means) == {"liver", "spleen"}
    assert doubt.map.path.exists()
    seat.over.close()
    assert not doubt.map.path.exists()


def test_authors_are_compared_if_there_are_several(desk, seat):
    assert seat.over.between_readers() is None
    save(desk, seat)
    other = desk.sit("another tab", seat.sitting.shown.version.case, ANN)
    save(desk, other)
    matrix = seat.over.between_readers()
    assert set(matrix.readers) == {"prediction", SENIOR.name, ANN.name}
    assert matrix.by_target["liver"].shape == (3, 3)
