"""The command ``medseg deidentify``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medseg.config.deid import DeidProfile, KeptAttribute, Mode
from medseg.core.errors import InputError

from .arguments import JsonFlag, KeyOption
from .console import ERRORS, ConsoleProgress, print_line, print_table

if TYPE_CHECKING:
    from medseg.deid.audit import Audit
    from medseg.pipelines.deidentify import Deidentified


class Where(StrEnum):
    """Where the objects go."""

    release = "release"
    back = "return"


def deidentify(
    source: Annotated[
        Path, typer.Argument(metavar="INPUT", help="Folder, file or archive: DICOM, NIfTI, NRRD, MHA, PNG, JPEG, BIDS.")
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder for what may leave the house.", show_default="none; required"),
    ] = None,
    profile: Annotated[str, typer.Option(help="basic, research, teaching, or a YAML file.")] = "basic",
    mode: Annotated[
        Where | None,
        typer.Option(
            help="release: everything is cleaned. return: objects go back to the PACS and still name the patient.",
            show_default="the profile's",
        ),
    ] = None,
    key: KeyOption = None,
    keep: Annotated[
        list[KeptAttribute] | None,
        typer.Option(help="Keep in manifest.csv, in bands; may be repeated.", show_default="none"),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes that clean.")] = 1,
    quarantine: Annotated[
        Path | None, typer.Option(help="Folder for what is held back.", show_default="OUTPUT-quarantine")
    ] = None,
    accept: Annotated[
        Path | None,
        typer.Option(help="List of series, instances and pictures that a person has reviewed.", show_default="none"),
    ] = None,
    lookup: Annotated[
        Path | None, typer.Option(help="Write the way back, sealed for a broker.", show_default="none")
    ] = None,
    broker_key: Annotated[
        Path | None, typer.Option(help="The broker's X25519 public key, PEM.", show_default="none")
    ] = None,
    proof: Annotated[bool, typer.Option("--proof/--no-proof", help="Search the results before release.")] = True,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Show what would happen to each attribute; write nothing.", show_default="off"),
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Audit a folder that someone else has cleaned.", show_default="off")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Write copies of medical images that name nobody, and prove it."""
    from medseg.pipelines.deidentify import DeidentifyOptions, check_folder, foresee_actions
    from medseg.pipelines.deidentify import deidentify as run_deidentify

    _check_choices(output, dry_run=dry_run, check=check)
    chosen = _profile(profile, mode, keep or [])
    options = DeidentifyOptions(chosen, key, workers, quarantine, accept, lookup, broker_key, proof)
    if check:
        _tell_findings(check_folder(source, chosen, ConsoleProgress()), as_json=as_json)
    elif dry_run or output is None:
        print_table(foresee_actions(source, options, ConsoleProgress()), as_json=as_json)
    else:
        _tell(run_deidentify(source, output, options, ConsoleProgress()), as_json=as_json)


def _check_choices(output: Path | None, *, dry_run: bool, check: bool) -> None:
    if dry_run and check:
        raise InputError("--dry-run and --check are two different jobs; give one of them")
    if output is None and not (dry_run or check):
        raise InputError("name the folder for the results by -o; --dry-run shows what would happen without one")
    if output is not None and check:
        raise InputError("--check writes nothing; name the folder to audit and leave -o away")


def _profile(name: str, mode: Where | None, keep: list[KeptAttribute]) -> DeidProfile:
    """The profile with what the command line changes."""
    from medseg.config.load import load_profile

    profile = load_profile(name)
    kept = tuple(dict.fromkeys([*profile.keep_in_manifest, *keep]))
    wanted = Mode(mode.value) if mode else profile.mode
    return profile.model_copy(update={"mode": wanted, "keep_in_manifest": kept})


def _tell(done: Deidentified, *, as_json: bool) -> None:
    """One table, where to look, and what to do next; exit code 1 if anything was held back."""
    print_table(done.report.summary(), as_json=as_json)
    if done.unchanged:
        print_line(f"{done.unchanged} unchanged since the last run, not done again", as_json=as_json)
    if done.report.profile.mode is Mode.RETURN:
        ERRORS.print("return mode: the objects still name the patient and may not leave the house", style="red")
    if done.report.quarantined:
        print_line(
            f"held back: {done.quarantine} (stays in the house; quarantine.json says why). What a person has looked at "
            "and found clean: write its name into a file and run again with --accept FILE",
            as_json=as_json,
        )
    print_line(f"report: {done.output / 'deid_report.html'}", as_json=as_json)
    raise typer.Exit(1 if done.has_failures else 0)


def _tell_findings(found: Audit, *, as_json: bool) -> None:
    """Findings and notes as one table; exit code 1 if there are findings."""
    print_table(found.rows(), as_json=as_json)
    unread = f", {found.unreadable} could not be read" if found.unreadable else ""
    others = f", {found.others} of other kinds were not looked at" if found.others else ""
    print_line(
        f"{found.files} files looked at{unread}{others}; {len(found.findings)} kinds of findings, "
        f"{len(found.notes)} of notes for a person",
        as_json=as_json,
    )
    raise typer.Exit(1 if found.has_findings else 0)
