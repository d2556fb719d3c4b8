"""Heads of which it is known what shows what."""

from __future__ import annotations

import numpy as np
import pytest

from medseg.data.check import Severity, check_dataset
from medseg.data.layouts import open_dataset
from medseg.phantom.sequences import (
    CONTRAST,
    SEQUENCES,
    STRUCTURES,
    Head,
    head_grid,
    head_labels,
    take_sequence,
    write_sequences,
)


@pytest.fixture(scope="module")
def heads() -> list[Head]:
    return [Head.draw(np.random.default_rng(seed)) for seed in range(6)]


def contrast(head: Head, sequence: str, structure: str) -> float:
    """Mean of a structure less that of the tissue, over the tissue's mean."""
    image = take_sequence(head, sequence, head_grid(), np.random.default_rng(0)).array[0]
    labels = head_labels(head, head_grid()).array
    tissue = image[10:-10, 12:-12, 10:-10][labels[10:-10, 12:-12, 10:-10] == 0].mean()
    return float(image[labels == STRUCTURES[structure].value].mean() / tissue - 1)


@pytest.mark.parametrize("structure", STRUCTURES.names)
@pytest.mark.parametrize("sequence", SEQUENCES)
def test_a_sequence_shows_what_it_should_and_nothing_else(heads, sequence, structure):
    expected = CONTRAST[structure].get(sequence, 0.0) / 100
    found = np.mean([contrast(head, sequence, structure) for head in heads])
    assert found == pytest.approx(expected, abs=0.13)
    assert abs(found) < 0.04 or abs(expected) > 0


def test_each_structure_comes_twice_and_none_touches_another(heads):
    for head in heads:
        labels = head_labels(head, head_grid((80, 96, 72), (1.0, 1.0, 1.0)))
        volumes = {name: int((labels.array == STRUCTURES[name].value).sum()) for name in STRUCTURES.names}
        for name in STRUCTURES.names:
            whole = sum(solid.volume for found, solid in head.parts if found == name)
            assert volumes[name] == pytest.approx(whole, rel=0.03)


def test_the_place_says_nothing_of_what_it_is(heads):
    first = [head.parts[0][1].centre for head in (Head.draw(np.random.default_rng(n)) for n in range(40))]
    assert (np.ptp(np.array(first), axis=0) > (20, 30, 10)).all()


def test_files_and_manifest(tmp_path):
    manifest = write_sequences(tmp_path / "heads", cases=4, lacking=[(1, "FLAIR")])
    dataset = open_dataset(manifest)
    assert (dataset.channels, dict(dataset.lacking)) == (SEQUENCES, {"FLAIR": 1})
    assert [case.split for case in dataset.cases] == ["train", "validation", "test", "train"]
    findings = check_dataset(dataset)
    assert {one.severity for one in findings} == {Severity.WARNING, Severity.NOTE}
    told = {one.message.partition(";")[0] for one in findings}
    assert "channel 'FLAIR' is missing in 1 of 4 cases" in told
    assert "the channels of 4 of 4 cases lie on several grids" in told
    first = (tmp_path / "heads" / "head-001" / "T2.nii.gz").read_bytes()
    write_sequences(tmp_path / "heads", cases=1)
    assert (tmp_path / "heads" / "head-001" / "T2.nii.gz").read_bytes() == first
    assert not (tmp_path / "heads" / "head-002").exists()
