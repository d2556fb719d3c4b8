"""Rules for series as a file has them."""

from __future__ import annotations

import pytest
from factories import run_config

from medseg.config.load import dump_config, load_config, load_selection
from medseg.config.selection import Plane, SelectionSection, SeriesRule
from medseg.core.errors import ConfigError

RULES = """
any_size: true
channels:
  T1:
    modality: MR
    body_part: [BRAIN, HEAD]
    plane: axial
    words: [t1]
    without: [post, gd]
    fewest_slices: 20
  FLAIR: {}
"""


def test_rules_of_a_file(tmp_path):
    (tmp_path / "rules.yaml").write_text(RULES)
    rules = load_selection(tmp_path / "rules.yaml")
    assert rules.any_size
    assert rules.channels["T1"] == SeriesRule(
        modality="MR", body_part=("BRAIN", "HEAD"), plane=Plane.AXIAL, words=("t1",), without=("post", "gd"),
        fewest_slices=20,
    )  # fmt: skip
    assert rules.channels["FLAIR"] == SeriesRule()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("channels: {T1: {plane: diagonal}}", "channels.T1.plane: Input should be 'axial', 'coronal' or 'sagittal'"),
        ("channels: {T1: {colour: red}}", "channels.T1.colour: there is no such key"),
        ("channels: {T1: {fewest_slices: 0}}", "channels.T1.fewest_slices: .*greater than or equal to 1"),
        ("channels: {T1: {without: ['+']}}", "channels.T1.without.0: String should match pattern"),
        ("channels: {T1: {words: ['']}}", "channels.T1.words.0: String should match pattern"),
        ("channels: {T1: {words: [" + "a" * 65 + "]}}", "channels.T1.words.0: String should have at most 64"),
        ("channels: [T1]", "rules.yaml: channels: Input should be a valid dictionary"),
        ("- T1", "rules.yaml"),
        ("", "rules.yaml"),
        ("a: [", "rules.yaml: not valid YAML at line 1"),
    ],
)
def test_a_file_of_wrong_rules_is_refused(tmp_path, text, message):
    (tmp_path / "rules.yaml").write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_selection(tmp_path / "rules.yaml")


def test_a_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read: no such file or directory"):
        load_selection(tmp_path / "rules.yaml")


def test_rules_travel_with_the_configuration(tmp_path):
    rules = {"channels": {"image": {"words": ["venous"], "plane": "axial"}}}
    config = run_config(selection=rules)
    (tmp_path / "config.yaml").write_text(dump_config(config))
    assert load_config(tmp_path / "config.yaml").selection == SelectionSection.model_validate(rules)
    assert run_config().selection == SelectionSection()
