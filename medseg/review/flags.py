"""What is odd about outlines, beside what the model's training cases were like; nothing is, if nobody knows those.

A batch has judged its results already. Of a folder's predictions only the volumes in `predictions.csv` are judged: for
parts and the border of the image all voxels of all cases would have to be read.

Members of an ensemble that disagree are odd as well: a batch has asked them, and so has a prediction into a folder,
whose table tells of it in its notes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from medseg.inference.expected import StructureFacts, odd
from medseg.metrics.form import MaskForm

from .hidden_names import shown_text
from .records import Flag

WHOLE_IMAGE = ""
"""Target of a flag that is about no single one."""
_LONGEST = 200
_SEVERITIES = (
    ("missing", 4.0),
    ("volume ", 3.0),
    ("members agree ", 3.0),
    ("touches ", 2.0),
    ("predicted although ", 2.0),
)
_OTHER = 1.0


def table_flags(volumes_ml: Mapping[str, float], note: str, facts: Mapping[str, StructureFacts]) -> tuple[Flag, ...]:
    """What is odd about volumes in a table, which tells nothing of parts and border; and what its note says."""
    flags = [Flag(WHOLE_IMAGE, shown_text(note, _LONGEST))] if note else []
    for target, ml in volumes_ml.items():
        form = MaskForm(int(ml > 0), 1, touches_border=False)
        flags.extend(Flag(target, text) for text in odd(form, ml, facts.get(target)))
    return tuple(flags)


def severity(flags: Sequence[Flag]) -> float:
    """How urgently somebody should look: what is missing counts most, then volumes and members at odds, then edges."""
    return sum(_severity(flag.text) for flag in flags)


def _severity(text: str) -> float:
    return next((weight for words, weight in _SEVERITIES if text.startswith(words)), _OTHER)
