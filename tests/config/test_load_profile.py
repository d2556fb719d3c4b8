from __future__ import annotations

from pathlib import Path

import pytest

from medseg.config.deid import DeidProfile, Mode, Option, TextSearch
from medseg.config.load import load_profile, profile_names
from medseg.core.errors import ConfigError

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "configs" / "deid").glob("*.yaml"))


def test_the_package_carries_the_profiles_of_the_repository():
    packaged = ROOT / "medseg" / "config" / "profiles"
    assert {path.name: path.read_bytes() for path in FILES} == {
        path.name: path.read_bytes() for path in packaged.iterdir()
    }
    assert '"config/profiles/*.yaml"' in (ROOT / "setup.py").read_text()
    assert profile_names() == ("basic", "research", "teaching")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_profile_loads_by_name_and_by_file(path):
    profile = load_profile(path)
    assert profile == load_profile(path.stem)
    assert profile.name == path.stem
    assert profile.mode is Mode.RELEASE
    assert Option.CLEAN_PIXEL_DATA in profile.options


def test_the_profiles_are_what_they_are_called():
    assert load_profile("basic").options == {Option.CLEAN_PIXEL_DATA}
    assert Option.RETAIN_MODIFIED_DATES in load_profile("research").options
    teaching = load_profile("teaching")
    assert Option.CLEAN_VISUAL_FEATURES in teaching.options
    assert teaching.text_search is TextSearch.ALL
    assert teaching.quarantine_faces == "quarantine"
    kept = {option for option in teaching.options if option.value.startswith("retain")}
    assert not kept


def test_a_site_writes_its_own(tmp_path):
    (tmp_path / "ours.yaml").write_text("name: ours\noptions: [retain_uids]\n")
    assert load_profile(tmp_path / "ours.yaml") == DeidProfile(name="ours", options=frozenset({Option.RETAIN_UIDS}))
    assert load_profile(str(tmp_path / "ours.yaml")).name == "ours"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("options: [keep_everything]", r"ours.yaml: options\.0: .*'retain_uids'.* \(got 'keep_everything'\)"),
        ("optoins: []", "ours.yaml: optoins: there is no such key"),
        ("options: [retain_longitudinal_full_dates, retain_longitudinal_modified_dates]", "exclude each other"),
        ("safe_private: [{creator: A, group: 9, element: 1}]", "needs the option retain_safe_private"),
        (
            "options: [retain_safe_private]\nsafe_private: [{creator: A, group: 10, element: 1}]",
            "a private group has an odd number",
        ),
        ("- basic", "ours.yaml: holds no profile; copy one from configs/deid"),
        ("name: [1", "ours.yaml: not valid YAML at line"),
    ],
)
def test_a_profile_that_is_not_sound(tmp_path, content, message):
    (tmp_path / "ours.yaml").write_text(content)
    with pytest.raises(ConfigError, match=message):
        load_profile(tmp_path / "ours.yaml")


def test_a_name_that_is_none_and_files_that_are_none(tmp_path):
    with pytest.raises(ConfigError, match="no profile 'reserch'; there are basic, research, teaching, or name a YAML"):
        load_profile("reserch")
    with pytest.raises(ConfigError, match="cannot be read: is a directory"):
        load_profile(tmp_path)
    (tmp_path / "film.yaml").write_bytes(b"x" * 1_000_001)
    with pytest.raises(ConfigError, match="larger than 1000000 bytes, so not a profile"):
        load_profile(tmp_path / "film.yaml")
