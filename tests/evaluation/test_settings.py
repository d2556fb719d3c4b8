import pytest
from factories import scheme

from medseg.core.errors import InputError, LabelError
from medseg.evaluation.settings import Settings
from medseg.metrics.table import ScoreSettings


def test_every_target_that_is_named_must_be_there():
    Settings(ScoreSettings(tolerances={"one": 2.0}, thin=frozenset({"two"})), ("one",)).check(scheme())
    with pytest.raises(LabelError, match="no structure 'three' to count instances of; there are 'one', 'two'"):
        Settings(instances=("one", "three")).check(scheme())
    with pytest.raises(LabelError, match="no structure 'lung' to score; there are 'one', 'two'"):
        Settings(ScoreSettings(thin=frozenset({"lung"}))).check(scheme())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tolerance": -1.0}, "a tolerance is a distance of 0 or more, got -1"),
        ({"tolerances": {"liver": float("nan")}}, "the tolerance of 'liver' is a distance of 0 or more, got nan"),
        ({"rim": 0.0}, "the width of rims is a number above 0, got 0"),
        ({"beta": float("inf")}, "beta is a number above 0, got inf"),
    ],
)
def test_numbers_that_make_no_sense_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        ScoreSettings(**changes)
