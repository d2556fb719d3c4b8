"""Several trained models as one."""

from __future__ import annotations

from collections.abc import Sequence

from medseg.core.errors import BundleError

from .bundle import Bundle, TrainingFacts
from .calibration import Calibration


def ensemble(bundles: Sequence[Bundle]) -> Bundle:
    """One bundle with the members of all, whose probabilities are averaged, each member's counting alike.

    It takes name, inference, clean-up, selection and localiser from the first; ``Bundle.with_config`` changes them. The
    margin around what the localiser finds is the largest that one of the bundles needs. A calibration that all bundles
    share is kept; else there is none, and it is best fitted anew.

    Args:
        bundles: At least one; all know the same channels and targets. Plans may differ: 2D and 3D, other spacings.

    Raises:
        BundleError: If there is none, or they do not go together; says in what they differ.
    """
    if not bundles:
        raise BundleError("an ensemble needs at least one bundle")
    first = bundles[0]
    members = tuple(member for bundle in bundles for member in bundle.members)
    shared = all(bundle.calibration == first.calibration for bundle in bundles)
    facts = TrainingFacts.merged([bundle.facts for bundle in bundles])
    calibration = first.calibration if shared else Calibration()
    joined = Bundle(members, first.scheme, facts, calibration, first.localiser)
    return _with_widest_margin(joined, bundles)


def _with_widest_margin(joined: Bundle, bundles: Sequence[Bundle]) -> Bundle:
    """The localiser of one bundle may find less than that of another whose network sees as much."""
    section = joined.config.localiser
    if section is None:
        return joined
    sections = [bundle.config.localiser for bundle in bundles if bundle.config.localiser is not None]
    margin = max(one.margin_mm or 0.0 for one in sections)
    wider = section.model_copy(update={"margin_mm": margin})
    return joined.with_config(joined.config.model_copy(update={"localiser": wider}))
