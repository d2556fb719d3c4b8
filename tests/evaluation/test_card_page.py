"""What a card says, from its parts alone."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from factories import run_config

from medseg.config.card import OwnerSection
from medseg.config.schemes import label_scheme
from medseg.core.geometry import Geometry
from medseg.evaluation.card import Card
from medseg.evaluation.card_page import NO_DEVICE, card_markdown, card_page
from medseg.evaluation.cohort import AttributeCounts, Cohort, PartCount
from medseg.evaluation.score_sheet import (
    AttributeFigures,
    Basis,
    Bin,
    CalibrationFigures,
    Figure,
    GroupFigures,
    ScoreSheet,
    StructureFigures,
)
from medseg.evaluation.training_record import TrainingRecord, TrainingRun
from medseg.inference.bundle import TrainingFacts
from medseg.inference.calibration import Calibration
from medseg.inference.expected import StructureFacts
from medseg.inference.openvino_int8 import Int8Record

EVIL = "<img src=x onerror=alert(1)>"


def figure(mean, patients=40):
    return Figure(mean=mean, low=mean - 0.02, high=mean + 0.02, patients=patients, cases=patients)


def sheet(basis=Basis.VALIDATION, patients=40, **changes):
    means = {"one": 0.9, "two": 0.6, "foreground mean": 0.75}
    structures = tuple(
        StructureFigures(structure=name, means={"dice": figure(mean, patients)}) for name, mean in means.items()
    )
    return ScoreSheet(**{"basis": basis, "patients": patients, "cases": patients, "structures": structures} | changes)


def evaluated(patients=50):
    """All that an evaluation may hold."""
    means = {"dice": figure(0.88), "hd95": figure(2.5), "nsd": figure(0.95)}
    groups = tuple(GroupFigures(value=value, patients=20, mean=0.8, low=0.7, high=0.9) for value in ("F", "M"))
    bins = tuple(Bin(voxels=10, confidence=n / 15 + 0.03, frequency=n / 15) for n in range(15))
    return sheet(
        Basis.EVALUATION,
        patients,
        cases=60,
        structures=(StructureFigures(structure="one", means=means, statuses={"missed": 2, "false_positive": 1}),),
        attributes=(
            AttributeFigures(
                attribute="sex", groups=groups, other=4, unknown=3, gap=0.01, worst="F", p_adjusted=0.0001
            ),
            AttributeFigures(attribute="site", groups=(GroupFigures(value="A", patients=7),)),
        ),
        calibration=(CalibrationFigures(structure="one", ece=figure(0.04), pooled_ece=0.03, bins=bins),),
        tolerances={"one": 2.0},
    )


def card(**changes) -> Card:
    config = run_config()
    volumes = {"smallest_ml": 10, "largest_ml": 30, "mean_ml": 20, "deviation_ml": 5, "most_components": 1}
    facts = TrainingFacts.from_grids(
        ("CT",),
        [Geometry.from_spacing((100, 100, 50), (0.7, 0.7, 2.0)), Geometry.from_spacing((90, 90, 60), (1.0, 1.0, 5.0))],
        {"one": StructureFacts(cases=12, share=0.4, border_share=0, **volumes)},
    )
    record = TrainingRecord(
        cohort=Cohort(
            parts={"train": PartCount(cases=30, patients=28), "validation": PartCount(cases=40, patients=40)},
            attributes={"age": AttributeCounts(groups={"40 to 59": 15, "60 to 79": 9}, other=3, unknown=1)},
            unnamed=2,
        ),
        runs=(TrainingRun(epochs=100, steps=5000, seconds=5400, device="CPU"),),
        scores=sheet(),
    )
    versions = {"medseg": "0.1.0", "torch": "2.13.0"}
    scheme, networks = label_scheme(config.labels), (config.network,)
    whole = Card(OwnerSection(), config, scheme, facts, Calibration(), networks, (12_000,), versions, record)
    return replace(whole, **changes)


def chapter(text, title):
    """One chapter of a Markdown text, with short dashes."""
    return text.split(f"\n## {title}\n")[1].split("\n## ")[0].replace("\N{EN DASH}", "-")


def test_all_chapters_are_there_in_both_forms():
    titles = [
        "Use", "Scores", "Scores by subgroup", "Calibration", "Limits", "Training data", "Training",
    ]  # fmt: skip
    assert re.findall(r"^## (.*)$", card_markdown(card()), re.MULTILINE) == titles
    assert re.findall(r"<h2>(.*?)</h2>", card_page(card())) == titles


def test_the_first_lines_say_what_it_is_and_that_it_is_no_device():
    lead = card_markdown(card()).split("\n## ")[0]
    assert "# tiny\n" in lead
    assert "Outlines one and two in CT images: a 3D network of 0.012 million parameters, trained on 30 cases" in lead
    assert "of 28 patients." in lead
    assert "Mean foreground Dice 0.750 (95 % interval 0.730 to 0.770), over 40 validation cases." in lead
    assert f"**{NO_DEVICE}**" in lead
    assert f'<p class="alarm">{NO_DEVICE}</p>' in card_page(card())


def test_what_the_owner_says_is_shown_and_what_is_missing_too():
    owner = OwnerSection(title="Ball model", license="CC-BY-4.0", intended_use="balls", limits="Never try cubes.")
    text = card_markdown(card(owner=owner))
    assert text.startswith("# Ball model\n")
    assert "| licence of the weights | CC-BY-4.0 |" in text
    assert "| licence of the data | not given by the owner |" in text
    assert "- Never try cubes." in chapter(text, "Limits")


def test_nothing_that_the_owner_says_is_left_out():
    said = {name: f"my {name.replace('_', ' ')}" for name in OwnerSection.model_fields}
    text = card_markdown(card(owner=OwnerSection(**said)))
    assert [words for words in said.values() if words not in text] == []


def test_what_a_network_loses_in_integers_is_told():
    scores = {"dice": 0.9012, "dice_int8": 0.8999, "equal_voxels": 0.99871}
    counts = {"windows": 12, "training_cases": 4, "held_out_cases": 5}
    record = Int8Record(weights="", shape=(1, 1, 16, 16, 16), versions={}, **scores, **counts)
    text = chapter(card_markdown(card(int8=(record,))), "Training")
    assert "mean Dice 0.8999 on 5 cases that did not calibrate it, 0.9012 in float32; 99.87 % of the voxels" in text
    assert "8-bit" not in card_markdown(card())


def test_training_data_is_told_in_counts_and_ranges():
    text = chapter(card_markdown(card()), "Training data")
    assert "| trained | 30 | 28 |" in text
    assert "| voxel size, mm | 0.7 to 1 | 0.7 to 1 | 2 to 5 |" in text
    assert "| extent, mm | 70 to 90 | 70 to 90 | 100 to 300 |" in text
    assert "| age | 40 to 59 (15), 60 to 79 (9), rarer values (3), unknown (1) |" in text
    assert "fewer than 5 patients share is not named. 2 attributes had no other." in text
    assert "| one | 12 (40 %) | 20 ± 5 | 10 to 30 |" in text
    assert "| two | - | - | - |" in text


def test_training_is_told_as_it_was_configured_and_done():
    text = chapter(card_markdown(card()), "Training")
    assert "| network | unet (dims 3; features 4, 8; strides 1x1x1 2x2x2" in text
    assert "| parameters | 12,000 |" in text
    assert "| loss | dice" in text
    assert "| budget | 2 epochs of 3 steps |" in text
    assert "| done | 5000 steps in 100 epochs, 90 min on CPU |" in text
    assert "| software | medseg 0.1.0, torch 2.13.0 |" in text


def test_an_ensemble_says_how_many_and_how_they_were_scored():
    run = TrainingRun(epochs=10, steps=500, seconds=60, device="NVIDIA H100", processes=2)
    record = card().record.model_copy(update={"runs": (run, run), "scores": sheet(Basis.OUT_OF_FOLD)})
    networks = (run_config().network, run_config(dims=2).network)
    text = card_markdown(card(networks=networks, parameters=(12_000, 5_000), record=record))
    assert "2 2D and 3D networks of 0.005 and 0.012 million parameters" in text
    assert text.count("| network | unet (dims ") == 2
    assert "the table tells of the first" in text
    assert "| networks | 2; their probabilities are averaged |" in text
    assert "1000 steps in 20 epochs, 2 min on 2 x NVIDIA H100" in text
    assert "each outlined by the network that it did not train" in chapter(text, "Scores")
    assert "| trained and validated in turn | 30 | 28 |" in text


def test_an_evaluation_comes_before_the_validation():
    text = card_markdown(card(evaluation=evaluated()))
    assert "Mean Dice of one 0.880 (95 % interval 0.860 to 0.900), over 60 evaluated cases of 50 patients." in text
    scores = chapter(text, "Scores")
    assert "|  | cases | Dice | HD95, mm | NSD at 2 mm | missed | falsely found |" in scores
    assert scores.index("0.880 (0.860 to 0.900)") < scores.index("| two | 40 | 0.600 (0.580 to 0.620) |")
    page = card_page(card(evaluation=evaluated()))
    assert "<title>mean Dice of the evaluated cases</title>" in page


def test_subgroups_are_told_with_what_nobody_may_know():
    text = card_markdown(card(evaluation=evaluated()))
    groups = chapter(text, "Scores by subgroup")
    assert "| sex | F | 20 | 0.800 (0.700 to 0.900) |" in groups
    assert "| sex | other values | 4 | - |" in groups
    assert "| sex | unknown | 3 | - |" in groups
    assert "| site | A | 7 | - |" in groups
    assert "sex: the groups differ by up to 0.010, F is the lowest; corrected p \\< 0.001." in groups
    assert "site: fewer than two groups can be judged." in groups
    page = card_page(card(evaluation=evaluated()))
    assert page.count("<title>mean Dice by") == 1
    assert "F: 0.800 (0.700 to 0.900)" in page
    assert "0.800 (n = 20)" in page
    assert "(n = 7)" not in page
    assert "no attribute parts the scored patients" in chapter(card_markdown(card()), "Scores by subgroup")


def test_calibration_is_measured_corrected_or_unknown():
    assert "was not measured" in chapter(card_markdown(card()), "Calibration")
    corrected = card(calibration=Calibration(temperature=1.3), evaluation=evaluated())
    text = chapter(card_markdown(corrected), "Calibration")
    assert "divided by a temperature of 1.3" in text
    assert "| one | 40 | 0.040 (0.020 to 0.060) |" in text
    assert "said 0.03, true 0, 10 voxels" in card_page(corrected)
    regions = {"structures": [{"name": "one", "value": 1}], "regions": [{"name": "all", "structures": ["one"]}]}
    scheme = label_scheme(run_config(labels=regions).labels)
    text = card_markdown(card(scheme=scheme, calibration=Calibration(thresholds={"all": 0.3})))
    assert "- Thresholds other than 0.5: all 0.3." in text


def test_limits_follow_from_the_counts():
    text = chapter(card_markdown(card()), "Limits")
    for line in (
        "Nothing but CT was seen in training.",
        "Voxels measured 0.7 to 1, 0.7 to 1 and 2 to 5 mm (left to right, back to front, foot to head), images",
        "It was trained on 28 patients only.",
        "Not recorded of the training patients: sex and scanner. Nobody knows who is missing.",
        "Of age, training had 40 to 59 and 60 to 79; any other value (under 20, 20 to 39, 80 and over) in fewer than 5",
        "In fewer than 20 training cases: one (12).",
        "In no training case: two.",
        "none of another clinic is known",
        "The scores are of cases that chose its weights.",
        "Below a mean Dice of 0.7: two.",
    ):
        assert line in text


def test_an_evaluation_of_few_says_so():
    text = chapter(card_markdown(card(evaluation=evaluated(patients=12))), "Limits")
    assert "The scores are of 12 patients: read the intervals, not the means." in text
    assert "none of another clinic" not in text
    assert "Below a mean Dice" not in text


def test_a_structure_that_no_case_holds_is_not_called_poor():
    unseen = StructureFigures(structure="cyst", means={"dice": figure(0.5).model_copy(update={"mean": None})})
    measured = sheet(structures=(*sheet().structures, unseen))
    record = card().record.model_copy(update={"scores": measured})
    assert "Below a mean Dice of 0.7: two." in chapter(card_markdown(card(record=record)), "Limits")


def test_a_model_that_nobody_scored():
    record = TrainingRecord(cohort=Cohort(parts={}))
    text = card_markdown(card(record=record, facts=card().facts.model_copy(update={"structures": {}})))
    assert "Nobody has scored this model." in text
    assert "Nobody has measured how well it does." in text
    assert "How many cases there were was not written down." in text
    assert "voxel size, mm (pixels for pictures)" in text


@pytest.mark.parametrize("write", [card_page, card_markdown])
def test_nothing_from_outside_becomes_markup(write):
    owner = OwnerSection(title=EVIL, intended_use=EVIL, limits=EVIL)
    counts = {EVIL: AttributeCounts(groups={EVIL: 9}, other=0, unknown=0)}
    record = card().record.model_copy(update={"cohort": Cohort(parts={}, attributes=counts)})
    text = write(card(owner=owner, record=record, evaluation=evaluated()))
    assert not re.search(r"(?<!\\)<img", text)
    assert not re.search(r"https?://|<script|@import", text)


@pytest.mark.parametrize("write", [card_page, card_markdown])
def test_one_card_is_one_text(write):
    assert write(card(evaluation=evaluated())) == write(card(evaluation=evaluated()))


def test_first_weights_of_another_model_are_told_without_their_place():
    training = {"budget": {"minutes": 300}, "init": {"bundle": "/Quarkington/bundle", "freeze": "encoder"}}
    run = TrainingRun(epochs=900, steps=45_000, seconds=18_000, device="CPU")
    record = card().record.model_copy(update={"runs": (run,)})
    text = card_markdown(card(config=run_config(training=training), record=record))
    assert "| first weights | of another model (freeze encoder;" in text
    assert "Quarkington" not in text
    assert "| budget | 300 min, epochs of 50 steps |" in text
    assert "in 900 epochs, 5.0 h on CPU" in text


def test_of_many_structures_the_first_are_named():
    names = tuple(f"s{number}" for number in range(12))
    config = run_config(structures=names)
    text = card_markdown(card(config=config, scheme=label_scheme(config.labels)))
    assert "Outlines s0, s1, s2, s3, s4, s5, s6, s7 and 4 more in CT images" in text
