"""Folds: by patient, even, seeded, as given, or as nnU-Net draws them."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest
from dataset_factories import listed, write_json
from hypothesis import given
from hypothesis import strategies as st
from sklearn.model_selection import KFold

from medseg.config.sections import SplitSection
from medseg.core.errors import ConfigError
from medseg.data.folds import Folds, make_folds, nnunet_folds, read_folds, write_folds
from medseg.data.split import make_split

TEN = {f"c{number}": f"p{number}" for number in range(10)}
SECTION = SplitSection()


def sizes(folds: Folds) -> list[int]:
    return [len(validation) for _, validation in folds.parts]


class TestDealing:
    @given(
        patients=st.lists(st.integers(0, 12), min_size=12, max_size=60),
        count=st.integers(2, 5),
        test=st.floats(0, 0.3),
        seed=st.integers(0, 5),
    )
    def test_every_case_validates_once_and_no_patient_is_on_two_sides(self, patients, count, test, seed):
        owners = {f"c{number}": f"p{patient}" for number, patient in enumerate(patients)}
        section = SplitSection(test=test, seed=seed)
        try:
            folds = make_folds(listed(owners), section, count)
        except ConfigError as error:
            assert "patients, there are" in str(error)  # noqa: PT017 - too few of them were drawn
            return
        assert sorted([*folds.validated, *folds.test]) == sorted(owners)
        assert folds.test == make_split(listed(owners), section).test
        for fold in range(count):
            split = folds.split(fold)
            groups = [{owners[case] for case in part} for part in (split.training, split.validation, split.test)]
            assert sum(map(len, groups)) == len(set.union(*groups))
            assert sorted([*split.training, *split.validation, *split.test]) == sorted(owners)
        heaviest = max(Counter(owners[case] for case in folds.validated).values())
        assert max(sizes(folds)) - min(sizes(folds)) <= heaviest

    @pytest.mark.parametrize(("count", "expected"), [(5, [2] * 5), (3, [4, 3, 3]), (2, [5, 5])])
    def test_patients_of_one_case_make_folds_that_differ_by_one(self, count, expected):
        assert sorted(sizes(make_folds(listed(TEN), SECTION, count)), reverse=True) == expected

    def test_a_patient_of_many_cases_does_not_unbalance_them(self):
        owners = {f"big{number}": "big" for number in range(4)} | {f"c{number}": f"p{number}" for number in range(8)}
        assert sizes(make_folds(listed(owners), SECTION, 3)) == [4, 4, 4]

    def test_the_seed_decides_and_the_order_of_the_cases_does_not(self):
        first, again, other = (make_folds(listed(TEN), SplitSection(seed=seed), 5) for seed in (1, 1, 2))
        assert first == again != other
        backwards = make_folds(listed(dict(reversed(TEN.items()))), SplitSection(seed=1), 5)
        assert [set(validation) for _, validation in backwards.parts] == [set(v) for _, v in first.parts]

    def test_there_are_five_unless_asked_otherwise(self):
        assert len(make_folds(listed(TEN), SECTION, None)) == 5

    def test_marked_test_cases_are_in_no_fold(self):
        folds = make_folds(listed(TEN, {"c0": "test", "c1": "validation"}), SplitSection(), 3)
        assert folds.test == ("c0",)
        assert "c0" not in folds.cases
        assert "c1" in folds.validated

    def test_cases_of_a_split_file_are_dealt_out_and_its_test_part_is_kept_aside(self, tmp_path):
        lists = {"train": ["c1", "c2", "c3"], "validation": ["c4"], "test": ["c5"]}
        folds = make_folds(listed(TEN), SplitSection(file=write_json(tmp_path / "split.json", lists)), 2)
        assert sorted(folds.validated) == ["c1", "c2", "c3", "c4"]
        assert folds.test == ("c5",)

    @pytest.mark.parametrize(("count", "message"), [(1, "needs two folds or more"), (11, "11 folds need 11 patients")])
    def test_folds_that_cannot_be_made(self, count, message):
        with pytest.raises(ConfigError, match=message):
            make_folds(listed(TEN), SECTION, count)


class TestNnunet:
    @pytest.mark.parametrize(("cases", "count"), [(10, 5), (23, 5), (260, 5), (9, 3)])
    def test_its_folds_are_those_of_scikit_learn(self, cases, count):
        names = np.array(sorted(f"case_{number:03d}" for number in range(cases)))
        splits = KFold(count, shuffle=True, random_state=12345).split(names)
        assert nnunet_folds(names.tolist(), count) == [set(names[validation]) for _, validation in splits]

    def test_they_are_drawn_where_the_section_says_so(self):
        folds = make_folds(listed(TEN), SplitSection(folds="nnunet"), 5)
        assert [set(validation) for _, validation in folds.parts] == nnunet_folds(TEN, 5)

    def test_they_are_refused_where_they_part_a_patient(self):
        owners = dict.fromkeys(TEN, "secret")
        message = r"fold 0: cases .* are of one patient; keep a patient in one part, or set data.split.folds=patients"
        with pytest.raises(ConfigError, match=message) as raised:
            make_folds(listed(owners | {f"d{n}": f"q{n}" for n in range(5)}), SplitSection(folds="nnunet"), 5)
        assert "secret" not in str(raised.value)


class TestFiles:
    def section(self, tmp_path, *parts, **more) -> SplitSection:
        content = {"folds": [{"train": t, "validation": v} for t, v in parts], **more} if more else [
            {"train": t, "val": v} for t, v in parts
        ]  # fmt: skip
        return SplitSection(file=write_json(tmp_path / "splits_final.json", content))

    def test_folds_of_nnunet_are_taken_as_they_are(self, tmp_path):
        section = self.section(tmp_path, (["c1", "c2"], ["c3"]), (["c1", "c3"], ["c2"]))
        expected = Folds(((("c1", "c2"), ("c3",)), (("c1", "c3"), ("c2",))))
        assert make_folds(listed(TEN), section, None) == make_folds(listed(TEN), section, 2) == expected
        assert expected.validated == ("c3", "c2")  # c1 trains in both
        assert sorted(expected.cases) == ["c1", "c2", "c3"]

    def test_what_is_written_is_read(self, tmp_path):
        folds = make_folds(listed(TEN), SplitSection(test=0.2), 4)
        write_folds(tmp_path / "folds.json", folds)
        assert read_folds(tmp_path / "folds.json") == folds
        assert make_folds(listed(TEN), SplitSection(file=tmp_path / "folds.json"), None) == folds
        assert set(json.loads((tmp_path / "folds.json").read_text())) == {"folds", "test"}

    @pytest.mark.parametrize(
        ("parts", "count", "message"),
        [
            ([(["c1"], ["c2"]), (["c2"], ["c1"])], 5, "holds 2 folds, 5 were asked for; pass --folds 2 or all"),
            ([(["c1"], ["c2"]), (["c3"], ["c2"])], None, "case 'c2' validates in two folds"),
            ([(["c1"], ["c2"]), (["c2"], ["x"])], None, "fold 1: case 'x' is not in the data set"),
            ([(["c1", "c2"], ["c2"]), (["c2"], ["c1"])], None, "fold 0: case 'c2' is named twice"),
            ([(["c1"], ["c2"]), (["c2"], ["d1", "c1"]), (["d1"], ["c3"])], None, None),
            (
                [(["c1"], ["d1"]), (["c2"], ["c1"])],
                None,
                r"fold 0: cases 'c1' \(train\) and 'd1' \(validation\)",
            ),
            ([(["c1"], ["c2"])], None, "folds: .* at least 2 items"),
            ([(["c1"], []), (["c2"], ["c1"])], None, r"folds\.0\.val.* at least 1 item"),
        ],
    )
    def test_a_file_that_does_not_fit(self, tmp_path, parts, count, message):
        section, dataset = self.section(tmp_path, *parts), listed(TEN | {"d1": "p1"})
        if message is None:
            assert len(make_folds(dataset, section, count)) == 3
            return
        with pytest.raises(ConfigError, match=message):
            make_folds(dataset, section, count)

    def test_one_network_is_not_trained_on_a_file_of_folds(self, tmp_path):
        section = self.section(tmp_path, (["c1"], ["c2"]), (["c2"], ["c1"]))
        with pytest.raises(ConfigError, match=r"splits_final\.json holds folds, not one split; train them"):
            make_split(listed(TEN), section)

    def test_a_missing_file(self, tmp_path):
        with pytest.raises(ConfigError, match=r"split file: .*absent\.json' does not exist"):
            make_folds(listed(TEN), SplitSection(file=tmp_path / "absent.json"), None)
