from __future__ import annotations

import json
import re
import shlex
import sys
from pathlib import Path

import pytest
import typer

import medseg
from medseg.cli.main import app
from medseg.core.anatomy import entries

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    path for path in (ROOT / "docs").rglob("*.md") if "generated" not in path.parts and "_build" not in path.parts
)
TEXTS = [*PAGES, *sorted(ROOT.glob("*.md"))]
_PAGES = ("cli", "configuration", "deidentification", "python", "review", "structures")
GENERATED = [f"reference/generated/{page}.md" for page in _PAGES]

TRAIN_FOR_LONG = {"measure-speed.md", "use-your-own-network.md", "segment-a-video.md"}
"""Pages whose code takes five seconds or more."""

sys.path.insert(0, str(ROOT / "docs" / "_ext"))
reference = pytest.importorskip("generated_reference", reason="needs sphinx, from the extra docs")


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def runnable_blocks(text: str) -> list[str]:
    return re.findall(r"^% runnable\n```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def commands(text: str) -> list[list[str]]:
    blocks = re.findall(r"^```(?:console|sh|bash)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    lines = "".join(blocks).replace("\\\n", " ").splitlines() + re.findall(r"^    (.*medseg .*)$", text, re.MULTILINE)
    words = [shlex.split(line.removeprefix("$ "), comments=True) for line in lines]
    return [line for line in words if line and Path(line[0]).name == "medseg"]


def anchors(path: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.replace("`", "")).strip().lower().replace(" ", "-") for heading in headings}


def every_command(group, before="") -> dict[str, list]:
    """Parameters of each command, those in groups under names such as ``review verify``."""
    found = {}
    for name in group.list_commands(typer.Context(group)):
        command = group.get_command(typer.Context(group), name)
        is_group = isinstance(command, typer.core.TyperGroup)
        found |= every_command(command, f"{name} ") if is_group else {before + name: command.params}
    return found


def test_the_reference_lists_exactly_the_public_names():
    listed = re.findall(r"^\.\. auto\w+:: medseg\.(\w+)$", reference.python_page(), re.MULTILINE)
    assert sorted(listed) == sorted(medseg._HOMES)


def test_the_command_reference_lists_every_command_and_option():
    page = reference.cli_page()
    for command, parameters in every_command(typer.main.get_command(app)).items():
        section = page.split(f"## medseg {command}\n")[1].split("\n## ")[0]
        for parameter in parameters:
            assert all(option in section for option in parameter.opts if option.startswith("-"))


def test_the_configuration_reference_lists_every_field():
    page = reference.configuration_page()
    assert "| `training` | `TrainingSection` | required |" in page
    assert "| `lr` | `float > 0` | `0.001` | Peak learning rate. |" in page
    assert "| `precision` | `auto or fp32 or bf16 or fp16` | `auto` |" in page
    assert page.count("\n## ") == len(set(re.findall(r"^## (\w+)$", page, re.MULTILINE)))


def test_the_deidentification_reference_lists_every_row_and_every_key():
    page = reference.deidentification_page()
    table = json.loads((ROOT / "medseg/deid/data/ps3_15_e1_1.json").read_text("utf-8"))
    rows = [line for line in page.splitlines() if re.match(r"\| (\([0-9A-FX]{4},[0-9A-FX]{4}\)|odd groups) \|", line)]
    assert len(rows) == len(table["rules"]) == 657
    assert "| (0010,0020) | Patient ID | Z/D |  |" in rows
    assert "| (0008,1030) | Study Description | X | clean_descriptors: C |" in rows
    assert all(f"| `{key}` |" in page for key in medseg.DeidProfile.model_fields)


def test_the_reference_of_structures_lists_every_line_of_the_dictionary():
    page = reference.structures_page()
    assert page.count("\n| ") == len(entries()) + 2
    assert "| kidney |  | left, right | 64033007 SCT Kidney | Anatomical Structure | `60 130 185` |" in page


def pages_with_code() -> list[object]:
    found = [page for page in TEXTS if runnable_blocks(page.read_text("utf-8"))]
    return [pytest.param(page, marks=[pytest.mark.slow] if page.name in TRAIN_FOR_LONG else []) for page in found]


@pytest.mark.parametrize("page", pages_with_code(), ids=name)
def test_runnable_code_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for block in runnable_blocks(page.read_text("utf-8")):
        exec(compile(block, page.name, "exec"), names)  # noqa: S102 - our own pages


@pytest.mark.parametrize("page", TEXTS, ids=name)
def test_links_to_files_and_headings_resolve(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8")):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if file.is_relative_to(ROOT / "docs") and str(file.relative_to(ROOT / "docs")) in GENERATED:
            continue
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), target


@pytest.mark.parametrize("page", [page for page in TEXTS if commands(page.read_text("utf-8"))], ids=name)
def test_commands_in_the_text_exist_with_their_options(page):
    every = every_command(typer.main.get_command(app))
    for _, *words in commands(page.read_text("utf-8")):
        if words[0].startswith("-"):
            continue
        name = next((name for name in (words[0], " ".join(words[:2])) if name in every), None)
        assert name is not None, words[:2]
        known = {option for parameter in every[name] for option in (*parameter.opts, *parameter.secondary_opts)}
        assert {word for word in words[1:] if word.startswith("-")} <= known | {"--help"}
