"""The command ``medseg train``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medseg.core.errors import InputError

from .arguments import InitOption, JsonFlag, OverrideOption, start_override
from .console import print_line, print_table, run_progress

if TYPE_CHECKING:
    from medseg.config.sections import RunConfig
    from medseg.pipelines.cross_validate import FoldOptions


def train(
    config: Annotated[Path, typer.Argument(help="Configuration, as `medseg plan` writes it.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the run; the model lies in RUN/bundle.")],
    budget: Annotated[
        str | None,
        typer.Option(
            help="Training time: 20min, 200ep; changes the schedule only.", show_default="the configuration's"
        ),
    ] = None,
    folds: Annotated[
        str | None,
        typer.Option(
            help="Cross-validate: a network a fold. A number, or all: those of the split file, 5 without one.",
            show_default="one network",
        ),
    ] = None,
    fold: Annotated[
        str | None, typer.Option(help="Train only these folds now, such as 0,2.", show_default="all of them")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where this run stopped.", show_default="off")] = False,
    override: OverrideOption = None,
    init_from: InitOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Train a network, or one for each fold of a cross-validation, and leave it as a bundle."""
    from medseg.pipelines.train import read_run_config
    from medseg.pipelines.train import train as run_train
    from medseg.training.distributed import is_main_process

    wanted = read_folds(folds, fold)
    resolved = read_run_config(config, [*start_override(init_from), *(override or [])], budget)
    if wanted is not None:
        _train_folds(resolved, output, wanted, resume=resume, as_json=as_json)
        return
    result = run_train(resolved, output, resume=resume, progress=run_progress())
    if not is_main_process():
        return
    print_table(result.rows(), "validation, on the images' own grids", as_json=as_json)
    print_line(f"the model lies in {result.bundle}; next: medseg predict {result.bundle} INPUT -o OUT", as_json=as_json)


def _train_folds(config: RunConfig, output: Path, wanted: FoldOptions, *, resume: bool, as_json: bool) -> None:
    from medseg.pipelines.cross_validate import cross_validate
    from medseg.training.distributed import is_main_process

    done = cross_validate(config, output, wanted, resume=resume, progress=run_progress())
    if not is_main_process():
        return
    print_table(done.rows(), "out of fold: every case by the network that did not train on it", as_json=as_json)
    if done.bundle is not None:
        print_line(f"report: {output / 'out_of_fold' / 'report.html'}", as_json=as_json)
        print_line(f"the model of all folds lies in {done.bundle}", as_json=as_json)


def read_folds(count: str | None, only: str | None) -> FoldOptions | None:
    """What ``--folds`` and ``--fold`` ask for; None if there are to be no folds.

    Raises:
        InputError: If one of them is no number, or ``--fold`` is given alone.
    """
    from medseg.pipelines.cross_validate import FoldOptions

    if count is None:
        if only is not None:
            raise InputError("--fold says which folds to train now; say how many there are by --folds 5 or --folds all")
        return None
    if count != "all" and not (count.isdecimal() and int(count) > 1):
        raise InputError(f"--folds {count!r} is neither a number from 2 on nor all")
    parts = [] if only is None else [part.strip() for part in only.split(",")]
    if not all(part.isdecimal() for part in parts):
        raise InputError(f"--fold {only!r} is no list of numbers, such as 0,2; folds count from 0")
    return FoldOptions(None if count == "all" else int(count), tuple(map(int, parts)))
