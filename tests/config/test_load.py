from __future__ import annotations

from pathlib import Path

import pytest
from factories import run_config

from medseg.config.budget import parse_budget
from medseg.config.load import dump_config, load_config, parse_config
from medseg.core.errors import ConfigError

CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.yaml"))


def test_a_configuration_survives_a_file(tmp_path):
    config = run_config()
    (tmp_path / "c.yaml").write_text(dump_config(config))
    assert load_config(tmp_path / "c.yaml") == config


def test_overrides_reach_any_depth():
    text = dump_config(run_config())
    changed = parse_config(
        text, "c.yaml", ["training.optimizer.lr=0.003", "sampling.batch=4", "network.features=[4,8]"]
    )
    assert changed.training.optimizer.lr == 0.003
    assert changed.sampling.batch == 4
    assert changed.network.features == (4, 8)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.optimizer.lr=fast", r"c.yaml: training.optimizer.lr: .* \(got 'fast'\)"),
        ("training.optimiser.lr=1", "c.yaml: training.optimiser: there is no such key"),
        ("sampling.batch", "not of the form section.key=value"),
        ("augmentation.mirror_axes=[0,0]", "mirror_axes names an axis twice"),
        ("augmentation.mirror_axes=[3]", "less than or equal to 2"),
        ("name.first=x", "'name' is a value, not a section"),
        ("sampling.patch=[9, 8, 8]", "9 is no multiple of 2"),
        ("network.dims=2", "strides and kernels need 2 numbers a level"),
        ("training.budget.minutes=5", "give either epochs or minutes"),
        ("loss={name: dyce}", "c.yaml: loss: .*dice_ce"),
        ("network.features=[8]", "one entry a level"),
        ("network={name: segresnet, dims: 3, features: 12}", "features a multiple of 8"),
        ("network={name: segresnet, dims: 3, blocks_down: [1, 1, 1, 1, 1, 1], blocks_up: [1, 1, 1, 1, 1]}", "16 is no"),
        ("channels=[{name: CT, intensity: ct}]", "needs clip, mean and std"),
        ("channels=[]", "c.yaml: channels: .* at least 1 item"),
        ("sampling.patch=[16, 16", r"override 'sampling.patch=\[16, 16': not valid YAML"),
        ("name=2026-13-45", "override 'name=2026-13-45': not valid YAML"),
        ("preprocessing.orientation=RA", "c.yaml: preprocessing.orientation: .*three letters, one each"),
        ("preprocessing.orientation=RAL", "three letters, one each"),
        ("preprocessing.orientation=ras", "three letters, one each"),
        ("training.seed=-1", "c.yaml: training.seed: .* greater than or equal to 0"),
        ("labels.structures=[{name: a, value: 1, colour: [0, 0, 256]}]", "less than or equal to 255"),
        ("network.kernels=[[3, 3, 3], [2, 3, 3]]", "kernels are odd"),
        ("network.strides=[[2, 1, 1], [2, 2, 2]]", "the first level's stride is all ones"),
        (
            "postprocessing={largest_component: [livre]}",
            r"postprocessing names \['livre'\]; what is predicted is one, two",
        ),
        ("postprocessing={largest_together: [[one, three]]}", r"postprocessing names \['three'\]"),
        ("training.class_weights=[1, 2]", "training.class_weights holds 2 numbers, the network has 3 outputs"),
        (
            "labels.regions=[{name: a, structures: [one]}, {name: a, structures: [two]}]",
            "c.yaml: labels.regions: .*two regions are called 'a'",
        ),
        ("sampling.patch=[2, 2, 2]", r"\(2, 2, 2\) is one voxel at the coarsest level"),
    ],
)
def test_a_wrong_value_is_named_with_its_place(override, message):
    with pytest.raises(ConfigError, match=message):
        parse_config(dump_config(run_config()), "c.yaml", [override])


def test_as_many_regions_as_structures_that_overlap_are_refused():
    names = [{"name": "liver", "structures": ["liver", "tumour"]}, {"name": "tumour", "structures": ["tumour"]}]
    structures = [{"name": "liver", "value": 1}, {"name": "tumour", "value": 2}]
    labels = {"structures": structures, "regions": names}
    assert run_config(labels=labels).labels.regions
    with pytest.raises(ValueError, match="there may not be as many regions as structures"):
        run_config(labels=labels | {"overlapping": True})
    assert run_config(labels=labels | {"overlapping": True, "regions": names[:1]}).labels.overlapping


def test_files_that_are_no_configuration(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read: no such file"):
        load_config(tmp_path / "missing.yaml")
    (tmp_path / "a.yaml").write_text("a: [1")
    with pytest.raises(ConfigError, match="a.yaml: not valid YAML at line"):
        load_config(tmp_path / "a.yaml")
    (tmp_path / "b.yaml").write_text("")
    with pytest.raises(ConfigError, match=r"b.yaml: holds no configuration; `medseg plan"):
        load_config(tmp_path / "b.yaml")
    (tmp_path / "c.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load_config(tmp_path / "c.yaml")
    for content in ("x: !!python/object/apply:os.getcwd []", "x: 2026-13-45", "[" * 50_000):
        (tmp_path / "d.yaml").write_text(content)
        with pytest.raises(ConfigError, match="d.yaml: not valid YAML"):
            load_config(tmp_path / "d.yaml")


def test_values_may_be_repeated_but_not_without_end(tmp_path):
    plain = dump_config(run_config())
    repeated = plain.replace("name: tiny", "name: &a tiny", 1).replace("name: image", "name: *a", 1)
    assert parse_config(repeated, "c.yaml").channels[0].name == "tiny"
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
    bomb += "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9))
    for text in (bomb + "name: *a8\n", "name: &a [*a]\n"):
        with pytest.raises(ConfigError, match=r"c\.yaml: repeats values .* until they are too many"):
            parse_config(text, "c.yaml")


def test_a_long_wrong_value_is_shown_in_part():
    with pytest.raises(ConfigError) as raised:
        parse_config(f"name: {['x' * 1000] * 50}", "c.yaml")
    assert "(got ['xxx" in str(raised.value)
    assert len(str(raised.value)) < 3000


@pytest.mark.parametrize(
    ("text", "minutes", "epochs"),
    [("20min", 20, None), ("1.5h", 90, None), ("90s", 1.5, None), ("200ep", None, 200), ("3 epochs", None, 3)],
)
def test_budgets_as_people_write_them(text, minutes, epochs):
    budget = parse_budget(text)
    assert (budget.minutes, budget.epochs) == (minutes, epochs)


@pytest.mark.parametrize("text", ["20", "min", "0min", "-5ep", "1.5ep", "20 parsecs"])
def test_budgets_that_are_none(text):
    with pytest.raises(ConfigError, match="budget"):
        parse_budget(text)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_every_configuration_in_the_repository_loads(path):
    assert load_config(path).name == path.stem


def test_there_are_configurations():
    assert {"demo.yaml", "hippocampus_2d.yaml", "hippocampus_3d.yaml"} <= {path.name for path in CONFIGS}
