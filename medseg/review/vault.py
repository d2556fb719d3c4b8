"""The vault: the labels of all versions, each in a file named after the SHA-256 of what it holds.

::

    FOLDER/vault/5f/5f0a….labels   a label stream, packed by gzip

A file is complete and on the disk before anything refers to it; one that nothing refers to is what a killed process
left, and does no harm.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from pathlib import Path

from medseg.core.errors import GeometryError, InputError, MedsegError, OutputError, ReadError
from medseg.core.files import atomic_file
from medseg.core.geometry import Geometry
from medseg.core.volume import Labels
from medseg.io.incoming import flushed_folder
from medseg.io.streams import decompressed, gzipped, opened_regular

from .label_stream import arranged, label_parts, labels_digest, read_label_stream

FOLDER = "vault"
_SHA256 = re.compile(r"[0-9a-f]{64}")
_ABANDONED_S = 3600.0


class Vault:
    """The vault of a review folder; safe among threads and processes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / FOLDER

    def put(self, labels: Labels) -> str:
        """Keep labels; on return they are on the disk. Those that are there already stay as they are.

        Returns:
            Their digest, as ``labels_digest`` gives it.

        Raises:
            LabelError: If a value needs more than 63 bits.
            OutputError: If the disk is full or the folder cannot be written to.
        """
        labels = arranged(labels)
        sha256 = labels_digest(labels)
        path = self._path(sha256)
        if path.exists() and not self.problem(sha256):
            return sha256
        with atomic_file(path) as partial, partial.open("wb") as file, gzipped(file) as stream:
            for part in label_parts(labels):
                stream.write(part)
        try:
            for folder in (path.parent, self._folder, self._folder.parent):
                flushed_folder(os.open(folder, os.O_RDONLY))
        except OSError as error:
            raise OutputError(f"the vault cannot be written to ({error.strerror}); nothing was kept") from error
        return sha256

    def get(self, sha256: str, grid: Geometry | None = None) -> Labels:
        """Labels that were kept, their values in the smallest type that holds them.

        Args:
            sha256: What ``put`` gave.
            grid: What they have to lie on.

        Raises:
            InputError: If they are not there.
            ReadError: If they are not what was kept.
            GeometryError: If they lie on another grid.
        """
        path = self._path(sha256)
        if not path.exists():
            raise InputError("the vault lacks these outlines; put a backup of the whole review folder in its place")
        try:
            with opened_regular(path) as file, decompressed(file) as stream:
                labels, found = read_label_stream(stream, path.stat().st_size)
        except MedsegError as error:
            raise ReadError(f"outlines in the vault are damaged ({error}); put a backup in their place") from error
        if found != sha256:
            raise ReadError("outlines in the vault are not those that were kept; put a backup in their place")
        if grid is not None and not labels.geometry.is_close(grid):
            raise GeometryError("outlines in the vault lie on another grid than the image; was it replaced since?")
        return labels

    def problem(self, sha256: str) -> str:
        """Why ``get`` does not give what was kept, in words; empty if it does."""
        try:
            self.get(sha256)
        except MedsegError as error:
            return str(error)
        return ""

    def clear(self) -> None:
        """Remove what was left, more than an hour ago, by processes that were killed while they wrote."""
        for path in self._folder.glob("*/.partial-*"):
            with contextlib.suppress(OSError):
                if path.stat().st_mtime < time.time() - _ABANDONED_S:
                    path.unlink()

    def _path(self, sha256: str) -> Path:
        if not _SHA256.fullmatch(sha256):
            raise InputError("a digest of outlines is 64 hexadecimal digits in lower case")
        return self._folder / sha256[:2] / f"{sha256}.labels"
