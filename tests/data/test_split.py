"""Splits: by patient, seeded, as marked, as given."""

from __future__ import annotations

import json

import pytest
from dataset_factories import listed, write_json
from hypothesis import given
from hypothesis import strategies as st

from medseg.config.sections import SplitSection
from medseg.core.errors import ConfigError, DataError
from medseg.data.split import Split, make_split, read_split, write_split

TEN = {f"c{number}": f"p{number}" for number in range(10)}


def parts(split: Split) -> tuple[int, int, int]:
    return len(split.training), len(split.validation), len(split.test)


class TestDrawing:
    def test_shares_are_of_patients(self):
        assert parts(make_split(listed(TEN), SplitSection(validation=0.2, test=0.3))) == (5, 2, 3)

    def test_the_seed_decides(self):
        first, again, other = (make_split(listed(TEN), SplitSection(validation=0.3, seed=seed)) for seed in (1, 1, 2))
        assert first == again != other

    def test_the_order_of_the_cases_does_not(self):
        backwards = listed(dict(reversed(TEN.items())))
        section = SplitSection(validation=0.3, test=0.2)
        assert set(make_split(backwards, section).test) == set(make_split(listed(TEN), section).test)

    def test_a_small_share_is_one_patient(self):
        assert parts(make_split(listed(TEN), SplitSection(validation=0.01))) == (9, 1, 0)

    def test_no_share_is_nobody(self):
        assert parts(make_split(listed(TEN), SplitSection(validation=0.0))) == (10, 0, 0)

    def test_one_patient_trains(self):
        assert parts(make_split(listed({"a": "p", "b": "p"}), SplitSection(validation=0.5, test=0.5))) == (2, 0, 0)

    def test_cases_without_label_are_left_out(self):
        split = make_split(listed(TEN, unlabelled=("c3", "c4")), SplitSection(validation=0.5))
        assert sum(parts(split)) == 8

    @given(
        patients=st.lists(st.integers(0, 12), min_size=1, max_size=40),
        validation=st.floats(0, 0.4),
        test=st.floats(0, 0.4),
        seed=st.integers(0, 5),
    )
    def test_every_case_once_and_no_patient_twice(self, patients, validation, test, seed):
        owners = {f"c{number}": f"p{patient}" for number, patient in enumerate(patients)}
        try:
            split = make_split(listed(owners), SplitSection(validation=validation, test=test, seed=seed))
        except ConfigError:
            assert len(set(patients)) == 2
            return
        assert sorted([*split.training, *split.validation, *split.test]) == sorted(owners)
        groups = [{owners[case] for case in part} for part in (split.training, split.validation, split.test)]
        assert sum(map(len, groups)) == len(set.union(*groups))

    def test_nobody_left_to_train(self):
        with pytest.raises(ConfigError, match="the split leaves no case to train on; ask for smaller shares"):
            make_split(listed(TEN), SplitSection(validation=0.5, test=0.5))

    def test_no_label_at_all(self):
        with pytest.raises(DataError, match="no case of data set 'small' has a label"):
            make_split(listed({"a": "p"}, unlabelled=("a",)), SplitSection())


class TestMarks:
    def test_marks_count(self):
        marks = {"c0": "test", "c1": "validation", "c2": "train"}
        split = make_split(listed(TEN, marks), SplitSection(validation=0.5, test=0.5))
        assert (split.test, split.validation) == (("c0",), ("c1",))
        assert len(split.training) == 8

    def test_validation_is_drawn_from_those_that_train_if_none_is_marked(self):
        split = make_split(listed(TEN, {"c0": "test", "c1": "test"}), SplitSection(validation=0.25))
        assert parts(split) == (6, 2, 2)
        assert split.test == ("c0", "c1")

    def test_a_patients_other_cases_follow_the_mark(self):
        owners = TEN | {"d0": "p0"}
        split = make_split(listed(owners, {"c0": "test"}), SplitSection(validation=0.0))
        assert split.test == ("c0", "d0")

    def test_marks_that_part_a_patient(self):
        owners = {"a": "secret", "b": "secret", "c": "other"}
        with pytest.raises(ConfigError, match=r"cases 'a' \(train\) and 'b' \(test\) are of one patient") as raised:
            make_split(listed(owners, {"a": "train", "b": "test"}), SplitSection(validation=0.0))
        assert "secret" not in str(raised.value)


class TestFiles:
    def given(self, tmp_path, **lists) -> SplitSection:
        return SplitSection(file=write_json(tmp_path / "split.json", lists))

    def test_a_file_counts_and_others_are_left_out(self, tmp_path):
        section = self.given(tmp_path, train=["c1", "c2"], validation=["c3"])
        split = make_split(listed(TEN, {"c1": "test"}), section)
        assert split == Split(("c1", "c2"), ("c3",), ())

    def test_what_is_written_is_read(self, tmp_path):
        split = make_split(listed(TEN), SplitSection(validation=0.2, test=0.2))
        write_split(tmp_path / "split.json", split)
        assert read_split(tmp_path / "split.json") == split
        assert set(json.loads((tmp_path / "split.json").read_text())) == {"train", "validation", "test"}

    @pytest.mark.parametrize(
        ("lists", "message"),
        [
            ({"train": ["c1", "x"]}, r"split\.json: case 'x' is not in the data set"),
            ({"train": ["c1", "c9"]}, r"split\.json: case 'c9' has no label"),
            ({"train": ["c1", "c2"], "test": ["c2"]}, r"split\.json: case 'c2' is named twice"),
            (
                {"train": ["c1"], "validation": ["d1"]},
                r"cases 'c1' \(train\) and 'd1' \(validation\) are of one patient",
            ),
            ({"train": [], "validation": ["c1"]}, "the split leaves no case to train on"),
            ({"validation": ["c1"]}, r"split file: split\.json: train: field required"),
            ({"train": ["c1"], "val": ["c2"]}, r"split file: split\.json: val: extra inputs are not permitted"),
        ],
    )
    def test_a_file_that_does_not_fit(self, tmp_path, lists, message):
        with pytest.raises(ConfigError, match=f"^{message}"):
            make_split(listed(TEN | {"d1": "p1"}, unlabelled=("c9",)), self.given(tmp_path, **lists))

    def test_a_missing_file(self, tmp_path):
        with pytest.raises(ConfigError, match=r"^split file: .*absent\.json' does not exist"):
            make_split(listed(TEN), SplitSection(file=tmp_path / "absent.json"))
