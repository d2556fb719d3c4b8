"""A run that does not begin at random: the model's weights, and who of them may move."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from medseg.config.networks import OwnNetworkSection
from medseg.config.sections import RunConfig
from medseg.core.errors import BundleError, ConfigError, InputError
from medseg.core.labels import LabelScheme
from medseg.inference.starting_weights import read_starting_weights

from .assemble import build_optimizer
from .groups import freeze_for_good, paces
from .images import image_differences
from .state import TrainState
from .transfer import TransferReport, ends_of, transfer_weights

RECORD = "init.json"
_LARGEST_RECORD = 50_000_000


def check_start(config: RunConfig) -> None:
    """Refuse a model that is not there, or that no network can start from, before any case is prepared.

    Raises:
        InputError: If there is nothing where ``training.init`` says.
        BundleError: If what is there is no model.
        ConfigError: If the network is one's own.
    """
    if config.training.init is None:
        return
    if isinstance(config.network, OwnNetworkSection):
        raise ConfigError(
            "training.init is for medseg's own networks; load weights into a network of your own before you give it"
        )
    if not config.training.init.bundle.exists():
        raise InputError(f"the model to start from, {str(config.training.init.bundle)!r}, does not exist")
    read_starting_weights(config.training.init.bundle)


def start_from_model(
    state: TrainState, config: RunConfig, scheme: LabelScheme, folder: Path, *, resumed: bool
) -> TransferReport | None:
    """Give a new run the weights of the model that ``training.init`` names, and its weights their paces.

    Args:
        state: Of a run at its first step; changed in place.
        config: Without ``training.init``, nothing happens.
        scheme: The structures.
        folder: Of the run; the main process leaves the report there as ``init.json``.
        resumed: Whether the weights come from a checkpoint; then the report of the first sitting says who may move,
            and the model is not needed any more.

    Returns:
        What was taken; None without ``training.init``.

    Raises:
        BundleError: If there is no such model, or nothing of it fits.
        ConfigError: If its encoder is to be frozen or slowed down, and nothing of that was taken.
    """
    section = config.training.init
    if section is None:
        return None
    if resumed:
        report = _read(folder / RECORD)
    else:
        start = read_starting_weights(section.bundle)
        report = transfer_weights(state.network, start, ends_of(state.network, config, scheme))
        if start.config is not None:
            report = report.model_copy(update={"images": image_differences(start.config, config)})
        state.average.network.load_state_dict(state.network.state_dict())
    chosen = paces(section, config.network.name, report.taken)
    freeze_for_good(state.network, chosen)
    state.optimizer = build_optimizer(config.training.optimizer, state.network, chosen)
    return report


def _read(path: Path) -> TransferReport:
    try:
        if path.stat().st_size > _LARGEST_RECORD:
            raise BundleError(f"{path.name} is larger than {_LARGEST_RECORD} bytes")
        return TransferReport.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise BundleError(f"{path.name} of the run is missing or damaged; begin a new run") from error
