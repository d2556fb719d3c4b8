"""The localiser of a run: trained first, in a folder of its own, so that the main network sees regions only."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import nn

from medseg.config.sections import RunConfig
from medseg.core.progress import Prefixed
from medseg.data.cache import PreparedArrays
from medseg.inference.bundle import Bundle, Member
from medseg.inference.bundle_files import LOCALISER
from medseg.inference.devices import autocast_dtype
from medseg.inference.predictor import segment_prepared
from medseg.training.localiser import (
    Found,
    check_millimetres,
    fine_config,
    found_in,
    least_volume_ml,
    localiser_config,
    localiser_notes,
    measured_section,
    regional,
)
from medseg.training.own import NO_PARTS

from .fit import Cases, Run, best_network, claim, fit, prepare_split, safe_mirroring


@dataclass(frozen=True, eq=False)
class Localised:
    """What the localiser of a run leaves to the main network.

    Attributes:
        run: The main network's part of the run: its share of the budget, and no localiser.
        cases: The cases, cut to the regions that the localiser found.
        config: Of the whole run, with what was measured.
        member: The localiser; None for a run without one.
    """

    run: Run
    cases: Cases
    config: RunConfig
    member: Member | None = None

    def joined(self, bundle: Bundle) -> Bundle:
        """The model of the main network, with the localiser."""
        if self.member is None:
            return bundle
        first, *others = bundle.members
        config = first.config.model_copy(update={"localiser": self.config.localiser, "training": self.config.training})
        return replace(bundle, members=(replace(first, config=config), *others), localiser=self.member)


def localise(run: Run, cases: Cases, *, resume: bool, judged: bool = True) -> Localised:
    """Train the localiser of a run or go on with it, and cut the cases to what it finds; a run without one stays.

    Its folder is ``localiser/`` in that of the run; its prepared cases lie beside the run's, where folds share them.
    Once it is trained, going on costs no more than to run it over the cases.

    Args:
        run: The whole run.
        cases: On the main network's grid.
        resume: Go on where it stopped.
        judged: Whether validation cases choose its weights and count for the margin; in a fold they have no say.

    Raises:
        ConfigError: If images have no millimetres.
        DataError: If a case cannot be read.
        TrainingError: If the loss stops being finite, or memory runs out.
    """
    if run.config.localiser is None:
        return Localised(run, cases, run.config)
    check_millimetres((*cases.training, *cases.validation))
    own = _own_run(run)
    if run.process.is_main:
        claim(own, resume=resume)
    run.process.wait()
    coarse = prepare_split(own)
    state = fit(own, coarse, resume=resume)
    run.process.wait()  # for the main process, which writes the best weights
    network = best_network(own, state) if judged else state.average.network
    count = len(cases.training)
    least = least_volume_ml(cases.training, len(run.scheme.targets))
    least = least if run.config.localiser.least_ml is None else run.config.localiser.least_ml
    found = _search(own, network, (coarse, cases), least)
    counted = found if judged else found[:count]
    section = measured_section(run.config.localiser, counted, least)
    config = run.config.model_copy(update={"localiser": section})
    regions = regional(found, _all(coarse), _all(cases), config)
    if run.process.is_main:
        for note in localiser_notes(section, counted, _share(regions, _all(cases))):
            run.progress.note(note)
    main = replace(run, config=fine_config(run.config))
    return Localised(main, Cases(regions[:count], regions[count:]), config, Member(own.config, network))


def _own_run(run: Run) -> Run:
    folder, progress = run.folder / LOCALISER, Prefixed(run.progress, "localiser")
    config = safe_mirroring(localiser_config(run.config), progress)
    prepared = run.prepared.parent / LOCALISER / "prepared"
    return replace(run, config=config, folder=folder, prepared=prepared, progress=progress, to_come=0, parts=NO_PARTS)


def _search(own: Run, network: nn.Module, cases: tuple[Cases, Cases], least_ml: float) -> list[Found]:
    """What the localiser finds in each case, first the training's; each process looks at every n-th.

    Args:
        own: The localiser's run.
        network: The localiser.
        cases: On its grid, and on the main network's.
        least_ml: Smaller parts do not count.
    """
    process, coarse, fine = own.process, _all(cases[0]), _all(cases[1])
    amp_dtype = autocast_dtype(process.device, own.config.training.precision)
    mine = range(process.rank, len(coarse), process.world_size)
    found: dict[int, Found] = {}
    if process.is_main:
        own.progress.start("finding regions", len(mine))
    for place in mine:
        marked = segment_prepared(network, coarse[place].image, own.config, own.scheme, amp_dtype)
        found[place] = found_in(marked, coarse[place], fine[place], least_ml)
        if process.is_main:
            own.progress.advance()
    known = {place: one for part in process.all(found) for place, one in part.items()}
    return [known[place] for place in range(len(coarse))]


def _all(cases: Cases) -> list[PreparedArrays]:
    return [*cases.training, *cases.validation]


def _share(regions: Sequence[PreparedArrays], cases: Sequence[PreparedArrays]) -> float:
    inside, all_voxels = (sum(math.prod(case.network.shape) for case in part) for part in (regions, cases))
    return inside / all_voxels
