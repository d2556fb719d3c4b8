"""A folder for objects that come over the network, of which a crash loses none that was acknowledged.

::

    SPOOL/study-5f0a91c2d4e87b31/instance-0c4de0a7b6f19d22.dcm   complete and on the disk
    SPOOL/working/study-.../                                     taken by ``take``, until ``done`` or ``give_back``
    SPOOL/.partial/                                              being received; emptied at each start
    SPOOL/.removed/                                              on its way out; emptied at each start

Names are pseudonyms under the project key, so that neither the folder nor a log that names a study says whose it is.
A study that was taken when the process died is a waiting one again after the start. An object that comes while its
study is being worked on begins a new round: ``done`` then puts the old objects back beside the new one, and the next
round sees them all. Linux and macOS only; one process at a time, any number of threads.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import stat
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from weakref import WeakSet

from medseg.core.errors import DataError, InputError, ReadError
from medseg.core.pseudonyms import ProjectKey

from .dicom_header import read_header, text
from .dicom_identity import read_file_identity
from .incoming import Incoming, Quota, flushed_folder, writing

_PARTIAL, _WORKING, _REMOVED = ".partial", "working", ".removed"
_CLASS, _INSTANCE, _STUDY = 0x00080016, 0x00080018, 0x0020000D
_UID = re.compile(r"[0-9.]{1,64}")
_A_STUDY = re.compile(r"study-[0-9a-f]{16}$")
_CLOCK_LEEWAY_S = 60.0
_LONGEST_OBJECT_S = 3600.0


@dataclass(frozen=True)
class Arrival:
    """An object that is in the spool for good.

    Attributes:
        study: Pseudonym of its study, which is the name of the study's folder.
        instance: Pseudonym of the object.
        sop_class: SOP class UID.
    """

    study: str
    instance: str
    sop_class: str


@contextlib.contextmanager
def open_spool(folder: Path, key: ProjectKey, most_bytes: int = 2**37) -> Iterator[Spool]:
    """The spool in ``folder``, made if need be, and put in order after a crash.

    Args:
        folder: Made with mode 0700; an existing one may be open to its owner only.
        key: Makes the names.
        most_bytes: What all objects in it may take; more are refused until some are done.

    Raises:
        InputError: If others may read the folder, or another process has it open.
        OutputError: If it cannot be written to.
    """
    with writing():
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if folder.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise InputError("others may enter the spool folder, which will hold images of patients; `chmod 700` it")
    with _locked(folder):
        yield Spool(folder, key, most_bytes)


class Spool:
    """What ``open_spool`` gives: ``receive`` and ``keep`` put objects in, ``quiet`` and ``take`` get studies out."""

    def __init__(self, folder: Path, key: ProjectKey, most_bytes: int) -> None:
        self._folder = folder
        self._key = key
        self._moving = threading.Lock()
        self._coming: WeakSet[Incoming] = WeakSet()
        with writing():
            self._put_in_order()
            self._quota = Quota(most_bytes, sum(_size(study) for study in self._studies()))

    @property
    def used_bytes(self) -> int:
        """Bytes of all objects in the spool, those included that are still coming."""
        return self._quota.used

    def receive(self, most_bytes: int) -> Incoming:
        """An empty file for an object of at most ``most_bytes``; it does not count before ``keep``.

        Raises:
            OutputError: If no file can be made.
        """
        incoming = Incoming(self._folder / _PARTIAL / secrets.token_hex(8), self._quota, most_bytes)
        with self._moving:
            self._coming.add(incoming)
        return incoming

    def keep(self, incoming: Incoming, expected: tuple[str, str] | None = None) -> Arrival:
        """Put a complete object into the folder of its study; on return it is on the disk.

        An object of the same SOP instance is replaced. If it cannot be kept, nothing of it is left.

        Args:
            incoming: A DICOM file, written whole.
            expected: SOP class and instance UID that were announced.

        Raises:
            ReadError: If it is no DICOM file, or has no UIDs that every reader finds.
            DataError: If it is not the object that was announced.
            OutputError: If the disk is full or the folder cannot be written to.
        """
        try:
            arrival = self.identify(incoming, expected)
            self._place(incoming, arrival)
        finally:
            incoming.discard()
        return arrival

    def identify(self, incoming: Incoming, expected: tuple[str, str] | None = None) -> Arrival:
        """What ``keep`` would give, without putting it anywhere.

        Raises:
            As ``keep``.
        """
        incoming.finish()
        header = read_header(incoming.path, (_CLASS, _INSTANCE, _STUDY))
        if header is None:
            raise ReadError("what was received is no DICOM object")
        sop_class, instance, study = (text(header.dataset, tag) for tag in (_CLASS, _INSTANCE, _STUDY))
        if not all(_UID.fullmatch(uid) for uid in (sop_class, instance, study)):
            raise ReadError("an object without a SOP class, instance or study UID of at most 64 digits and dots")
        told = read_file_identity(incoming.path)
        if told is None or (told.study_uid, told.instance_uid) != (study, instance):
            raise ReadError("an object that has its UIDs twice, out of order, or at its very end")
        if expected not in (None, (sop_class, instance)):
            raise DataError("an object is of another SOP class or instance than was announced")
        return Arrival(self.name(study), self._key.name("instance", instance), sop_class)

    def name(self, study_uid: str) -> str:
        """Pseudonym of a study, by which the other methods know it."""
        return self._key.name("study", self._key.uid(study_uid))

    def quiet(self, seconds: float, now: float | None = None) -> tuple[str, ...]:
        """Waiting studies into which nothing has come for so long, the one that waits longest first.

        The age is that of the study's folder, so that it outlives a restart. If the clock was set back, the study
        waits once more. Those that are being worked on are left out, and those of which an object that still comes may
        be a part: one that began while they were not quiet yet, within the last hour.

        Args:
            seconds: How long.
            now: Seconds since 1970; the system's clock by default.
        """
        now = time.time() if now is None else now
        found = []
        with self._moving, writing():
            begun = [one.begun for one in self._coming if one.is_open and now - one.begun < _LONGEST_OBJECT_S]
            for study in self._studies():
                changed = study.stat().st_mtime
                if (self._folder / _WORKING / study.name).exists():
                    continue
                if changed > now + _CLOCK_LEEWAY_S:
                    os.utime(study, (now, now))
                elif changed + seconds <= min([now, *begun]):
                    found.append((changed, study.name))
        return tuple(name for _, name in sorted(found))

    def take(self, study: str) -> Path:
        """The folder of a study, out of reach of what comes from now on.

        Raises:
            InputError: If there is no such study, or it is being worked on.
        """
        waiting, taken = self._folder / study, self._folder / _WORKING / study
        with self._moving, writing():
            if not self._key.made_name(study) or not waiting.is_dir() or taken.exists():
                raise InputError("this study is not in the spool, or is being worked on")
            waiting.replace(taken)
        return taken

    def done(self, study: str) -> bool:
        """Remove a study that was taken, unless more of it has come meanwhile.

        Returns:
            True if it is gone; False if more has come: then all of it waits for the next round.

        Raises:
            InputError: If it was not taken.
        """
        taken = self._taken(study)
        removed = self._folder / _REMOVED / f"{study}-{secrets.token_hex(4)}"
        with self._moving, writing():
            if (self._folder / study).exists():
                self._quota.give(self._put_back(study))
                return False
            taken.replace(removed)
        size = _size(removed)
        shutil.rmtree(removed, ignore_errors=True)
        self._quota.give(size)
        return True

    def give_back(self, study: str) -> None:
        """Let a study that was taken wait again, from now on.

        Raises:
            InputError: If it was not taken.
        """
        self._taken(study)
        with self._moving, writing():
            self._quota.give(self._put_back(study))
            os.utime(self._folder / study)

    def _put_in_order(self) -> None:
        """Undo what a crash left half done: partial and half-removed files, taken studies, folders without objects."""
        for name in (_PARTIAL, _REMOVED):
            shutil.rmtree(self._folder / name, ignore_errors=True)
            (self._folder / name).mkdir(mode=0o700)
        (self._folder / _WORKING).mkdir(mode=0o700, exist_ok=True)
        for folder in (self._folder, self._folder / _WORKING):
            if any(_A_STUDY.match(path.name) and not self._key.made_name(path.name) for path in folder.iterdir()):
                raise InputError("the spool holds studies named by another project key; name that key, or a new folder")
        for study in sorted((self._folder / _WORKING).iterdir()):
            self._put_back(study.name)
        for study in self._studies():
            with contextlib.suppress(OSError):  # a folder that holds something stays
                study.rmdir()

    def _place(self, incoming: Incoming, arrival: Arrival) -> None:
        folder = self._folder / arrival.study
        target = folder / f"{arrival.instance}.dcm"
        with writing():
            with self._moving:
                is_new = not folder.exists()
                folder.mkdir(mode=0o700, exist_ok=True)
                try:
                    incoming.move_to(target)
                    handle = os.open(folder, os.O_RDONLY)
                except OSError:
                    with contextlib.suppress(OSError):
                        folder.rmdir()
                    raise
            flushed_folder(handle)
            if is_new:
                flushed_folder(os.open(self._folder, os.O_RDONLY))

    def _taken(self, study: str) -> Path:
        taken = self._folder / _WORKING / study
        if not self._key.made_name(study) or not taken.is_dir():
            raise InputError("this study was not taken from the spool")
        return taken

    def _put_back(self, study: str) -> int:
        """Move a taken study back beside what came since, which counts; bytes of what it replaces."""
        taken, waiting = self._folder / _WORKING / study, self._folder / study
        if not waiting.exists():
            taken.replace(waiting)
            return 0
        freed = 0
        for path in taken.iterdir():
            if (waiting / path.name).exists():
                freed += path.stat().st_size
                path.unlink()
            else:
                path.replace(waiting / path.name)
        taken.rmdir()
        return freed

    def _studies(self) -> list[Path]:
        return [path for path in self._folder.iterdir() if _A_STUDY.match(path.name)]


def _size(study: Path) -> int:
    return sum(path.stat().st_size for path in study.iterdir())


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keep other processes out; the lock goes with the process."""
    try:
        import fcntl  # noqa: PLC0415 - not on Windows
    except ImportError:
        raise InputError("a spool needs the file locks of Linux or macOS") from None
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise InputError("another process works with this spool; end it, or name another folder") from None
        yield
    finally:
        os.close(handle)
