"""Uploads for tests: by a person into a session, cleaned in this process, with all that must not show marked."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from deid_factories import fixed_key

from medseg.config.review import ReviewConfig, ReviewLimits
from medseg.core.errors import MedsegError
from medseg.core.progress import SILENT
from medseg.core.pseudonyms import ProjectKey
from medseg.deid.boxes import Box
from medseg.review.cleaning import clean
from medseg.review.cleaning_process import sentence
from medseg.review.session_files import Session, SessionFiles, size_of
from medseg.review.uploads import prepare_upload, receive

KEY: ProjectKey = fixed_key()
ANNA, BERT = "anna@hospital.example", "bert@hospital.example"
MARK = "MARK"
"""Stands in file names and identifying elements."""


@dataclass
class Told:
    """Progress that remembers what it was told."""

    stages: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def start(self, label: str, total: int) -> None:
        self.stages.append(label)

    def advance(self, steps: int = 1) -> None:
        pass

    def note(self, text: str) -> None:
        self.notes.append(text)

    def finish(self) -> None:
        self.stages.append("finished")


class WhiteFinder:
    """Takes what is nearly white for text."""

    def find(self, picture):
        grey = picture if picture.ndim == 2 else picture.max(axis=2)
        down, across = np.nonzero(grey > 250)
        return (
            [Box(int(down.min()), int(across.min()), int(down.max()) + 1, int(across.max()) + 1)] if len(down) else []
        )


class Desk:
    """A review folder, and people who upload."""

    def __init__(self, folder: Path, **changes: object) -> None:
        self.folder = folder
        key = folder / "project.key"
        key.write_text(KEY.secret.hex())
        key.chmod(0o600)
        self.config = ReviewConfig.model_validate({"folder": folder / "review", "key": key, **changes})
        self.sessions = SessionFiles(self.config.folder, self.config.limits)
        self.session = self.sessions.open(ANNA)
        self.told = Told()

    def upload(self, files: Mapping[str, bytes], session: Session | None = None, progress=None):
        """What a person's files become."""
        session = session or self.session
        contents = [(name, io.BytesIO(content)) for name, content in files.items()]
        received = receive(session, contents, self.config.limits)
        return prepare_upload(session, received, self.config, KEY, progress or self.told)

    def refuse(self, files: Mapping[str, bytes], message: str) -> str:
        """The upload is refused in one sentence, and nothing of it is left anywhere."""
        before = sorted(path for path in self.folder.rglob("*"))
        with pytest.raises(MedsegError, match=message) as caught:
            self.upload(files)
        text = str(caught.value)
        assert MARK not in text
        assert "\n" not in text
        assert str(self.folder) not in text
        assert sorted(path for path in self.folder.rglob("*")) == before
        assert self.is_empty()
        assert not self.session.uploads
        return text

    def is_empty(self) -> bool:
        """Whether nothing lies in any session's folder."""
        return self.session.used == 0 and size_of(self.config.folder / "sessions") == 0

    def shown(self) -> bytes:
        """Bytes and names of all that is there, but the folder of originals."""
        paths = [path for path in self.folder.rglob("*") if "originals" not in path.parts]
        named = ((str(path.relative_to(self.folder)).encode(), path) for path in paths)
        return b"\n".join(name + (path.read_bytes() if path.is_file() else b"") for name, path in named)


def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clean without another process, which takes seconds to start."""

    def here(request, folder, progress=SILENT):
        try:
            return clean(request.model_copy(update={"workers": 0}), progress)
        except MedsegError as error:
            raise type(error)(sentence(error)) from None

    monkeypatch.setattr("medseg.review.cleaning_process.clean_apart", here)


def content_of(folder: Path) -> dict[str, bytes]:
    """Files below a folder, by relative path."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def zipped(files: Mapping[str, bytes]) -> bytes:
    """A zip file of them."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return stream.getvalue()


def limits(upload_mb: int = 64, session_mb: int = 256) -> ReviewLimits:
    """Small ones."""
    return ReviewLimits(upload_mb=upload_mb, session_mb=session_mb)
