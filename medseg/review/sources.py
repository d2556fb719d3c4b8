"""The cases that there are to review, from all sources of a configuration."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import assert_never

from medseg.config.review import BatchSource, FolderSource, ReviewConfig, Source
from medseg.core.errors import InputError, MedsegError
from medseg.core.pseudonyms import ProjectKey

from .batch_source import BatchCases
from .case_files import CaseFiles, FoundCases
from .folder_source import FolderCases
from .hidden_names import note_of
from .known_models import KnownModel, ModelShelf
from .records import CaseName
from .stamps import Stamp

_LOGGER = logging.getLogger(__name__)
_RETRY_S = 10.0
_SAME_NAME = "cases have the name of another case; give the source a `name` in the configuration"


@dataclass(frozen=True, eq=False)
class _Looked:
    """What a source held when it was looked at, or before if it was broken then."""

    stamp: Stamp | None
    models: tuple[KnownModel, ...]
    found: FoundCases
    failure: str = ""
    at: float = 0.0


_UNSEEN = _Looked(None, (), FoundCases(()))


class CaseFinder:
    """Finds the cases again and again; of a source that has not changed it knows them.

    A source that is broken gives a note; if it was whole before, its cases of then stay. Any number of threads may ask.

    Args:
        config: Names the sources and the models.
        key: Makes the pseudonyms.
    """

    def __init__(self, config: ReviewConfig, key: ProjectKey) -> None:
        self._config, self._key = config, key
        self._turn = threading.Lock()
        self._shelf = ModelShelf()
        self._sources = [self._opened(source) for source in config.sources]
        self._known: dict[int, _Looked] = {}

    def find(self) -> FoundCases:
        """All cases, in the order of the sources; those of one name are one case.

        The first source says what is reviewed; the outlines of the others are there to compare with.
        """
        with self._turn:
            notes: list[str] = []
            models = self._models(notes)
            found = [self._cases_of(number, models, notes) for number in range(len(self._sources))]
        cases = _joined(found, notes)
        return FoundCases(tuple(cases.values()), tuple(notes))

    def _opened(self, source: Source) -> BatchCases | FolderCases:
        match source:
            case BatchSource():
                return BatchCases(source, self._key)
            case FolderSource():
                return FolderCases(source, self._key)
            case _:
                assert_never(source)

    def _models(self, notes: list[str]) -> Mapping[str, KnownModel]:
        """The models that can be read, by digest."""
        models: dict[str, KnownModel] = {}
        for number, folder in enumerate(self._config.models, start=1):
            try:
                model = self._shelf.model(folder)
            except MedsegError as error:
                notes.append(f"model {number}: {note_of(error, folder)}")
            else:
                models[model.stamp.digest] = model
        return models

    def _cases_of(self, number: int, models: Mapping[str, KnownModel], notes: list[str]) -> FoundCases:
        looked = self._known[number] = self._looked_at(number, models)
        problems = [looked.failure] if looked.failure else []
        notes.extend(f"source {number + 1}: {note}" for note in (*problems, *looked.found.notes))
        return looked.found

    def _looked_at(self, number: int, models: Mapping[str, KnownModel]) -> _Looked:
        """What a source holds, looked at anew if it has changed, or was broken a while ago."""
        before = self._known.get(number, _UNSEEN)
        now = replace(before, stamp=self._sources[number].stamp(), models=tuple(models.values()), failure="")
        is_old = before.failure and time.monotonic() - before.at > _RETRY_S
        if (before.stamp, before.models) == (now.stamp, now.models) and not is_old:
            return before
        section = self._config.sources[number]
        try:
            return replace(now, found=self._found(number, models, self._model_of(section)))
        except (MedsegError, OSError) as error:
            shown = error if isinstance(error, MedsegError) else InputError(error.strerror or "cannot be read")
            return replace(now, failure=note_of(shown, _folder_of(section)), at=time.monotonic())

    def _model_of(self, section: Source) -> KnownModel | None:
        folder = section.model if isinstance(section, FolderSource) else None
        return self._shelf.model(folder) if folder else None

    def _found(self, number: int, models: Mapping[str, KnownModel], own: KnownModel | None) -> FoundCases:
        source = self._sources[number]
        return source.find(models) if isinstance(source, BatchCases) else source.find(own)


def find_cases(config: ReviewConfig, key: ProjectKey) -> list[CaseFiles]:
    """The cases of all sources, once; what is wrong with a source is logged, and the others' cases are found."""
    found = CaseFinder(config, key).find()
    for note in found.notes:
        _LOGGER.warning("%s", note)
    return list(found.cases)


def _joined(sources: list[FoundCases], notes: list[str]) -> dict[CaseName, CaseFiles]:
    """The cases by name; outlines of one image from several sources come together."""
    cases: dict[CaseName, CaseFiles] = {}
    for number, found in enumerate(sources, start=1):
        doubled = 0
        for case in found.cases:
            known = cases.get(case.name)
            if known is None:
                cases[case.name] = case
            elif _is_same_image(known, case):
                first, second = (known, case) if known.prediction or not case.prediction else (case, known)
                cases[case.name] = _with_others(first, second, f"source {number}")
            else:
                doubled += 1
        if doubled:
            notes.append(f"source {number}: {doubled} {_SAME_NAME}")
    return cases


def _is_same_image(one: CaseFiles, other: CaseFiles) -> bool:
    """Whether two cases of one name show the same: the pseudonym of a series says so, else the files."""
    return one.name.startswith("series-") or one.image == other.image


def _with_others(case: CaseFiles, more: CaseFiles, label: str) -> CaseFiles:
    """The case with what another source knows besides."""
    label = more.record.model.name or label
    named = {} if more.prediction is None else {label: more.prediction}
    schemes = {label: more.scheme} if named and more.scheme else {}
    owner = case if case.reference else more
    return replace(
        case,
        others={**more.others, **named, **case.others},
        other_schemes={**more.other_schemes, **schemes, **case.other_schemes},
        roots=tuple(dict.fromkeys((*case.roots, *more.roots))),
        reference=owner.reference,
        reference_scheme=owner.reference_scheme or owner.scheme,
        reference_item=owner.reference_item,
    )


def _folder_of(source: Source) -> Path:
    return source.output if isinstance(source, BatchSource) else source.images


def demo_config(folder: Path) -> ReviewConfig:
    """The configuration that shows what `medseg demo` wrote: its test cases, with predictions and references.

    Raises:
        InputError: If the folder is no demo's, or the demo did not get so far.
    """
    needed = [folder / name for name in ("test.csv", "predictions", "project.key", "run/bundle")]
    if not all(path.exists() for path in needed):
        raise InputError(f"{str(folder)!r} holds no finished demo; `medseg demo -o FOLDER` makes one")
    cases, predictions, key, bundle = needed
    source = FolderSource(kind="folder", images=cases, predictions=predictions, model=bundle)
    return ReviewConfig(folder=folder / "review", key=key, sources=(source,), models=(bundle,))
