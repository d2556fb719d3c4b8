"""The command ``medseg app``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .console import ConsoleProgress, print_line

if TYPE_CHECKING:
    from medseg.config.review import ReviewConfig

_CONFIG, _DEMO = Path("review.yaml"), Path("demo")


def open_app(
    target: Annotated[
        Path | None,
        typer.Argument(
            metavar="CONFIG|FOLDER",
            help="Configuration, output of `medseg batch`, or a folder of images.",
            show_default="review.yaml, or the demo's studies",
        ),
    ] = None,
    studies: Annotated[
        Path | None,
        typer.Option(help="For the output of a batch: the studies that it was made of.", show_default="none"),
    ] = None,
    predictions: Annotated[
        Path | None,
        typer.Option(help="For a folder of images: what `medseg predict` wrote.", show_default="none"),
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes any free one.")] = 8501,
    host: Annotated[str, typer.Option(help="Address; others than this machine's own need a login.")] = "127.0.0.1",
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="Only say where the app is.", show_default="off")
    ] = False,
) -> None:
    """Look at outlines in the browser, correct them, decide about them, export them."""
    from medseg.core.errors import InputError

    try:
        from medseg_app.app import Serving, serve
        from medseg_viewer import script_name

        from medseg.review.desk import open_desk
    except ModuleNotFoundError as error:
        raise InputError(f'the app needs {error.name}; run `pip install "medseg[app]"`') from error
    script_name()
    config, secrets = _chosen(target, studies, predictions)
    with open_desk(config) as desk:
        serving = Serving(port, host, not no_browser, secrets)
        serve(desk, serving, lambda url: print_line(f"the app is at {url}; Ctrl+C ends it"))


def _chosen(target: Path | None, studies: Path | None, predictions: Path | None) -> tuple[ReviewConfig, Path]:
    """What to show, and where the OpenID client of a login would be named.

    Raises:
        InputError: If there is no such file or folder, or the studies of a batch are not named.
    """
    from medseg.config.load import load_review_config
    from medseg.core.files import existing

    if target is None and not _CONFIG.is_file():
        return _demo(), Path("secrets.toml")
    path = existing(target or _CONFIG)
    if path.is_dir():
        return _folder(path, studies, predictions), Path("secrets.toml")
    return load_review_config(path), path.with_name("secrets.toml")


def _demo() -> ReviewConfig:
    """The demo's studies; the demo is run if it was not."""
    from medseg.pipelines.demo import demo
    from medseg.review.sources import demo_config

    if not (_DEMO / "predictions").is_dir():
        print_line("no configuration is named, so this shows the demo; it is made first, in about three minutes")
        demo(_DEMO, progress=ConsoleProgress())
    return demo_config(_DEMO)


def _folder(path: Path, studies: Path | None, predictions: Path | None) -> ReviewConfig:
    """A folder as the only source; reviews go into the folder ``review`` here.

    Raises:
        InputError: If it is the output of a batch and its studies are not named, or the other way round.
    """
    from medseg.batch.manifest import FILE
    from medseg.config.review import BatchSource, FolderSource, ReviewConfig
    from medseg.core.errors import InputError
    from medseg.review.sources import demo_config

    if (path / FILE).is_file():
        if studies is None:
            raise InputError(f"{str(path)!r} is the output of a batch; name its studies too, by --studies FOLDER")
        return ReviewConfig(sources=(BatchSource(kind="batch", output=path, studies=studies),))
    if (path / "test.csv").is_file() and (path / "predictions").is_dir():
        return demo_config(path)
    if studies is not None:
        raise InputError(
            f"{str(path)!r} is no output of `medseg batch`, which --studies is for; what `medseg predict` wrote is "
            f"shown by `medseg app IMAGES --predictions {path}`"
        )
    return ReviewConfig(sources=(FolderSource(kind="folder", images=path, predictions=predictions),))
