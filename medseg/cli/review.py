"""The commands ``medseg review``."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medseg.config.review import ReviewConfig
from medseg.core.errors import InputError

from .arguments import JsonFlag
from .console import ConsoleProgress, print_json, print_line, print_table
from .review_export import export, training_set

if TYPE_CHECKING:
    from collections.abc import Iterator

    from medseg.review.audit import AuditEntry
    from medseg.review.store import Store

review = typer.Typer(
    help="Look after what the review app keeps.", no_args_is_help=True, add_completion=False, rich_markup_mode=None
)
Place = Annotated[
    Path, typer.Argument(metavar="CONFIG|FOLDER", help="What `medseg app` takes, or its folder of reviews.")
]
KeyOption = Annotated[
    Path | None,
    typer.Option(
        help="Project key that seals the log.", show_default="the configuration's; ~/.config/medseg/project.key"
    ),
]


review.command()(export)
review.command()(training_set)


@review.command()
def verify(
    place: Place = Path("review"),
    key: KeyOption = None,
    labels: Annotated[bool, typer.Option("--labels/--no-labels", help="Read all outlines that were kept too.")] = True,
    as_json: JsonFlag = False,
) -> None:
    """Find out whether anybody changed the audit log, decisions, versions or outlines behind the app's back."""
    with _opened(place, key) as (config, store):
        found = store.state
        damaged = _damaged(config, store) if labels and found.ok else []
    if as_json:
        print_json({"entries": found.entries, "first_broken": found.number, "reason": found.reason, "labels": damaged})
    else:
        print_line(f"{found.entries} entries, " + ("all as they were written" if found.ok else found.reason))
        for one in damaged:
            print_line(f"case {one['case']}, version {one['version']}: {one['problem']}")
    raise typer.Exit(0 if found.ok and not damaged else 1)


@review.command()
def log(
    place: Place = Path("review"),
    key: KeyOption = None,
    case: Annotated[str | None, typer.Option(help="Only what was done to this case.", show_default="all")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Show who did what and when."""
    with _opened(place, key) as (_, store):
        rows = [_row(entry, as_json=as_json) for entry in store.entries() if case in (None, entry.case)]
        sound = store.state
    print_table(rows, as_json=as_json)
    if not sound.ok:
        print_line(f"not as it was written: {sound.reason}; see `medseg review verify`", as_json=True)


@contextmanager
def _opened(place: Path, key: Path | None) -> Iterator[tuple[ReviewConfig, Store]]:
    """The store that a configuration or a folder means, for reading."""
    from medseg.core.files import existing
    from medseg.core.pseudonyms import default_key_path, load_key

    try:
        from medseg.review.store import read_store
    except ImportError:
        raise InputError("`medseg review` needs SQLAlchemy; run `pip install 'medseg[app]'`") from None
    config = _config(existing(place))
    key = key or config.key
    if not (key or default_key_path()).is_file():
        raise InputError("there is no project key, so no seal can be checked; name the one that the app used by --key")
    with read_store(config.folder, load_key(key), config.database) as store:
        yield config, store


def _config(place: Path) -> ReviewConfig:
    from medseg.config.load import load_review_config

    return ReviewConfig(folder=place) if place.is_dir() else load_review_config(place)


def _damaged(config: ReviewConfig, store: Store) -> list[dict[str, str | int]]:
    """Versions whose outlines are not what was kept."""
    from medseg.review.vault import Vault

    vault, versions = Vault(config.folder), store.versions()
    found: list[dict[str, str | int]] = []
    problems: dict[str, str] = {}
    progress = ConsoleProgress()
    progress.start("reading outlines", len(versions))
    for version in versions:
        if version.sha256 not in problems:
            problems[version.sha256] = vault.problem(version.sha256)
        if problem := problems[version.sha256]:
            found.append({"case": version.case, "version": version.number, "problem": problem})
        progress.advance()
    progress.finish()
    return found


def _row(entry: AuditEntry, *, as_json: bool) -> dict[str, object]:
    return {
        "entry": entry.number,
        "when": _when(entry.made),
        "who": entry.who,
        "role": entry.role,
        "act": entry.act,
        "case": entry.case,
        "details": entry.facts if as_json else "; ".join(f"{name} {value}" for name, value in entry.facts.items()),
    }


def _when(made: float) -> str:
    """A time in words; whatever a log that was tampered with may hold in its place."""
    try:
        return datetime.fromtimestamp(made, UTC).isoformat(timespec="milliseconds")
    except (TypeError, ValueError, OverflowError, OSError):
        return str(made)
