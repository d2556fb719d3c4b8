"""Studies that arrive in a folder: each is taken when its files have stopped to grow."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from medseg.core.errors import ReadError
from medseg.core.pseudonyms import ProjectKey
from medseg.io.dicom_identity import read_file_identity
from medseg.io.listing import list_files

from .discover import StudyFiles, digest_of, study_name, study_of
from .records import StudyResult, StudyTask


@dataclass(frozen=True)
class _Seen:
    """A file as it was when it last changed.

    Attributes:
        stamp: Its size, and when its content and its entry last changed; a copy may set back all but the last.
        since: When it was first seen like that.
        study: Pseudonym of its study; empty if it does not tell.
        digest: What changes when the instance does.
        is_damaged: Whether it is empty, damaged, or may not be read.
        is_final: Whether it was asked again when it rested, so that it never will tell its study.
    """

    stamp: tuple[int, int, int]
    since: float
    study: str = ""
    digest: bytes = b""
    is_damaged: bool = False
    is_final: bool = False


class Watcher:
    """Looks at a folder again and again, and tells which studies lie there at rest.

    A study is at rest when none of its files has changed for a while, as seen from here: times that a copy brings along
    say nothing. Files are asked for their study while they still grow; one that does not tell, such as one that has
    just begun, holds up all studies in its folder until it rests too.

    Args:
        folder: Where exports arrive.
        key: Makes the pseudonyms.
        quiet_s: How long files have to rest.
    """

    def __init__(self, folder: Path, key: ProjectKey, quiet_s: float) -> None:
        self._folder, self._key, self._quiet_s = folder.absolute(), key, quiet_s
        self._files: dict[str, _Seen] = {}

    def look(self, now: float) -> tuple[StudyFiles, ...]:
        """The studies at rest; ``now`` in seconds of any clock that only goes forward."""
        listing = list_files(self._folder)
        found: dict[str, _Seen] = {}
        for path in (*listing.files, *listing.lost):
            seen = self._seen(path, now)
            if seen is not None:
                found[str(path)] = seen
        self._files = found
        return self._at_rest(now)

    def _seen(self, path: Path, now: float) -> _Seen | None:
        try:
            facts = path.stat()
        except OSError:
            return None  # it went away between listing and looking
        stamp, before = (facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns), self._files.get(str(path))
        if before is None or before.stamp != stamp:
            return self._asked(path, _Seen(stamp, now))
        if before.study or before.is_final or now - before.since < self._quiet_s:
            return before
        return self._asked(path, _Seen(stamp, before.since, is_final=True))

    def _asked(self, path: Path, seen: _Seen) -> _Seen:
        """What is seen, completed by what the file says of itself."""
        try:
            identity = read_file_identity(path)
        except ReadError:
            return replace(seen, is_damaged=True)
        if identity is None:
            return replace(seen, is_damaged=seen.stamp[0] == 0)
        return replace(seen, study=study_name(self._key, identity.study_uid), digest=digest_of(identity))

    def _at_rest(self, now: float) -> tuple[StudyFiles, ...]:
        studies: dict[str, list[tuple[str, bytes]]] = {}
        damaged: Counter[str] = Counter()
        restless: set[str] = set()
        for path, seen in self._files.items():
            folder = str(Path(path).parent)
            if seen.study:
                studies.setdefault(seen.study, []).append((path, seen.digest))
            if now - seen.since < self._quiet_s:
                restless.add(seen.study or folder)
            damaged[folder] += seen.is_damaged
        return tuple(
            study_of(name, files, damaged)
            for name, files in sorted(studies.items())
            if not {name, *(str(Path(path).parent) for path, _ in files)} & restless
        )


class WatchedTasks:
    """Tasks that come as studies arrive, until somebody stops them.

    Args:
        watcher: Finds the studies.
        left: Says which of some studies are still to be done.
        every_s: Seconds between looks at the folder.
        stop: Set when no more are wanted.
    """

    def __init__(
        self,
        watcher: Watcher,
        left: Callable[[Iterable[StudyFiles]], list[StudyTask]],
        every_s: float,
        stop: threading.Event,
    ) -> None:
        self._watcher, self._left, self._every_s, self._stop = watcher, left, every_s, stop
        self._waiting: deque[StudyTask] = deque()
        self._in_hand: set[str] = set()
        self._known: dict[str, tuple[str, int]] = {}
        self._looked = -every_s

    def next(self) -> StudyTask | None:
        """The next study at rest; None if there is none at present."""
        if self._stop.is_set():
            return None
        if not self._waiting and time.monotonic() - self._looked >= self._every_s:
            self._look(time.monotonic())
            self._looked = time.monotonic()  # a large folder takes long to look at
        if not self._waiting:
            return None
        task = self._waiting.popleft()
        self._in_hand.add(task.name)
        return task

    def ended(self, result: StudyResult) -> None:
        """The study may be taken again, should it change."""
        self._in_hand.discard(result.name)

    @property
    def are_over(self) -> bool:
        """Whether somebody stopped them."""
        return self._stop.is_set()

    def _look(self, now: float) -> None:
        """Take what is new or has changed, but nothing that is still in hand."""
        studies = [one for one in self._watcher.look(now) if one.name not in self._in_hand]
        fresh = [one for one in studies if self._known.get(one.name) != (one.version, one.damaged)]
        self._known.update({one.name: (one.version, one.damaged) for one in fresh})
        if fresh:
            self._waiting.extend(self._left(fresh))
