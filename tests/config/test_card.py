import pytest
import yaml

from medseg.config.card import OwnerSection
from medseg.config.load import dump_owner, load_owner
from medseg.core.errors import ConfigError


def test_the_owner_is_asked_by_keys_that_are_all_in_the_file(tmp_path):
    owner = load_owner(tmp_path / "card.yaml", ["license=CC-BY-4.0", "version=1.10", "intended_use=a = b: c"])
    assert (owner.license, owner.version, owner.intended_use) == ("CC-BY-4.0", "1.10", "a = b: c")
    (tmp_path / "card.yaml").write_text(dump_owner(owner))
    assert load_owner(tmp_path / "card.yaml") == owner
    assert list(yaml.safe_load(dump_owner(OwnerSection()))) == list(OwnerSection.model_fields)


def test_what_was_said_stays_until_it_is_said_again(tmp_path):
    (tmp_path / "card.yaml").write_text("owner: Ann\nlicense: MIT\n")
    owner = load_owner(tmp_path / "card.yaml", ["license=Apache-2.0"])
    assert (owner.owner, owner.license) == ("Ann", "Apache-2.0")


@pytest.mark.parametrize(
    ("text", "override", "message"),
    [
        ("", "licence=MIT", r"'licence=MIT' is not of the form key=text with one of the keys title, version, owner"),
        ("", "owner", "'owner' is not of the form key=text"),
        ("sweets: none", "owner=a", "card.yaml: sweets: there is no such key"),
        ("version: 1.10", "owner=a", r"card.yaml: version: Input should be a valid string \(got 1.1\)"),
        ("- a", "owner=a", "card.yaml: holds no card; write for example `owner: ...`"),
    ],
)
def test_what_a_card_has_no_place_for_is_named(tmp_path, text, override, message):
    if text:
        (tmp_path / "card.yaml").write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_owner(tmp_path / "card.yaml", [override])
