"""A worker on another machine, which has to find there what this machine has."""

from __future__ import annotations

from dataclasses import dataclass, replace

from medseg.core.errors import InputError
from medseg.core.pseudonyms import default_key_path, load_key

from .manifest import FILE
from .work import Model, StudyWorker, WorkSettings, model_digest, open_worker

_SEEN = "every node has to see the studies, the model, the key and the output folder under the same paths"


@dataclass(frozen=True)
class Elsewhere:
    """Opens workers on machines that see the same files; it travels there.

    Attributes:
        settings: What is done to each study.
        model: Digest of the model.
        key: Fingerprint of the project key.
    """

    settings: WorkSettings
    model: str
    key: str

    @classmethod
    def of(cls, settings: WorkSettings, model: Model) -> Elsewhere:
        """What this machine has; the key is that of who calls, whoever runs the worker."""
        settings = replace(settings, key=settings.key or default_key_path().absolute())
        return cls(settings, model_digest(settings.bundle), model.key.fingerprint)

    def __call__(self, index: int) -> StudyWorker:
        """The worker of that number, which has its machine, or its part of it, to itself.

        Raises:
            BundleError: If the model cannot be read.
            InputError: If the machine sees another model, key or output folder, or none; or lacks the device.
        """
        settings = self.settings
        if not (settings.output / FILE).is_file():
            raise InputError(f"a node does not see the output folder; {_SEEN}")
        if settings.key is None or not settings.key.is_file():  # to load it would be to make another
            raise InputError(f"a node does not see the project key; {_SEEN} (--key names the key)")
        if load_key(settings.key).fingerprint != self.key:
            raise InputError(f"a node sees another project key; {_SEEN} (--key names the key)")
        if model_digest(settings.bundle) != self.model:
            raise InputError(f"a node sees another model; {_SEEN}")
        return open_worker(settings, 1, index)
