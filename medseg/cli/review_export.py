"""The commands ``medseg review export`` and ``medseg review training-set``."""

from __future__ import annotations

import importlib.util
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from medseg.config.review import Role
from medseg.core.errors import InputError

from .arguments import FormName, JsonFlag
from .console import ConsoleProgress, print_line, print_table

Config = Annotated[Path, typer.Argument(help="Configuration file of `medseg app`, such as review.yaml.")]


def _need_sqlalchemy() -> None:
    if importlib.util.find_spec("sqlalchemy") is None:
        raise InputError("`medseg review` needs SQLAlchemy; run `pip install 'medseg[app]'`")


class ModeName(StrEnum):
    """Who an export is for."""

    back = "return"
    release = "release"


def export(
    config: Config,
    write: Annotated[
        list[FormName] | None, typer.Option("--write", help="What to write; may be repeated.", show_default="nifti")
    ] = None,
    mode: Annotated[
        ModeName, typer.Option(help="return: for the house, refers to the original; release: names nobody.")
    ] = ModeName.back,
    as_json: JsonFlag = False,
) -> None:
    """Export all accepted cases into the review folder."""
    _need_sqlalchemy()
    from medseg.batch.outputs import ResultForm
    from medseg.config.load import load_review_config
    from medseg.review.export import ExportMode
    from medseg.review.export_accepted import export_accepted
    from medseg.review.records import LOCAL_READER, Reader

    forms = [ResultForm(one.value) for one in write or [FormName.nifti]]
    actor = Reader(LOCAL_READER, Role.ADMIN)
    done = export_accepted(load_review_config(config), forms, ExportMode(mode.value), actor, ConsoleProgress())
    rows = [{"case": name, "export": folder.name} for name, folder in done.folders.items()]
    rows += [{"case": name, "export": why} for name, why in {**done.failed, **done.left_out}.items()]
    print_table(rows, f"{len(done.folders)} exported", as_json=as_json)
    raise typer.Exit(1 if done.failed else 0)


def training_set(
    config: Config,
    output: Annotated[Path, typer.Option("--output", "-o", help="New folder for the data set.")],
) -> None:
    """Write all accepted cases as a data set that `medseg plan` takes."""
    _need_sqlalchemy()
    from medseg.config.load import load_review_config
    from medseg.review.export_accepted import export_training_set
    from medseg.review.records import LOCAL_READER, Reader

    actor = Reader(LOCAL_READER, Role.ADMIN)
    made = export_training_set(load_review_config(config), output, actor, ConsoleProgress())
    print_line(f"{len(made.cases)} cases; {len(made.left_out)} left out, see left_out.csv")
    print_line(f"next: medseg plan {made.manifest} -o run.yaml")
