"""Several models as one, and their bundle on disk."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import safetensors.torch
import torch
from factories import bundle, geometry, run_config, scheme
from torch import nn

from medseg.core.errors import BundleError
from medseg.inference import bundle_files
from medseg.inference.bundle import Bundle, BundleRecords, TrainingFacts, read_bundle, write_bundle
from medseg.inference.bundle_files import model_files
from medseg.inference.calibration import Calibration
from medseg.inference.ensemble import ensemble
from medseg.inference.expected import StructureFacts
from medseg.metrics.form import MaskForm

RECORDS = BundleRecords({"train": ["a"], "validation": [], "test": []}, {"summary": []})
REGIONS = {
    "structures": [{"name": "core", "value": 1}, {"name": "rim", "value": 2}],
    "regions": [{"name": "whole", "structures": ("core", "rim")}],
}


IMAGES = (torch.randn(1, 1, 16, 16), torch.randn(1, 1, 16, 16, 16))


def pair(**changes) -> Bundle:
    """A 2D and a 3D network."""
    return ensemble([bundle(dims=2, **changes), bundle(**changes)])


def test_a_bundle_of_several_is_the_same_model_wherever_it_is_opened(tmp_path):
    made = replace(pair(), calibration=Calibration(temperature=1.5))
    write_bundle(tmp_path / "bundle", made, RECORDS)
    (tmp_path / "bundle").rename(tmp_path / "elsewhere")
    again = read_bundle(tmp_path / "elsewhere")
    assert (again.scheme, again.facts, again.calibration) == (made.scheme, made.facts, made.calibration)
    assert [member.config.network.dims for member in again.members] == [2, 3]
    for one, other, image in zip(again.members, made.members, IMAGES, strict=True):
        torch.testing.assert_close(one.network(image), other.network(image))
        assert not one.network.training
        assert one.config.model_dump(exclude={"data"}) == other.config.model_dump(exclude={"data"})


def test_members_keep_their_order_beyond_ten(tmp_path):
    made = ensemble([bundle(name=f"number {number}") for number in range(12)])
    write_bundle(tmp_path, made, RECORDS)
    assert [member.config.name for member in read_bundle(tmp_path).members] == [f"number {n}" for n in range(12)]


def test_the_bundle_of_one_network_is_what_it_was(tmp_path):
    write_bundle(tmp_path, bundle(), RECORDS)
    assert {path.name for path in tmp_path.iterdir()} == {
        *("config.yaml", "facts.json", "model.safetensors", "scores.json", "split.json", "versions.json")
    }
    assert model_files(tmp_path) == ("model.safetensors", "config.yaml", "facts.json")
    assert read_bundle(tmp_path).calibration.is_default


def test_the_outer_configuration_says_how_the_whole_predicts(tmp_path):
    write_bundle(tmp_path, pair(), RECORDS)
    text = (tmp_path / "config.yaml").read_text()
    (tmp_path / "config.yaml").write_text(
        text.replace("overlap: 0.5", "overlap: 0.25").replace("name: tiny", "name: own")
    )
    again = read_bundle(tmp_path)
    assert (again.config.inference.overlap, again.config.name) == (0.25, "own")


def test_results_depend_on_all_members_and_the_calibration(tmp_path):
    write_bundle(tmp_path, replace(pair(), calibration=Calibration(temperature=2.0)), RECORDS)
    named = set(model_files(tmp_path))
    others = {"split.json", "scores.json", "versions.json"}
    assert named == {p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file()} - others


def test_results_depend_on_a_network_in_integers(tmp_path):
    write_bundle(tmp_path, pair(), RECORDS)
    integers = tmp_path / "members" / "1" / "int8"
    integers.mkdir()
    for name in ("model.xml", "model.bin", "int8.json"):
        (integers / name).write_bytes(b"")
    assert {f"members/1/int8/{name}" for name in ("model.xml", "model.bin", "int8.json")} < set(model_files(tmp_path))


def replaced(path, old, new) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def emptied(folder, *, as_file: bool) -> None:
    shutil.rmtree(folder)
    folder.write_text("") if as_file else folder.mkdir()


MEMBER = Path("members/1")
WEIGHTS, CONFIG = MEMBER / "model.safetensors", MEMBER / "config.yaml"
DAMAGES = {
    "weights missing": (
        lambda folder: (folder / WEIGHTS).unlink(),
        "members/1/model.safetensors is damaged",
    ),
    "weights damaged": (
        lambda folder: (folder / WEIGHTS).write_bytes(b"\x00" * 40),
        "members/1/model.safetensors is damaged",
    ),
    "weights of another": (
        lambda folder: shutil.copy(folder / "members/0/model.safetensors", folder / WEIGHTS),
        "members/1/model.safetensors: the weights belong to another network",
    ),
    "config missing": (
        lambda folder: (folder / CONFIG).unlink(),
        "a member's configuration cannot be read",
    ),
    "config damaged": (
        lambda folder: (folder / CONFIG).write_text("name: x"),
        "a member's configuration cannot be read",
    ),
    "other channels": (
        lambda folder: replaced(folder / CONFIG, "name: image", "name: CT"),
        "member 1 does not go with member 0: its channels are CT, not image",
    ),
    "other structures": (
        lambda folder: replaced(folder / CONFIG, "name: two", "name: three"),
        "member 1 does not go with member 0: its structures or regions are others",
    ),
    "other values": (
        lambda folder: replaced(folder / CONFIG, "value: 2", "value: 7"),
        "member 1 does not go with member 0: .* other values",
    ),
    "outer config of another": (
        lambda folder: replaced(folder / "config.yaml", "features: [4, 8]", "features: [4, 16]"),
        "config.yaml and that of member 0 do not belong together, they differ in network",
    ),
    "gap": (
        lambda folder: (folder / MEMBER).rename(folder / "members/2"),
        r"members must hold folders 0, 1, ... and nothing else, 32 at most",
    ),
    "another name": (
        lambda folder: (folder / MEMBER).rename(folder / "members/01"),
        "members must hold folders",
    ),
    "a file": (
        lambda folder: (folder / "members/notes.txt").write_text(""),
        "members must hold folders",
    ),
    "nothing in it": (
        lambda folder: emptied(folder / "members", as_file=False),
        "members must hold folders",
    ),
    "no folder": (
        lambda folder: emptied(folder / "members", as_file=True),
        r"is no bundle: it needs config.yaml and model.safetensors .* or config.yaml and members",
    ),
    "two in one": (
        lambda folder: shutil.copy(folder / "members/0/model.safetensors", folder),
        "holds model.safetensors beside members, so nobody can tell which counts",
    ),
    "calibration damaged": (
        lambda folder: (folder / "calibration.json").write_text('{"temperature": "hot"}'),
        ": calibration.json cannot be read",
    ),
    "calibration for others": (
        lambda folder: (folder / "calibration.json").write_text('{"thresholds": {"one": 0.3}}'),
        "thresholds are given for 'one', which are not targets that may overlap others",
    ),
}


@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_part_is_named(tmp_path, how):
    damage, message = DAMAGES[how]
    write_bundle(tmp_path / "bundle", pair(), RECORDS)
    damage(tmp_path / "bundle")
    with pytest.raises(BundleError, match=message):
        read_bundle(tmp_path / "bundle")


def test_a_bundle_of_a_thousand_members_is_refused_before_they_are_read(tmp_path, monkeypatch):
    write_bundle(tmp_path, pair(), RECORDS)
    for number in range(2, 1000):
        (tmp_path / "members" / str(number)).mkdir()
    monkeypatch.setattr("medseg.inference.bundle.load_weights", lambda *_: pytest.fail("was read"))
    with pytest.raises(BundleError, match="members must hold folders"):
        read_bundle(tmp_path)


def test_members_must_go_together():
    with pytest.raises(BundleError, match="an ensemble needs at least one bundle"):
        ensemble([])
    with pytest.raises(BundleError, match="member 1 does not go with member 0: its channels are T1, not image"):
        ensemble([bundle(), bundle(channels=[{"name": "T1"}])])
    with pytest.raises(BundleError, match="member 2 .* its structures or regions are others"):
        ensemble([bundle(), bundle(), bundle(structures=("one", "three"))])
    with pytest.raises(BundleError, match="structures or regions are others"):
        ensemble([bundle(labels=REGIONS), bundle(labels={"structures": REGIONS["structures"]})])
    pair = [{"name": "T1"}, {"name": "T2"}]
    spared = [{"name": "T1"}, {"name": "T2", "optional": True}]
    with pytest.raises(BundleError, match="member 1 .* other channels are optional, or another one is the reference"):
        ensemble([bundle(channels=pair), bundle(channels=spared)])
    with pytest.raises(BundleError, match="a bundle has 1 to 32 members, got 33"):
        ensemble([bundle()] * 33)
    with pytest.raises(BundleError, match="a bundle has 1 to 32 members, got 0"):
        Bundle((), scheme(), bundle().facts)


def test_colours_and_codes_may_differ_between_members():
    coloured = {"structures": [{"name": n, "value": v, "colour": (1, 2, 3)} for v, n in enumerate(("one", "two"), 1)]}
    assert len(ensemble([bundle(), bundle(labels=coloured)]).members) == 2


def test_a_calibration_is_kept_only_where_all_share_it():
    one, other = (replace(bundle(), calibration=Calibration(temperature=t)) for t in (1.2, 1.4))
    assert ensemble([one, one]).calibration.temperature == 1.2
    assert ensemble([one, other]).calibration.is_default


def test_an_ensemble_of_ensembles_holds_all_their_members():
    assert len(ensemble([pair(), bundle(), pair()]).members) == 5


def test_thresholds_are_for_targets_that_overlap():
    allowed = Calibration(thresholds={"whole": 0.3})
    assert replace(bundle(labels=REGIONS), calibration=allowed).calibration.threshold("whole") == 0.3
    with pytest.raises(BundleError, match="thresholds are given for 'core'"):
        replace(bundle(labels=REGIONS), calibration=Calibration(thresholds={"core": 0.3}))
    with pytest.raises(BundleError, match="thresholds are given for 'one'"):
        replace(bundle(), calibration=Calibration(thresholds={"one": 0.3}))


def test_facts_of_several_trainings_hold_those_of_each():
    form = MaskForm(5, 2, touches_border=True)
    facts = []
    for ml, spacing in ((10.0, (1.0, 1.0, 3.0)), (30.0, (0.5, 2.0, 2.0))):
        known = {"one": StructureFacts.of([ml, 2 * ml], [form, form], 0.5)}
        facts.append(TrainingFacts.from_grids(("image",), [geometry(spacing=spacing)], known))
    merged = TrainingFacts.merged(facts)
    assert (merged.spacing_min, merged.spacing_max) == ((0.5, 1.0, 2.0), (1.0, 2.0, 3.0))
    one = merged.structures["one"]
    assert (one.cases, one.smallest_ml, one.largest_ml, one.mean_ml) == (2, 10, 60, 30)
    assert TrainingFacts.merged(facts[:1]) == facts[0]


def test_weights_that_do_not_fit_are_not_read(tmp_path, monkeypatch):
    path = tmp_path / "model.safetensors"
    safetensors.torch.save_file({"weight": torch.zeros(4, 4)}, path)
    monkeypatch.setattr(safetensors.torch, "load_file", lambda _: pytest.fail("was read"))
    with pytest.raises(BundleError, match="x: the weights belong to another network"):
        bundle_files.load_weights(nn.Linear(3, 3), path, "x")


def test_a_written_calibration_is_small_json(tmp_path):
    write_bundle(tmp_path, replace(bundle(labels=REGIONS), calibration=Calibration(thresholds={"whole": 0.3})), RECORDS)
    said = json.loads((tmp_path / "calibration.json").read_text())
    assert said == {"temperature": 1.0, "thresholds": {"whole": 0.3}}


def test_the_clean_up_of_a_bundle_is_changed_in_its_first_member():
    changed = pair().with_config(run_config(dims=2, name="renamed"))
    assert [member.config.name for member in changed.members] == ["renamed", "tiny"]
