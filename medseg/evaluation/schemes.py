"""What the label values mean: a file that the user names, the data set, a file beside the label maps, or nobody."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from medseg.core.errors import LabelError
from medseg.core.labels import LabelScheme
from medseg.data.dataset import Dataset
from medseg.data.documents import parse_document, read_json
from medseg.data.layouts import find_layout, open_dataset
from medseg.data.structures import LABELS_FILE, LabelsDocument, scheme_beside, scheme_from_values

from .pairs import Pair


def open_reference(reference: Path, labels: Path | None = None) -> Path | Dataset:
    """The data set at ``reference``, or the path itself if it is a label map or a folder of them.

    Args:
        reference: What the user named.
        labels: A labels file that takes the place of the data set's own names.

    Raises:
        MedsegError: If the data set or the labels file is not sound.
    """
    if find_layout(reference) is None:
        return reference
    return open_dataset(reference, scheme=None if labels is None else read_scheme(labels))


def find_scheme(labels: Path | None, references: Path | Dataset, pairs: Sequence[Pair]) -> LabelScheme:
    """The scheme of an evaluation.

    In this order: the labels file that the user named; the data set's; ``labels.json`` beside the references or one
    folder above; that of a data set there; the values that the label maps hold, named ``structure 1`` and so on.

    Raises:
        LabelError: If there are no names and no label map holds a structure.
        MedsegError: If a labels file is not sound.
    """
    if labels is not None:
        return read_scheme(labels)
    folder = references.folder if isinstance(references, Dataset) else pairs[0].reference.parent
    named = references.scheme if isinstance(references, Dataset) else _scheme_near(folder)
    scheme = named or scheme_beside(folder, [path for pair in pairs for path in (pair.reference, pair.predicted)])
    if scheme is None:
        raise LabelError("nothing says what the label values mean; name a file {name: value} by --labels")
    return scheme


def read_scheme(path: Path) -> LabelScheme:
    """The scheme in a JSON file ``{name: value}``, or in its key ``labels``.

    Raises:
        MedsegError: If the file is not sound.
    """
    tree = read_json(path)
    named = tree if isinstance(tree.get("labels"), dict) else {"labels": tree}
    return scheme_from_values(parse_document(named, LabelsDocument, path.name).labels, path.name)


def _scheme_near(folder: Path) -> LabelScheme | None:
    """What a labels file or a data set in the folder or the one above says; None if there is none."""
    for place in (folder, folder.parent):
        if (place / LABELS_FILE).is_file():
            return scheme_beside(place, ())
        if find_layout(place) is not None:
            return open_dataset(place).scheme
    return None
