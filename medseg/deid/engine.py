"""De-identification of one DICOM object: each element of each item at every depth gets the action of the policy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items

from medseg.config.deid import DeidProfile, Option
from medseg.core.errors import DeidError
from medseg.core.pseudonyms import ProjectKey
from medseg.io.dicom_elements import quietly
from medseg.io.dicom_file import DicomFile, check_sequence

from . import values
from .code_meanings import clean_meaning
from .descriptors import Vocabulary
from .elements import Element, Raw, bare, stored, with_value
from .graphics import clean_graphics
from .identity import PatientIdentity
from .marks import mark, read_history, unmark
from .nested import keep_items
from .policy import AGE, PATIENT_ID, PATIENT_NAME, Action, Policy, effective_vr, is_private, written_vr
from .removed import Removed
from .safe_private import safe_blocks
from .structured import clean_structured, removed_content

_SOP_CLASS, _SOP_INSTANCE, _STUDY, _SERIES, _MODALITY = 0x00080016, 0x00080018, 0x0020000D, 0x0020000E, 0x00080060
_CONTENT_SEQUENCE, _CODE_MEANING = 0x0040A730, 0x00080104
_MAX_DEPTH = 32
_VOICES = frozenset({"1.2.840.10008.5.1.4.1.1.9.4.1", "1.2.840.10008.5.1.4.1.1.9.4.2"})
_MEDIA_STORAGE = {_SOP_CLASS: 0x00020002, _SOP_INSTANCE: 0x00020003}
_NEEDED = {
    _SOP_CLASS: "SOP Class UID",
    _SOP_INSTANCE: "SOP Instance UID",
    _STUDY: "Study Instance UID",
    _SERIES: "Series Instance UID",
}


@dataclass(frozen=True, eq=False)
class Cleaned:
    """What became of one object.

    Attributes:
        file: The object to write.
        counts: How many elements met which action, by tag and action.
        removed: What was taken out or changed; for the proof.
        kept_dates: Dates, as YYYYMMDD, that the object still holds on purpose.
        patient: Pseudonym, which names the folder.
        study: Pseudonym.
        series: Pseudonym.
        instance: Pseudonym.
    """

    file: DicomFile
    counts: Counter[tuple[int, Action]]
    removed: tuple[Removed, ...] = field(repr=False)
    kept_dates: frozenset[str] = field(repr=False)
    patient: str
    study: str
    series: str
    instance: str


class Engine:
    """Cleans objects by one profile under one key; may be used for any number of them, in any order."""

    def __init__(self, profile: DeidProfile, key: ProjectKey) -> None:
        self.policy = Policy(profile)
        self.key = key
        self.vocabulary = Vocabulary.load(profile.words)

    def clean(
        self, file: DicomFile, identity: PatientIdentity, claims: frozenset[Option] = frozenset(), *, proof: bool = True
    ) -> Cleaned:
        """The object without what tells whose it is.

        Args:
            file: As ``read_dicom`` gives it; its data set is edited in place.
            identity: Whose it is.
            claims: Pixel steps that were done and verified on this object.
            proof: Keep what is taken out, for a search of the output.

        Raises:
            DeidError: If the object has no UIDs, is nested too deeply, or is a sound recording.
            ReadError: If a sequence is damaged.
        """
        with quietly():
            return self._cleaned(file, identity, claims, proof=proof)

    def _cleaned(
        self, file: DicomFile, identity: PatientIdentity, claims: frozenset[Option], *, proof: bool
    ) -> Cleaned:
        dataset = file.dataset
        _fill_from_meta(file)
        uids = {tag: bare(dataset, tag) for tag in _NEEDED}
        for tag, uid in uids.items():
            if not uid:
                raise DeidError(f"the object has no {_NEEDED[tag]}, so it cannot be told from others")
        if uids[_SOP_CLASS] in _VOICES:
            raise DeidError("the object is a sound recording, and a voice identifies")
        patient = identity.pseudonym(self.key)
        history = read_history(dataset, self.key)
        if not self.policy.is_return:
            unmark(dataset)
            if PATIENT_ID not in dataset:
                dataset.add_new(PATIENT_ID, "LO", "")
        run = _Pass(self, patient, identity.issuer, 0 if history.is_shifted else self.key.days(patient), proof=proof)
        run.sop_class, run.modality = uids[_SOP_CLASS], bare(dataset, _MODALITY)
        run.take(file.meta)
        run.walk(dataset)
        if not self.policy.is_return:
            mark(dataset, self.policy, self.key, claims, history)
        return Cleaned(
            replace(file, dataset=dataset),
            run.counts,
            tuple(run.removed),
            frozenset(run.kept_dates),
            patient,
            self.key.name("study", self.key.uid(uids[_STUDY])),
            self.key.name("series", self.key.uid(uids[_SERIES])),
            self.key.name("instance", self.key.uid(uids[_SOP_INSTANCE])),
        )


class _Pass:
    """One walk through one object; also the ``Place`` of the element at hand, and the ``ItemCleaner`` of the hooks."""

    def __init__(self, engine: Engine, patient: str, issuer: str, days: int, *, proof: bool) -> None:
        self.vocabulary, self.key, self.options = engine.vocabulary, engine.key, engine.policy.options
        self.sop_class = self.modality = ""
        self.counts: Counter[tuple[int, Action]] = Counter()
        self.removed: list[Removed] = []
        self.kept_dates: set[str] = set()
        self._policy, self._patient, self._issuer, self._days, self._proof = (
            *(engine.policy, patient, issuer),
            *(days, proof),
        )
        self._depth = 0
        self._encodings: tuple[str, ...] = ("iso8859",)
        self._dummied = 0
        self._changes: dict[Action, Callable[[Dataset, Element, str], bytes | None]] = {
            Action.REMOVE: lambda *_: None,
            Action.EMPTY: lambda *_: b"",
            Action.DUMMY: lambda _dataset, _element, vr: values.dummy(vr),
            Action.MAP_UID: self._mapped,
            Action.SHIFT: self._shifted,
            Action.WORDS: self._known_words,
            Action.PSEUDONYM: self._pseudonym,
            Action.KEEP: self._checked,
        }

    @property
    def is_top(self) -> bool:
        """Whether the walk is outside of all sequences."""
        return self._depth == 1

    def take(self, item: Dataset) -> None:
        """Note all values of an item, because it goes."""
        for element in list(item.values()):
            self._note(item, element)

    def walk(self, dataset: Dataset) -> None:
        """Clean all elements of a data set or an item."""
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise DeidError(f"sequences are nested more than {_MAX_DEPTH} deep")
        encodings, self._encodings = self._encodings, _encodings(dataset) or self._encodings
        safe = safe_blocks(dataset, self._policy.profile.safe_private)
        for tag, element in list(dataset.items()):
            number = int(tag)
            if not is_private(number):
                self._clean(dataset, number, element)
            elif number in safe:
                self._keep_private(dataset, number, element)
            else:
                self._drop(dataset, number, element)
        self._encodings = encodings
        self._depth -= 1

    def _keep_private(self, dataset: Dataset, tag: int, element: Element) -> None:
        """Keep an element that the profile lists; of a sequence, what may stay of its items."""
        action = Action.WALK if element.VR == "SQ" else Action.KEEP
        self.counts[tag, action] += 1
        if action is Action.WALK:
            self._clean_items(dataset, tag, element, action)

    def _clean(self, dataset: Dataset, tag: int, element: Element) -> None:
        vr = effective_vr(tag, element.VR)
        action = self._policy.action(tag, element.VR, self)
        if self._dummied:
            action = _dummied(action, vr or written_vr(tag))
        self.counts[tag, action] += 1
        if vr == "SQ":
            self._clean_items(dataset, tag, element, action)
        elif action is not Action.KEEP or vr not in values.BULK_VRS:
            self._change(dataset, tag, element, action, vr or written_vr(tag))
        elif element.VR == "UN":
            dataset[tag] = with_value(dataset, element, stored(dataset, element), vr)

    def _change(self, dataset: Dataset, tag: int, element: Element, action: Action, vr: str) -> None:
        old = stored(dataset, element)
        filled = old or action is Action.REMOVE or (tag == PATIENT_ID and self.is_top)
        new = self._changes[action](dataset, element, vr) if filled else old
        if new == old and element.VR != "UN":
            return
        if new != old:
            self._note(dataset, element)
        if new is None:
            del dataset[tag]
        else:
            dataset[tag] = with_value(dataset, element, new, vr)

    def _clean_items(self, dataset: Dataset, tag: int, element: Element, action: Action) -> None:
        if action is Action.KEEP:
            return
        if action is Action.REMOVE:
            self._drop(dataset, tag, element, counted=True)
            return
        items = self._items(dataset, tag, element)
        if action is Action.EMPTY:
            self._forget(items)
            dataset[tag].value = Items([])
        elif action is Action.DUMMY:
            dataset[tag].value = Items(self._dummy_items(tag, items))
        elif action is Action.CONTENT:
            keep_items(dataset, tag, clean_structured(items, self))
        elif action is Action.GRAPHICS:
            keep_items(dataset, tag, clean_graphics(items, self))
        else:
            for item in items:
                self.walk(item)

    def _dummy_items(self, tag: int, items: Sequence[Dataset]) -> list[Dataset]:
        """A sequence of at most one item that says nothing, of the form of the first one."""
        if tag == _CONTENT_SEQUENCE:
            self._forget(items)
            return [removed_content()] if items else []
        self._forget(items[1:])
        self._dummied += 1
        for item in items[:1]:
            self.walk(item)
        self._dummied -= 1
        return list(items[:1])

    def _items(self, dataset: Dataset, tag: int, element: Element) -> list[Dataset]:
        if isinstance(element, Raw):
            check_sequence(element.value or b"")
        if self._depth >= _MAX_DEPTH:
            raise DeidError(f"sequences are nested more than {_MAX_DEPTH} deep")
        return list(dataset[tag].value or [])

    def _drop(self, dataset: Dataset, tag: int, element: Element, *, counted: bool = False) -> None:
        if not counted:
            self.counts[tag, Action.REMOVE] += 1
        self._note(dataset, element)
        del dataset[tag]

    def _note(self, dataset: Dataset, element: Element) -> None:
        if not self._proof:
            return
        tag = int(element.tag)
        vr = effective_vr(tag, element.VR) or element.VR or "??"
        if vr == "SQ":
            self._forget(self._items(dataset, tag, element))
        else:
            self.removed.append(Removed(tag, vr, stored(dataset, element), self._encodings))

    def _forget(self, items: Sequence[Dataset]) -> None:
        if not self._proof:
            return
        self._depth += 1
        for item in items:
            self.take(item)
        self._depth -= 1

    def _mapped(self, dataset: Dataset, element: Element, _vr: str) -> bytes:
        return values.mapped_uids(stored(dataset, element), self.key)

    def _shifted(self, dataset: Dataset, element: Element, vr: str) -> bytes | None:
        moved = values.shifted(stored(dataset, element), vr, self._days)
        if not moved:
            return self._fallback(element, vr)
        if vr != "TM":
            self.kept_dates.update(values.days_in(moved))
        return moved

    def _known_words(self, dataset: Dataset, element: Element, vr: str) -> bytes | None:
        text = values.decoded(values.trimmed(stored(dataset, element)), self._encodings)
        if element.tag == _CODE_MEANING:
            words = clean_meaning(dataset, text, self.vocabulary)
        else:
            words = text if self.vocabulary.knows(text) else self.vocabulary.clean(text)
        if words == text:
            return stored(dataset, element)
        kept = words.encode(self._encodings[0], "ignore")
        return values.padded(kept, vr) if kept.strip() else self._fallback(element, vr)

    def _pseudonym(self, dataset: Dataset, element: Element, vr: str) -> bytes:
        value = values.decoded(values.trimmed(stored(dataset, element)), self._encodings)
        tag = int(element.tag)
        if tag in (PATIENT_NAME, PATIENT_ID):
            own = self._patient if self.is_top or tag == PATIENT_NAME else self.key.patient(self._issuer, value)
            return values.padded(own.encode("ascii"), vr)
        return values.padded(self.key.accession(value).encode("ascii"), vr)

    def _checked(self, dataset: Dataset, element: Element, vr: str) -> bytes | None:
        value = stored(dataset, element)
        if not values.is_valid(value, vr):
            return self._fallback(element, vr)
        if vr in ("DA", "DT"):
            self.kept_dates.update(values.days_in(value))
        return values.capped_age(value) if element.tag == AGE else value

    def _fallback(self, element: Element, vr: str) -> bytes | None:
        action = self._policy.fallback(int(element.tag), self)
        if action is Action.MAP_UID:
            return values.mapped_uids(values.trimmed(element.value if isinstance(element, Raw) else b""), self.key)
        return None if action is Action.REMOVE else values.dummy(vr) if action is Action.DUMMY else b""


def _dummied(action: Action, vr: str) -> Action:
    """The action inside of a sequence that has to say nothing."""
    if vr in values.TEXT_VRS or vr in values.DATE_VRS or vr in ("PN", "AE", "UR", "AS"):
        return Action.DUMMY
    if vr in values.BULK_VRS:
        return Action.REMOVE
    return Action.DUMMY if vr == "SQ" and action is not Action.REMOVE else action


def _fill_from_meta(file: DicomFile) -> None:
    """Give the data set the class and instance UID of its file meta information, if its own are missing or empty."""
    for tag, of_file in _MEDIA_STORAGE.items():
        uid = bare(file.meta, of_file)
        if uid and not bare(file.dataset, tag):
            file.dataset.add_new(tag, "UI", uid)


def _encodings(dataset: Dataset) -> tuple[str, ...]:
    found = dataset.original_character_set
    return (found,) if isinstance(found, str) else tuple(found or ())
