"""What the review app shows, to whom, and where it keeps what readers decide."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from .section import Section

Label = Annotated[str, Field(min_length=1, max_length=64)]


class Role(StrEnum):
    """What a person may do; each role may do what those before it may."""

    READER = "reader"
    """Looks, corrects, decides."""
    SENIOR = "senior"
    """Releases burned-in text, exports, runs models, sees all readers' versions."""
    ADMIN = "admin"
    """Reads the audit log and, where the configuration allows it, identifiers."""


class BatchSource(Section):
    """Results of `medseg batch`, and the studies that they were made of."""

    kind: Literal["batch"]
    output: Path
    """Folder that holds `manifest.sqlite`."""
    studies: Path
    """Folder of the DICOM studies that were its input."""
    reference: Path | None = None
    """Folder of reference outlines, one file or folder named after each series' pseudonym."""


class FolderSource(Section):
    """A data set, or a folder of images with outlines beside it."""

    kind: Literal["folder"]
    images: Path
    """Images as `medseg predict` takes them: a folder of NIfTI files or DICOM series, or a manifest."""
    predictions: Path | None = None
    """Folder that `medseg predict` wrote."""
    reference: Path | None = None
    """Label maps by case, or a manifest that names them."""
    others: dict[Label, Path] = Field(default_factory=dict)
    """More outlines to compare with, by the name of the reader or model that made them: folders as `predictions`."""
    labels: Path | None = None
    """JSON that names the label values; by default one that lies beside the label maps."""
    model: Path | None = None
    """Bundle that made the predictions: it names and colours what they hold, and tells what is unlike training."""
    name: Annotated[str, Field(max_length=64)] = ""
    """Tells cases of one name in several sources apart; a part of what their pseudonyms are made of."""


Source = Annotated[BatchSource | FolderSource, Field(discriminator="kind")]


class LoginSection(Section):
    """Who may come in, by the e-mail address that the OpenID provider vouches for."""

    readers: dict[Label, Role]
    """Role of each address; `*@hospital.example` is everyone of a domain."""


class ReviewLimits(Section):
    """What one person may bring and hold."""

    upload_mb: Annotated[int, Field(ge=1, le=65536)] = 2048
    """One upload, and what it unpacks to."""
    session_mb: Annotated[int, Field(ge=64)] = 8192
    """Temporary files of a session."""
    viewer_megavoxels: Annotated[int, Field(ge=1)] = 150
    """Larger volumes are shown as a copy of fewer voxels; edits are made on the original grid all the same."""
    ticket_minutes: Annotated[int, Field(ge=1, le=1440)] = 240
    """How long the browser may fetch the voxels of a case that it opened."""


class ReviewConfig(Section):
    """The file that `medseg app` takes. Relative paths are relative to it."""

    folder: Path = Path("review")
    """Drafts, versions, uploads, the audit log's head, and the database if none is named."""
    database: str | None = None
    """SQLAlchemy URL, such as `postgresql+psycopg://user@host/reviews`; by default SQLite in the folder."""
    key: Path | None = None
    """File of the project key; by default the user's own."""
    sources: tuple[Source, ...] = ()
    models: tuple[Path, ...] = ()
    """Bundles that may be run from the app."""
    login: LoginSection | None = None
    """Without it the app listens on 127.0.0.1 only, and everybody there is the local reader, an admin."""
    show_identifiers: bool = False
    """Whether an admin may look at identifiers; each look is in the audit log."""
    profile: Label = "basic"
    """De-identification profile for uploads and for what is exported for release: its name, or a YAML file."""
    limits: ReviewLimits = ReviewLimits()
