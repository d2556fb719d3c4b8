"""Files that lie beside images in a BIDS data set: which are released, and what of them.

Everything goes by lists of what may stay. Files that are mostly free text (README, CHANGES, code, descriptions of
columns) are not released at all.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from medseg.core.errors import ReadError
from medseg.core.files import write_text
from medseg.io.limits import decoding_unnamed
from medseg.io.streams import opened_regular

from .bids_names import is_bids
from .bids_tables import clean_table
from .removed import Removed
from .sidecar_metadata import clean_description, clean_metadata
from .sidecar_rules import SidecarRules

LARGEST_SIDECAR = 16 * 2**20
"""Bytes of a file beside an image that are read."""
_IMAGES = (".nii.gz", ".nii", ".nrrd", ".seg.nrrd", ".mha", ".png", ".jpg", ".jpeg", ".hdr")
_GRADIENTS = re.compile(r"[-+0-9.eEnaN \t\r\n]*")


@dataclass(frozen=True)
class SidecarCleaned:
    """A file beside an image was written anew.

    Attributes:
        taken: What stood in the source and not in the target, for the proof.
    """

    taken: tuple[Removed, ...]


@dataclass(frozen=True)
class SidecarSkipped:
    """A file is not released.

    Attributes:
        reason: Why; names neither the file nor anything in it.
    """

    reason: str


def clean_sidecar(source: Path, target: Path, rules: SidecarRules) -> SidecarCleaned | SidecarSkipped:
    """Write at ``target`` what may leave the house of a file that lies beside images.

    These are sidecars (``.json`` of an image), ``dataset_description.json``, ``participants.tsv``, ``*_scans.tsv``,
    ``*_sessions.tsv``, ``.bval`` and ``.bvec``; every other file is skipped.

    Raises:
        ReadError: If the file is damaged, too large, a link or no file. It is not named.
        OutputError: If the target cannot be written.
    """
    name = source.name
    if name == "dataset_description.json":
        description, taken = clean_description(_object(source), rules.vocabulary)
        return _written(target, _json(description), taken)
    if name.endswith(".json") and _belongs_to_image(source):
        metadata, taken = clean_metadata(_object(source), rules)
        return _written(target, _json(metadata), taken)
    if name.endswith((".bval", ".bvec")):
        return _written(target, _gradients(_read(source)), ())
    if name == "participants.tsv" or name.endswith(("_scans.tsv", "_sessions.tsv")):
        return _written(target, *clean_table(name, _read(source), rules))
    return SidecarSkipped("a file of a kind that is not released")


def _belongs_to_image(source: Path) -> bool:
    """Whether a ``.json`` file is named as a sidecar in BIDS, or as an image beside it."""
    stem = source.name.removesuffix(".json")
    if is_bids(stem):
        return stem.rpartition("_")[2] not in ("scans", "sessions")
    return any(os.path.lexists(source.with_name(stem + suffix)) for suffix in _IMAGES)


def _read(source: Path) -> str:
    with opened_regular(source) as file, decoding_unnamed():
        data = file.read(LARGEST_SIDECAR + 1)
        if len(data) > LARGEST_SIDECAR:
            raise ReadError(f"takes more than {LARGEST_SIDECAR // 2**20} MiB, the largest file beside images")
        return data.decode("utf-8-sig")


def _object(source: Path) -> Mapping[str, Any]:
    content = _read(source)
    with decoding_unnamed():
        parsed = json.loads(content)
        json.dumps(parsed, ensure_ascii=False).encode("utf-8")  # half a surrogate pair is no text
    if not isinstance(parsed, dict):
        raise ReadError("holds no JSON object")
    return parsed


def _json(content: Mapping[str, Any]) -> str:
    return json.dumps(content, indent=2, sort_keys=True) + "\n"


def _gradients(content: str) -> str:
    """The numbers of b values or directions, one space between them."""
    if not _GRADIENTS.fullmatch(content):
        raise ReadError("holds something else than numbers")
    rows = [line.split() for line in content.splitlines()]
    with decoding_unnamed():
        for word in chain(*rows):
            float(word)
    return "".join(f"{' '.join(row)}\n" for row in rows if row)


def _written(target: Path, content: str, taken: tuple[Removed, ...]) -> SidecarCleaned:
    write_text(target, content)
    return SidecarCleaned(taken)
