"""Sphinx extension that writes the reference pages from the code: Python names, commands, configuration."""

from __future__ import annotations

import enum
import importlib
import inspect
import itertools
import types
import typing
from collections.abc import Iterator
from pathlib import Path

import annotated_types
import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from sphinx.application import Sphinx

import medseg
from medseg.cli.main import app as cli
from medseg.config import sections
from medseg.config.deid import DeidProfile, Option
from medseg.config.review import ReviewConfig
from medseg.core.anatomy import entries
from medseg.deid.table import Rule, read_table


def setup(app: Sphinx) -> dict[str, bool]:
    """Write the pages before Sphinx looks for sources."""
    app.connect("builder-inited", _write_pages)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def public_names() -> list[str]:
    """The names that ``import medseg`` offers."""
    return [name for name in dir(medseg) if not name.startswith("_")]


def python_page() -> str:
    """All public names, by the package that they live in, with their docstrings."""
    homes = sorted(public_names(), key=lambda name: (_package(name), name))
    parts = ["# Python\n\nAll names can be imported from `medseg`; a module is loaded when one is first used."]
    for package, names in itertools.groupby(homes, key=_package):
        summary = inspect.getdoc(importlib.import_module(package)) or ""
        parts.append(f"## From {package}\n\n{summary}")
        parts.extend(_autodoc(name) for name in names)
    return "\n\n".join(parts) + "\n"


def cli_page() -> str:
    """All commands, with their arguments and options."""
    group = typer.main.get_command(cli)
    parts = [f"# Command line\n\n{cli.info.help}", *_command_parts(group, typer.Context(group, info_name="medseg"))]
    return "\n\n".join(parts) + "\n"


def _command_parts(group: typer.core.TyperGroup, context: typer.Context) -> Iterator[str]:
    """The commands of a group, and of the groups in it."""
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        inner = typer.Context(command, info_name=name, parent=context)
        if isinstance(command, typer.core.TyperGroup):
            yield from _command_parts(command, inner)
            continue
        usage = " ".join([inner.command_path, *command.collect_usage_pieces(inner)])
        records = [parameter.get_help_record(inner) for parameter in command.get_params(inner)]
        table = _table(("", ""), [(f"`{left}`", right) for left, right in filter(None, records)])
        text = inspect.cleandoc(command.help or "")
        yield f"## {inner.command_path}\n\n{text}\n\n```text\n{usage}\n```\n\n{table}"


def configuration_page() -> str:
    """All sections of a run configuration, with their fields."""
    parts = [
        "# Configuration",
        "A run is one YAML file. `medseg plan` writes it; `--set section.key=value` changes one value for one run.",
        "A key that is not listed here is refused.",
    ]
    parts.extend(_section_part(section).replace("### ", "## ", 1) for section in _sections(sections.RunConfig))
    return "\n\n".join(parts) + "\n"


def review_page() -> str:
    """All sections of the review app's configuration, with their fields."""
    parts = [
        "# Review app: configuration",
        "The YAML file that `medseg app` takes. A key that is not listed here is refused.",
    ]
    parts.extend(_section_part(section).replace("### ", "## ", 1) for section in _sections(ReviewConfig))
    return "\n\n".join(parts) + "\n"


def deidentification_page() -> str:
    """What a profile may say, and what happens to each attribute under each option."""
    table = read_table()
    rules = sorted([*table.rules.values(), *table.patterns.values()], key=lambda rule: rule.tag)
    parts = ["# De-identification: profile and table", "## Profile", "A profile is a YAML file of these keys."]
    parts.extend(_section_part(section) for section in _sections(DeidProfile))
    parts.append(
        f"## Attributes\n\nPS3.15 Table E.1-1, edition {table.edition}: {len(rules)} rows. X removes, "
        "Z empties, D replaces, U maps UIDs, K keeps, C cleans; where a row gives a choice, the attribute's type in "
        "the object decides."
    )
    parts.append(_table(("tag", "attribute", "basic", "options"), [_rule_row(rule) for rule in rules]))
    return "\n\n".join(parts) + "\n"


def structures_page() -> str:
    """The dictionary of structures."""
    text = (
        "Names of structures that medseg knows, with the code that goes into DICOM objects and the recommended colour. "
        "Case, `_`, `-`, CamelCase and plurals do not count. A structure with two sides is known as `left kidney`, "
        "`kidney_left`, `Kidney_L` and the like, a lighter colour on the left, a darker one on the right. What a data "
        "set or a configuration says itself counts more. Codes are SNOMED CT (SCT) and NCI Thesaurus (NCIt)."
    )
    rows = [
        (
            one.known.name,
            ", ".join(one.synonyms),
            "left, right" if one.sided else "",
            f"{one.known.code.value} {one.known.code.scheme} {one.known.code.meaning}",
            one.known.category.meaning if one.known.category else "Anatomical Structure",
            f"`{' '.join(map(str, one.known.colour))}`",
        )
        for one in entries()
    ]
    return f"# Structures\n\n{text}\n\n{_table(('name', 'also', 'sides', 'code', 'category', 'colour'), rows)}\n"


def _rule_row(rule: Rule) -> tuple[str, str, str, str]:
    tag = f"({rule.tag[:4]},{rule.tag[4:]})" if len(rule.tag) == 8 else "odd groups"
    options = [f"{option.value}: {rule.options[option]}" for option in Option if option in rule.options]
    return tag, rule.name, rule.basic.replace("*", "\\*"), ", ".join(options)


def _section_part(section: type[BaseModel]) -> str:
    rows = [
        (f"`{name}`", f"`{_type_name(field)}`", _default(field), " ".join((field.description or "").split()))
        for name, field in section.model_fields.items()
    ]
    return f"### {section.__name__}\n\n{inspect.getdoc(section)}\n\n{_table(('key', 'type', 'default', ''), rows)}"


def _write_pages(app: Sphinx) -> None:
    folder = Path(app.srcdir, "reference", "generated")
    folder.mkdir(parents=True, exist_ok=True)
    pages = {
        "python.md": python_page(),
        "structures.md": structures_page(),
        "cli.md": cli_page(),
        "configuration.md": configuration_page(),
        "deidentification.md": deidentification_page(),
        "review.md": review_page(),
    }
    for name, text in pages.items():
        path = folder / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def _package(name: str) -> str:
    return ".".join(getattr(medseg, name).__module__.split(".")[:2])


def _autodoc(name: str) -> str:
    thing = getattr(medseg, name)
    directive = "autoclass" if inspect.isclass(thing) else "autofunction"
    members = "\n   :members:" if inspect.isclass(thing) else ""
    return f"```{{eval-rst}}\n.. {directive}:: medseg.{name}{members}\n```"


def _sections(root: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """The sections below ``root``, depth first, each once."""
    seen: dict[type[BaseModel], None] = {}

    def walk(section: type[BaseModel]) -> None:
        if section not in seen:
            seen[section] = None
            for field in section.model_fields.values():
                for inner in _models_in(field.annotation):
                    walk(inner)

    walk(root)
    yield from seen


def _models_in(annotation: object) -> Iterator[type[BaseModel]]:
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in typing.get_args(annotation):
        yield from _models_in(inner)


def _type_name(field: FieldInfo) -> str:
    bounds = [_bound(entry) for entry in field.metadata]
    return _annotation_name(field.annotation) + "".join(bounds)


def _annotation_name(annotation: object) -> str:
    arguments = typing.get_args(annotation)
    if typing.get_origin(annotation) is typing.Literal:
        return " or ".join(str(choice) for choice in arguments)
    if inspect.isclass(annotation) and issubclass(annotation, enum.Enum):
        return " or ".join(choice.value for choice in annotation)
    if isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is typing.Union:
        return " or ".join(_annotation_name(one) for one in arguments)
    if typing.get_origin(annotation) is typing.Annotated:
        return _annotation_name(arguments[0]) + "".join(_bound(entry) for entry in arguments[1:])
    if typing.get_origin(annotation) is tuple:
        inner = [_annotation_name(one) for one in arguments if one is not Ellipsis]
        return f"list of {inner[0]}" if Ellipsis in arguments else f"[{', '.join(inner)}]"
    return "none" if annotation is type(None) else getattr(annotation, "__name__", str(annotation))


def _bound(entry: object) -> str:
    match entry:
        case FieldInfo():
            return "".join(_bound(one) for one in entry.metadata)
        case annotated_types.Gt():
            return f" > {entry.gt}"
        case annotated_types.Ge():
            return f" ≥ {entry.ge}"
        case annotated_types.Lt():
            return f" < {entry.lt}"
        case annotated_types.Le():
            return f" ≤ {entry.le}"
        case _:
            return ""


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True)
    if field.is_required():
        return "required"
    if isinstance(value, BaseModel):
        return f"see {type(value).__name__}"
    if isinstance(value, tuple):
        value = list(value)
    return f"`{value.value if isinstance(value, enum.Enum) else value}`".replace("None", "none")


def _table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [header, tuple("---" for _ in header), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)
