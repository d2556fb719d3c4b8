"""Which series a model takes, and the reason that each of the others gets."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from batch_studies import FITS, FRAME_UID, datasets
from dicom_factories import Grid, enhanced_dataset, voxels, write_files

from medseg.batch.select import Choice, Rules, choose, plane_of
from medseg.config.selection import Plane, SelectionSection, SeriesRule
from medseg.core.errors import ConfigError
from medseg.core.geometry import Geometry
from medseg.data.joining import Joining
from medseg.inference.bundle import TrainingFacts
from medseg.io.studies import Series, find_series

CT = TrainingFacts.from_grids(("CT",), [Geometry.from_spacing((16, 16, 16))])
ANY = TrainingFacts.from_grids(("image",), [Geometry.from_spacing((16, 16, 16))])


def series_in(folder: Path, **descriptions: dict[str, object]) -> list[Series]:
    """A series for each name, which is its description; with what else it is to be."""
    for name, how in descriptions.items():
        write_files(folder / name, datasets(**({"SeriesDescription": name.replace("_", " ")} | how)))
    return list(find_series(folder).series)


def chosen(series: list[Series], facts=CT, which="best", **rules: SeriesRule) -> Choice:
    return choose(series, Rules(facts, SelectionSection(channels=rules)), which)


def names(choice: Choice) -> list[tuple[str, ...]]:
    return [tuple(one.description for one in match.series) for match in choice.matches]


def reasons(choice: Choice) -> dict[str, str]:
    return {one.series.description: one.reason for one in choice.considered}


def test_a_series_of_the_models_modality_and_size_is_taken(tmp_path):
    choice = chosen(series_in(tmp_path, a={}))
    assert names(choice) == [("a",)]
    assert [one.channels for one in choice.considered] == [("CT",)]
    assert reasons(choice) == {"a": ""}


LEFT_OUT = {
    "modality": ({"Modality": "MR"}, SeriesRule(), "its modality is MR, the rule wants CT"),
    "no modality": ({"Modality": ""}, SeriesRule(), "its modality is not given, the rule wants CT"),
    "own modality": ({}, SeriesRule(modality="PT"), "its modality is CT, the rule wants PT"),
    "body part": ({}, SeriesRule(body_part=("BRAIN", "HEAD")), "its body part is not BRAIN or HEAD"),
    "plane": ({}, SeriesRule(plane="coronal"), "its slices are axial, the rule wants coronal"),
    "words": ({}, SeriesRule(words=("thin", "bone kernel", "lung")), "its description lacks 'bone kernel', 'lung'"),
    "without": ({}, SeriesRule(without=("bone", "THIN")), "its description holds 'THIN'"),
    "few slices": ({}, SeriesRule(fewest_slices=11), "it has 10 slices, the rule wants 11"),
    "size": ({"grid": replace(FITS, columns=60)}, SeriesRule(), "it measures 60 x 15 x 15 mm"),
    "localizer": ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, SeriesRule(), "a localizer"),
    "scout": ({"ImageType": ["DERIVED", "SECONDARY", "SCOUT"]}, SeriesRule(), "a localizer"),
    "colour": ({"PhotometricInterpretation": "RGB"}, SeriesRule(), "a colour image; only greyscale is read"),
}


@pytest.mark.parametrize("what", LEFT_OUT)
def test_what_does_not_fit_is_left_out_with_the_reason(tmp_path, what):
    how, rule, reason = LEFT_OUT[what]
    choice = chosen(series_in(tmp_path, axial_thin=how), CT=rule)
    assert choice.matches == ()
    assert choice.reason.startswith(reason)
    assert not choice.is_damaged


TAKEN = {
    "body part in small letters": ({"BodyPartExamined": "BRAIN"}, SeriesRule(body_part=("Head", "brain"))),
    "no body part": ({"BodyPartExamined": ""}, SeriesRule(body_part=("BRAIN",))),
    "plane": ({}, SeriesRule(plane="axial")),
    "words in capitals and parts": ({}, SeriesRule(words=("THIN", "axial"))),
    "part of a word is none": ({}, SeriesRule(without=("thi", "ax"))),
    "as many slices": ({}, SeriesRule(fewest_slices=10)),
}


@pytest.mark.parametrize("what", TAKEN)
def test_what_fits_is_taken(tmp_path, what):
    how, rule = TAKEN[what]
    assert chosen(series_in(tmp_path, axial_thin=how), CT=rule).matches


def test_any_size_takes_what_is_too_large(tmp_path):
    series = series_in(tmp_path, a={"grid": replace(FITS, columns=60)})
    assert choose(series, Rules(CT, SelectionSection(any_size=True))).matches


@pytest.mark.parametrize(
    ("axes", "plane"), [("RAS", Plane.AXIAL), ("LPI", Plane.AXIAL), ("RSA", Plane.CORONAL), ("ASL", Plane.SAGITTAL)]
)
def test_planes(axes, plane):
    assert plane_of(Geometry.from_spacing((4, 4, 4)).reoriented(axes)) is plane


def test_a_channel_whose_name_tells_nothing_takes_any_image_but_no_result(tmp_path):
    series = series_in(tmp_path, a={"Modality": "US"}, b={"Modality": "SEG"}, c={"Modality": "RTDOSE"})
    choice = chosen(series, ANY)
    assert names(choice) == [("a",)]
    assert reasons(choice) == {"a": "", "b": "a segmentation, not an image", "c": "a dose, not an image"}


def test_the_best_is_original_like_the_training_and_of_many_slices(tmp_path):
    series = series_in(
        tmp_path,
        derived={"ImageType": ["DERIVED", "PRIMARY"]},
        coarse={"grid": replace(FITS, spacing=(1.0, 1.25, 2.9))},
        fewer={"grid": replace(FITS, slices=8)},
        best={},
    )
    choice = chosen(series, which="all")
    assert names(choice) == [("best",), ("fewer",), ("coarse",), ("derived",)]
    choice = chosen(series)
    assert names(choice) == [("best",)]
    assert set(reasons(choice).values()) == {"", "fits, but another series fits better"}


def test_of_two_alike_the_same_one_is_taken_every_time(tmp_path):
    series = series_in(tmp_path, a={}, b={})
    assert names(chosen(series)) == names(chosen(series[::-1]))


SEQUENCES = ("T1", "T1ce", "T2", "FLAIR")
MR = TrainingFacts.from_grids(SEQUENCES, [Geometry.from_spacing((16, 16, 16))])
HEAD = {"Modality": "MR"}
T1 = {"T1": SeriesRule(words=("t1",), without=("post",)), "T1ce": SeriesRule(words=("t1", "post"))}


def test_channels_find_their_series_by_the_words_of_their_names(tmp_path):
    series = series_in(tmp_path, t2_tse=HEAD, ax_t1=HEAD, FLAIR=HEAD, t1ce=HEAD, diffusion=HEAD)
    choice = chosen(series, MR)
    assert names(choice) == [("ax t1", "t1ce", "t2 tse", "FLAIR")]
    assert reasons(choice)["diffusion"].startswith("as T1: its description lacks 't1'; as T1ce: ")


def test_a_word_that_may_not_be_there_tells_series_apart(tmp_path):
    series = series_in(tmp_path, t1_post=HEAD, t1=HEAD, t2=HEAD, FLAIR=HEAD)
    assert names(chosen(series, MR, **T1)) == [("t1", "t1 post", "t2", "FLAIR")]


def test_a_series_that_would_serve_several_is_left_to_the_one_that_has_no_other(tmp_path):
    series = series_in(tmp_path, t1=HEAD, t1_post=HEAD, t2_FLAIR=HEAD, t2=HEAD)
    for order in (series, series[::-1]):
        assert names(chosen(order, MR, T1ce=T1["T1ce"])) == [("t1", "t1 post", "t2", "t2 FLAIR")]


def test_a_channel_without_a_series_leaves_the_study_out(tmp_path):
    choice = chosen(series_in(tmp_path, t1=HEAD, t1_post=HEAD, t2=HEAD), MR, **T1)
    assert choice.matches == ()
    assert reasons(choice)["t2"] == "fits as T2, but was not needed, or no series on its grid fits the others"


MOVED = {"Modality": "MR", "grid": replace(FITS, origin=(0.0, 0.0, 0.0))}
PAIR = TrainingFacts.from_grids(("T1", "T2"), [Geometry.from_spacing((16, 16, 16))])


def test_channels_lie_on_one_grid_also_if_the_best_of_one_does_not(tmp_path):
    colour = HEAD | {"PhotometricInterpretation": "RGB"}
    series = series_in(
        tmp_path, t1_colour=colour, t1_far=MOVED | {"grid": replace(MOVED["grid"], slices=11)}, t1=HEAD, t2=HEAD
    )
    assert names(chosen(series, PAIR)) == [("t1", "t2")]
    assert chosen([one for one in series if one.description != "t1"], PAIR).matches == ()


def test_each_frame_of_reference_gives_one_set_of_channels(tmp_path):
    other = HEAD | {"FrameOfReferenceUID": "1.2.3.4"}
    far = MOVED | {"FrameOfReferenceUID": "1.2.3.4"}
    series = series_in(tmp_path, t1=HEAD, t2=HEAD, t1_b=other, t2_b=other, t1_c=far, t2_c=far)
    choice = chosen(series, PAIR, which="all")
    assert len(choice.matches) == 2
    assert {match.series[0].frame_of_reference_uid for match in choice.matches} == {FRAME_UID, "1.2.3.4"}
    assert len(chosen(series, PAIR).matches) == 1


class TestOptionalChannels:
    def choice(self, series, *optional, **how) -> Choice:
        return choose(series, Rules(PAIR, SelectionSection(), Joining(frozenset(optional))), **how)

    def test_one_may_be_missing(self, tmp_path):
        series = series_in(tmp_path, t1=HEAD, other=HEAD)
        choice = self.choice(series, "T2")
        assert names(choice) == [("t1",)]
        assert choice.matches[0].channels == ("T1",)
        assert self.choice(series, "T1").matches == ()

    def test_but_all_may_not(self, tmp_path):
        assert self.choice(series_in(tmp_path, other=HEAD), "T1", "T2").matches == ()

    def test_the_grid_that_has_most_is_taken(self, tmp_path):
        alone = MOVED | {"grid": replace(MOVED["grid"], slices=11)}
        series = series_in(tmp_path, t1_alone=alone, t1=HEAD, t2=HEAD)
        assert names(self.choice(series, "T2")) == [("t1", "t2")]
        assert names(self.choice([one for one in series if one.description != "t2"], "T2")) == [("t1 alone",)]

    def test_what_is_needed_chooses_first(self, tmp_path):
        series = series_in(tmp_path, t1_t2=HEAD)
        (match,) = self.choice(series, "T1").matches
        assert match.channels == ("T2",)


class TestReference:
    ONTO_T2 = Joining(reference="T2")
    COARSE = HEAD | {"grid": Grid(columns=14, rows=12, slices=3, spacing=(1.0, 1.25, 5.0), tilt_degrees=(12, -25, 7))}

    def choice(self, series, joining=ONTO_T2, facts=PAIR) -> Choice:
        return choose(series, Rules(facts, SelectionSection(), joining))

    def test_others_may_lie_on_another_grid_and_the_reference_comes_first(self, tmp_path):
        series = series_in(tmp_path, t1=self.COARSE, t2=HEAD)
        assert chosen(series, PAIR).matches == ()
        (match,) = self.choice(series).matches
        assert (match.channels, [one.description for one in match.series]) == (("T2", "T1"), ["t2", "t1"])

    def test_only_the_reference_is_compared_with_the_training_images(self, tmp_path):
        series = series_in(tmp_path, t1=HEAD, t2=self.COARSE)
        assert self.choice(series).matches == ()
        assert names(self.choice(series, Joining(reference="T1"))) == [("t1", "t2")]

    def test_one_that_shares_the_grid_is_preferred(self, tmp_path):
        series = series_in(tmp_path, t1_a=self.COARSE, t1_b=HEAD, t1_c=self.COARSE, t2=HEAD)
        assert names(self.choice(series)) == [("t2", "t1 b")]

    def test_one_that_lies_elsewhere_does_not_serve(self, tmp_path):
        far = HEAD | {"grid": replace(FITS, origin=(300.0, 0.0, 0.0))}
        series = series_in(tmp_path, t1=far, t2=HEAD)
        assert self.choice(series).matches == ()
        assert names(self.choice(series, Joining(frozenset({"T1"}), "T2"))) == [("t2",)]

    def test_nor_one_in_another_frame_of_reference(self, tmp_path):
        series = series_in(tmp_path, t1=HEAD | {"FrameOfReferenceUID": "1.2.3.4"}, t2=HEAD)
        assert self.choice(series).matches == ()


def test_what_is_damaged_is_no_reason_to_say_that_nothing_fits(tmp_path):
    made = datasets(SeriesDescription="axial thin")
    write_files(tmp_path / "a", [*made[:4], *made[5:]])
    choice = chosen(list(find_series(tmp_path).series))
    assert choice.is_damaged
    assert choice.reason.startswith("1 of 10 slices missing")
    series = list(find_series(tmp_path).series)
    assert not chosen(series, CT=SeriesRule(modality="MR")).is_damaged
    assert not chosen(series, CT=SeriesRule(without=("thin",))).is_damaged
    assert not chosen([*series, *series_in(tmp_path / "b", whole={})]).is_damaged


def test_what_makes_no_volume_is_not_damaged(tmp_path):
    made = datasets()
    twice = [replaced for one in (made, datasets()) for replaced in one]
    for one in twice[10:]:
        one.SeriesInstanceUID = made[0].SeriesInstanceUID
    write_files(tmp_path, twice)
    choice = chosen(list(find_series(tmp_path).series))
    assert "at one place" in choice.reason
    assert not choice.is_damaged


def test_a_damaged_localizer_is_no_loss(tmp_path):
    made = datasets(ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    write_files(tmp_path, [*made[:4], *made[5:]])
    assert not chosen(list(find_series(tmp_path).series)).is_damaged


def test_no_series_and_many_reasons(tmp_path):
    assert chosen([]).reason == "the study holds no series"
    (one,) = series_in(tmp_path, a={})
    many = [replace(one, modality=f"X{number}") for number in range(9)]
    assert chosen(many).reason.count(";") == 6
    assert chosen(many).reason.endswith("; its modality is X5, the rule wants CT; and 3 more reasons")


def test_an_enhanced_object_is_a_series_too(tmp_path):
    grid = Grid(columns=14, rows=12, slices=10, spacing=(1.0, 1.25, 1.5))
    write_files(tmp_path, [enhanced_dataset(grid, voxels(grid), range(10))])
    assert names(chosen(list(find_series(tmp_path).series), PAIR)) == []
    assert chosen(list(find_series(tmp_path).series), ANY).matches


def test_rules_are_shown_and_those_of_an_unknown_channel_refused():
    assert Rules(MR, SelectionSection(channels=T1)).rows()[:1] == [
        {
            "channel": "T1", "modality": "MR", "body part": "any", "plane": "any", "words": "t1", "without": "post",
            "slices": "at least 1",
        }
    ]  # fmt: skip
    assert [row["words"] for row in Rules(MR, SelectionSection()).rows()] == ["t1", "t1ce", "t2", "flair"]
    assert Rules(CT, SelectionSection()).rows()[0]["words"] == "any"
    with pytest.raises(ConfigError, match="name the channel 'T3', the model has T1, T2"):
        Rules(PAIR, SelectionSection(channels={"T3": SeriesRule()}))


@pytest.mark.real_data
def test_real_sequences_of_a_brain(real_data):
    series = list(find_series(real_data / "brain_tumor_progression").series)
    facts = TrainingFacts.from_grids(SEQUENCES, [series[0].geometry])
    rules = {
        "T1": SeriesRule(words=("T1pre",)),
        "T1ce": SeriesRule(words=("T1post",)),
        "T2": SeriesRule(words=("T2",)),
        "FLAIR": SeriesRule(words=("FLAIR",)),
    }
    choice = chosen(series, facts, **rules)
    assert names(choice) == [("T1pre_reg", "T1post", "T2_reg", "FLAIR_reg")]
    assert reasons(choice)["Mask_Tumor"].startswith("as T1: its description lacks 'T1pre'; as T1ce")
    one = TrainingFacts.from_grids(("MR",), [series[0].geometry])
    derived = {found.description for found in series if "DERIVED" in found.image_type}
    ranked = [match.series[0].description for match in chosen(series, one, which="all").matches]
    assert set(ranked[-len(derived) :]) == derived


@pytest.mark.real_data
def test_real_studies_of_two_kinds(real_data):
    found = find_series(real_data / "dicom_studies").series
    by_study = {uid: [one for one in found if one.study_uid == uid] for uid in {one.study_uid for one in found}}
    small = next(one for one in found if one.description == "HippoCrop")
    facts = TrainingFacts.from_grids(("MR",), [small.geometry])
    assert [names(chosen(series, facts)) for series in by_study.values()] == [[("HippoCrop",)]] * 2
    thick = next(one for one in found if one.description == "T2_reg")
    facts = TrainingFacts.from_grids(("T2", "FLAIR"), [thick.geometry])
    assert sorted(map(len, (chosen(series, facts).matches for series in by_study.values()))) == [0, 1]
