"""Every error that medseg raises on purpose.

::

    MedsegError
     ├ ConfigError (ValueError)   a configuration: file, dotted key, value, what is allowed
     ├ InputError                 what the user asked for cannot be done: a wrong path, an empty folder, two same names
     ├ DataError
     │   ├ ReadError              a file that cannot be read: format and cause
     │   ├ GeometryError          uneven slice spacing, missing slices, mixed orientation, grids that differ
     │   ├ LabelError             a value that is not in the scheme, an empty label where one is needed
     │   └ StudyError             no usable series, or several candidates
     ├ DeidError                  an object that may not leave the house, and why
     │   ├ IdentifierLeak         an identifier of the input is still in what was about to be released
     │   └ BurnedInText           text in the pixels that was not taken out, or cannot be ruled out
     ├ BundleError                weights, configuration and labels that do not belong together
     ├ OutputError                a result that cannot be written: disk full, no permission
     └ TrainingError              a loss that is not finite, memory that ran out

Messages are one sentence: what, where, got against allowed, what to do. They never hold a patient's name, an
identifier or a date.
"""

from __future__ import annotations


class MedsegError(Exception):
    """Anything that medseg can explain in one sentence."""


class ConfigError(MedsegError, ValueError):
    """A configuration file or an override is not valid."""


class InputError(MedsegError):
    """The request cannot be met: a wrong path, an empty folder, names that collide."""


class DataError(MedsegError):
    """The data is not what it has to be."""


class ReadError(DataError):
    """A file cannot be read."""


class GeometryError(DataError):
    """A grid is broken, or two grids that must be equal are not."""


class LabelError(DataError):
    """A label map does not fit its scheme."""


class StudyError(DataError):
    """A study holds no usable series, or more than one that fits."""


class DeidError(MedsegError):
    """An object may not leave the house."""


class IdentifierLeak(DeidError):  # noqa: N818 - the name says what happened
    """An identifier of the input is still in what was about to be released."""


class BurnedInText(DeidError):  # noqa: N818 - the name says what was found
    """Text in the pixels was not taken out, or cannot be ruled out."""


class BundleError(MedsegError):
    """The parts of a trained model do not belong together."""


class OutputError(MedsegError):
    """A result cannot be written."""


class TrainingError(MedsegError):
    """Training cannot go on."""
