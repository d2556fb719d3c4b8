"""The command ``medseg card``."""

from __future__ import annotations


def test_the_card_of_a_bundle_is_written_and_named(medseg, model):
    done = medseg("card", model, "--set", "owner=Ann", "--set", "license=CC-BY-4.0")
    assert done.code == 0
    assert "card.html" in done.out
    assert "| licence of the weights | CC-BY-4.0 |" in (model / "card.md").read_text()


def test_what_cannot_be_done_is_one_line(medseg, model, tmp_path):
    done = medseg("card", model, "--set", "licence=MIT")
    assert done.code == 2
    assert "error: 'licence=MIT' is not of the form key=text with one of the keys" in done.err
    assert medseg("card", tmp_path / "nowhere").code == 2
