"""One reader in front of one case: what is on the screen, what they drew, what they save."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, replace

from medseg.core.errors import InputError, LabelError, ReadError
from medseg.core.labels import LabelScheme
from medseg.core.matching import matched, relabelled
from medseg.core.segmentation import Segmentation
from medseg.core.volume import Labels, MultiLabelMap

from .access import versions_for
from .drafts import Draft, Drafts
from .edits import changed_ml, save_version, volumes_ml
from .first_version import prediction_version
from .infer import Inferred
from .kept_outlines import check_draft, kept_outlines, structures_of
from .opened import OpenedCase
from .outline_reading import shown_scheme
from .records import Act, Decision, Difficulty, Reader, Verdict, Version
from .rows import NewVersion
from .screen import Screen, Shown, remove_files
from .store import Store
from .tickets import VoxelGrant
from .vault import Vault


@dataclass(frozen=True, eq=False)
class Records:
    """Where what readers make is kept."""

    store: Store
    vault: Vault
    drafts: Drafts


class Sitting:
    """What one reader does with an open case; for the one browser tab that they do it in.

    Attributes:
        reader: Who.
        opened: The case.
        shown: The outlines on the screen.
        pending: Strokes that are not on the screen and that the reader has to decide about, as the case has moved on
            since; mostly None. Meanwhile nothing may be drawn, or they would be lost.
        is_damaged: Whether there are strokes that cannot be read, which have to be discarded.
        is_restored: Whether the strokes on the screen are from before this sitting.
    """

    def __init__(self, records: Records, reader: Reader, opened: OpenedCase) -> None:
        """Open a case for a reader: with the strokes that they had not saved, else with the newest version.

        Raises:
            InputError: If the case is another reader's, or the log is not as it was written.
            OutputError: If something cannot be kept.
        """
        self.reader, self.opened = reader, opened
        self._records = records
        case = opened.case
        records.store.add_case(case.files.record, reader)
        self._prediction = prediction_version(records.store, records.vault, case, reader)
        records.store.log(Act.OPENED, reader, case.files.name)
        self._screen = Screen(opened, reader, self._prediction)
        self._images: dict[str, VoxelGrant] = {}
        targets = case.scheme.targets if isinstance(case.prediction.labels, MultiLabelMap) else (None,)
        self._targets: tuple[str | None, ...] = targets
        self.pending: Draft | None = None
        self.is_damaged = self.is_restored = False
        draft = self._draft()
        if draft is not None and self._continues(draft):
            self.shown = self._shown_draft(draft, targets[0])
            self.is_restored = True
        else:
            self.pending = draft
            self.shown = self._screen.show(*self._newest(), targets[0])

    @property
    def in_hu(self) -> bool:
        """Whether the image's values are Hounsfield units."""
        return self._screen.in_hu

    @property
    def targets(self) -> tuple[str, ...]:
        """Structures of which one is drawn at a time; empty if all can be drawn at once."""
        return tuple(one for one in self._targets if one is not None)

    @property
    def may_draw(self) -> bool:
        """Whether strokes would not take the place of others that nobody has decided about."""
        return self.pending is None and not self.is_damaged

    @property
    def versions(self) -> list[Version]:
        """The versions that the reader may look at, by number; the prediction is among them."""
        all_versions = self._records.store.versions(self.opened.case.files.name)
        seen = versions_for(self.reader, all_versions)
        return [one for one in all_versions if one in seen or one.number == self._prediction.number]

    @property
    def decisions(self) -> list[Decision]:
        """What readers decided about the case, the oldest first."""
        return self._records.store.decisions(self.opened.case.files.name)

    def image(self, channel: str = "") -> VoxelGrant:
        """Leave to fetch the image, or one channel of several.

        Raises:
            GeometryError: If there is no such channel.
            OutputError: If its file cannot be written.
        """
        if channel not in self._images:
            served = self.opened.channel(channel) if channel else self.opened.image
            self._images[channel] = self._screen.leave(served)
        return self._images[channel]

    @property
    def prediction(self) -> Version:
        """The outlines as they came."""
        return self._prediction

    def labels_of(self, number: int) -> Segmentation:
        """The outlines of a version.

        Raises:
            InputError: If the reader may not look at it, or there is none.
            LabelError: If it was drawn with other structures than the case has now.
            ReadError: If the vault is damaged.
        """
        return Segmentation(self._labels(self._version(number)), self.opened.case.scheme)

    def show(self, number: int, target: str | None = None) -> None:
        """Put a version on the screen; strokes go on from it.

        Raises:
            InputError: If the reader may not look at it, or there is none.
            LabelError: If it was drawn with other structures than the case has now.
        """
        version = self._version(number)
        self._replace(self._screen.show(version, self._labels(version), target or self._targets[0]))
        self.pending = self._draft()

    def choose(self, target: str) -> None:
        """Let another structure be drawn, with all strokes up to now.

        Raises:
            InputError: If all can be drawn at once.
        """
        if target not in self._targets:
            raise InputError("all structures of this case can be drawn at once")
        draft = self._draft()
        if draft is not None and draft.base == self.shown.version.number:
            self._replace(self._shown_draft(draft, target))
        else:
            self._replace(self._screen.show(self.shown.version, self.shown.segmentation.labels, target))

    def look_again(self) -> None:
        """Notice strokes that came since and that this screen lacks: from another tab, or late ones on what was before.

        They are shown at once if they go on from the same version and nothing was drawn here; else they are pending.
        """
        sequence, name = self.shown.grants.mask.sequence, self.opened.case.files.name
        with sequence.resting():
            if not self.may_draw or self._records.drafts.digest(name, self.reader) in ("", sequence.draft):
                return
        draft = self._draft()
        is_here = draft is not None and draft.base == self.shown.version.number and sequence.is_unused
        if draft is not None and is_here and self._continues(draft):
            self._replace(self._shown_draft(draft, self.shown.target))
            self.is_restored = True
        else:
            self.pending = draft

    def check_drawing(self) -> None:
        """Make sure that something may be drawn.

        Raises:
            InputError: If there are strokes that have to be decided about before.
        """
        if not self.may_draw:
            raise InputError("decide about the strokes from before; then you can draw on")

    def current(self) -> Segmentation:
        """The outlines with all strokes up to now, also those that came after the screen was put up."""
        draft = self._draft()
        if draft is None or draft.base != self.shown.version.number:
            return self.shown.segmentation
        return Segmentation(draft.labels, self.opened.case.scheme)

    def redraw(self, labels: Labels, target: str | None = None) -> None:
        """Put other outlines on the screen, as strokes that are in no version.

        Raises:
            InputError: If there are strokes that have to be decided about before.
            OutputError: If they cannot be kept.
        """
        self.check_drawing()
        case, version = self.opened.case, self.shown.version
        name = case.files.name
        self._records.drafts.put(name, self.reader, version, labels, structures_of(case.scheme))
        draft = self._records.drafts.get(name, self.reader)
        if draft is not None:
            self._replace(self._shown_draft(draft, target or self.shown.target))

    def take_up(self) -> None:
        """Put the pending strokes on the screen, to go on from the version that they were made on.

        Raises:
            InputError: If there are none, or that version is not there.
            LabelError: If they were drawn with other structures than the case has now.
            GeometryError: If they lie on another grid than the image.
        """
        if self.pending is None:
            raise InputError("there are no strokes to take up")
        check_draft(self._records.store, self.opened.case, self.pending, self._version(self.pending.base))
        self._replace(self._shown_draft(self.pending, self._targets[0]))
        self.pending = None

    def discard(self) -> None:
        """Forget all strokes that are in no version."""
        self._records.drafts.drop(self.opened.case.files.name, self.reader)
        self.pending, self.is_damaged = None, False
        if self.shown.is_draft:
            self.show(self.shown.version.number, self.shown.target)

    def save(self, sha256: str | None = None) -> Version:
        """Keep what was drawn as a new version, which strokes go on from; the screen stays as it is.

        Args:
            sha256: Digest of the drawing that the reader saw; None for the newest one.

        Raises:
            InputError: If there is no drawing, or nothing was changed.
            OutputError: If it cannot be kept; the strokes are still there.
        """
        records, case = self._records, self.opened.case
        draft = records.drafts.get(case.files.name, self.reader)
        if draft is None:
            raise InputError("there is nothing to save; draw something first")
        saved = save_version(records.store, records.vault, case, self._version(draft.base), draft.labels, self.reader)
        records.drafts.drop(case.files.name, self.reader, draft.sha256)
        if self.pending is None and sha256 in (None, draft.sha256):
            self.shown = self._screen.go_on_from(self.shown, saved, draft.labels)
            self.is_restored = False
        else:
            self._replace(self._screen.show(saved, draft.labels, self.shown.target))
            self.pending = None
        return saved

    def take_in(self, inferred: Inferred) -> Version:
        """Keep what a model said as a version that goes on from the one on the screen, and show it.

        Nothing that was drawn is lost: earlier versions stay, and strokes that are in none wait for a decision.

        Raises:
            LabelError: If the model knows none of the structures of this case.
            GeometryError: If its outlines lie elsewhere.
            OutputError: If they cannot be kept.
        """
        case, records, base = self.opened.case, self._records, self.shown.version
        labels = _by_name(inferred.segmentation, case.scheme)
        new = NewVersion(
            base.case,
            base.number,
            inferred.model.name or "model",
            records.vault.put(labels),
            volumes_ml(Segmentation(labels, case.scheme)),
            changed_ml(labels, self._labels(base), case.scheme),
            base.input_sha256,
            inferred.model,
            structures_of(case.scheme),
        )
        version = records.store.add_version(new, self.reader)
        self.show(version.number, self.shown.target)
        return version

    def decide(self, verdict: Verdict, difficulty: Difficulty | None = None, comment: str = "") -> None:
        """Keep the reader's decision about the version on the screen.

        Raises:
            InputError: If the comment is too long or holds control characters.
            OutputError: If it cannot be kept.
        """
        version = self.shown.version
        decision = Decision(
            version.case, version.number, self.reader.name, verdict, time.time(), difficulty, comment.strip()
        )
        self._records.store.decide(decision, self.reader)

    def close(self) -> None:
        """Remove the files that are for this reader alone."""
        remove_files(self.shown)

    def _version(self, number: int) -> Version:
        for version in self.versions:
            if version.number == number:
                return version
        raise InputError(f"there is no version {number} of this case that you may look at")

    def _labels(self, version: Version) -> Labels:
        if version.sha256 == self._prediction.sha256:
            return self.opened.case.prediction.labels
        return kept_outlines(self._records.store, self._records.vault, self.opened.case, version)

    def _newest(self) -> tuple[Version, Labels]:
        """The newest version of the structures that the case has now; the prediction always is."""
        for version in reversed(self.versions):
            with contextlib.suppress(LabelError):
                return version, self._labels(version)
        return self._prediction, self.opened.case.prediction.labels

    def _continues(self, draft: Draft) -> bool:
        """Whether strokes from before may take their place without asking the reader."""
        if not draft.continues(self.versions, self.reader, self.opened.case.volume.geometry):
            return False
        try:
            check_draft(self._records.store, self.opened.case, draft, self._version(draft.base))
        except LabelError:
            return False
        return True

    def _draft(self) -> Draft | None:
        """The reader's strokes that are in no version."""
        try:
            return self._records.drafts.get(self.opened.case.files.name, self.reader)
        except ReadError:
            self.is_damaged = True
            return None

    def _shown_draft(self, draft: Draft, target: str | None) -> Shown:
        return self._screen.show(self._version(draft.base), draft.labels, target, draft)

    def _replace(self, shown: Shown) -> None:
        before, self.shown = self.shown, shown
        self.is_restored = False
        remove_files(before)


def _by_name(inferred: Segmentation, scheme: LabelScheme) -> Labels:
    """A model's outlines with the values of a case's scheme; what the case does not know is left out.

    Raises:
        LabelError: If that is all of it.
    """
    found = Segmentation(inferred.labels, shown_scheme(inferred.scheme))
    wanted = replace(scheme, background=("*",))
    if not matched(found.scheme.names, wanted):
        raise LabelError(
            f"the model outlines {', '.join(found.scheme.names)}, of which this case knows none "
            f"({', '.join(scheme.names)}); choose another model"
        )
    return relabelled(found, wanted)
