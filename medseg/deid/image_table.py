"""``manifest.csv``: the released series of images as a data set to which only labels have to be added."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable

from medseg.config.deid import KeptAttribute

from .records import UnitRecord

_CHANNEL = "image"


def image_table(records: Iterable[UnitRecord], kept: Iterable[KeptAttribute]) -> str:
    """The table as CSV text, one row a released series of images, sorted by name.

    Columns are those of a manifest of a data set: ``case`` (the series, with its unit if others are of the same name),
    ``patient``, ``image`` (its folder or file), then ``study``, ``modality`` and the kept attributes, which become
    attributes of the case. If all series are of one modality, the column of images is named after it, such as
    ``image.CT``. A user adds a column ``label`` with the path of a label map a case.

    Args:
        records: What was released.
        kept: Attributes that the profile keeps in bands.
    """
    listed = [(record, series) for record in records for series in record.series]
    often = Counter(series.name for _, series in listed)
    rows = []
    for record, series in listed:
        case = series.name if often[series.name] == 1 else f"{series.name}_{record.unit}"
        patient = record.patient or case
        rows.append((case, patient, series.path, record.unit, series.modality, series.attributes))
    modalities = {row[4] for row in rows}
    channel = f"{_CHANNEL}.{modalities.pop()}" if len(modalities) == 1 else _CHANNEL
    names = [one.value for one in KeptAttribute if one in set(kept)]
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["case", "patient", channel, "study", "modality", *names])
    for *cells, attributes in sorted(rows, key=lambda row: row[0]):
        writer.writerow([*cells, *(attributes.get(name, "") for name in names)])
    return stream.getvalue()
