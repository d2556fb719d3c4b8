"""The command ``medseg card``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .console import print_line


def card(
    bundle: Annotated[Path, typer.Argument(help="Folder of the model, RUN/bundle.")],
    override: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="What its owner says: owner=..., license=..., intended_use=...", show_default="card.yaml's"
        ),
    ] = None,
    evaluation: Annotated[
        Path | None,
        typer.Option(help="Folder that `medseg evaluate` wrote, whose means are to be shown.", show_default="as it is"),
    ] = None,
) -> None:
    """Write the model card of a bundle anew: card.html, card.md; what its owner says is kept in card.yaml."""
    from medseg.evaluation.card_scores import headline
    from medseg.pipelines.card import model_card

    made = model_card(bundle, override or [], evaluation)
    print_line(f"card: {bundle / 'card.html'}")
    if said := headline(made):
        print_line(said)
