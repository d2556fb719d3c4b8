"""The chapters of a model card on its data and its training."""

from __future__ import annotations

from medseg.config.training import BudgetSection
from medseg.inference.openvino_int8 import Int8Record
from medseg.postprocess.clean import steps_in_words
from medseg.render.document import Chapter, Grid, Part, Words
from medseg.render.page import Cell

from .card import Card
from .card_words import UNKNOWN, counted, duration, ranges, told
from .cohort import FEWEST_NAMED, AttributeCounts
from .score_sheet import Basis
from .training_record import TrainingRun

_PARTS = {"train": "trained", "validation": "validated: chose the best weights and the clean-up", "test": "kept aside"}
_FOLDED = {"train": "trained and validated in turn", "test": "kept aside"}
_AXES = ("left to right", "back to front", "foot to head")


def data_chapter(card: Card) -> Chapter:
    """Who and what the model was trained on."""
    return Chapter("Training data", (*_counts(card), *_grids(card), *_attributes(card), *_structures(card)))


def training_chapter(card: Card) -> Chapter:
    """How it was trained, and with what."""
    config = card.config
    training = config.training
    kinds = dict.fromkeys(told(network) for network in card.networks)
    rows: list[tuple[str, str]] = [
        ("networks", f"{len(card.networks)}; their probabilities are averaged" if len(card.networks) > 1 else "1"),
        *(("network", words) for words in kinds),
        ("parameters", ", ".join(f"{number:,}" for number in dict.fromkeys(card.parameters))),
        *_localiser(card),
        ("intensities", "; ".join(told(channel) for channel in config.channels)),
        ("preprocessing", told(config.preprocessing)),
        ("patches", told(config.sampling)),
        ("augmentation", told(config.augmentation) if config.augmentation.enabled else "none"),
        ("loss", told(config.loss)),
        ("optimizer", told(training.optimizer)),
        ("budget", _budget(training.budget)),
        ("done", _done(card.record.runs)),
        ("averaged weights", f"decay {training.ema:g} a step" if training.ema else "none"),
        ("seed", str(training.seed)),
        ("prediction", told(config.inference)),
        ("clean-up", _clean_up(card)),
        ("software", ", ".join(f"{name} {version}" for name, version in card.versions.items()) or UNKNOWN),
    ]
    if training.init is not None:
        rows.append(("first weights", f"of another model ({told(training.init)})"))
    rows.extend(("in 8-bit integers", _in_integers(record)) for record in card.int8)
    parts: list[Part] = [Grid(("", ""), tuple(rows), text_columns=2)]
    if len(kinds) > 1:
        parts.append(Words("Where networks differ in more than that, the table tells of the first.", is_muted=True))
    return Chapter("Training", tuple(parts))


def _localiser(card: Card) -> list[tuple[str, str]]:
    section = card.config.localiser
    if section is None:
        return []
    learned = "the structures" if section.foreground == "structures" else "all structures as one"
    spacing = " x ".join(f"{size:g}" for size in section.spacing)
    how = f"finds {learned} at {spacing} mm, with a margin of {section.margin_mm or 0:g} mm"
    return [("localiser", f"{how}; {told(section.network)}; {card.localiser_parameters or 0:,} parameters")]


def _counts(card: Card) -> list[Part]:
    scores, parts = card.record.scores, card.record.cohort.parts
    words = _FOLDED if scores is not None and scores.basis is Basis.OUT_OF_FOLD else _PARTS
    found = [(words[name], parts[name]) for name in words if name in parts]
    rows = tuple((what, str(one.cases), UNKNOWN if one.patients is None else str(one.patients)) for what, one in found)
    if not rows:
        return [Words("How many cases there were was not written down.", is_muted=True)]
    return [Grid(("", "cases", "patients"), rows)]


def _grids(card: Card) -> list[Part]:
    facts = card.facts
    unit = "mm" if facts.structures else "mm (pixels for pictures)"
    rows = (
        (f"voxel size, {unit}", *ranges(facts.spacing_min, facts.spacing_max)),
        (f"extent, {unit}", *ranges(facts.extent_min_mm, facts.extent_max_mm)),
    )
    return [Words(f"Channels: {', '.join(facts.modalities)}."), Grid(("", *_AXES), rows)]


def _attributes(card: Card) -> list[Part]:
    cohort = card.record.cohort
    rows = tuple((name, _groups(counts)) for name, counts in cohort.attributes.items())
    left_out = f" {counted(cohort.unnamed, 'attribute')} had no other." if cohort.unnamed else ""
    note = f"A value that fewer than {FEWEST_NAMED} patients share is not named.{left_out}"
    if not rows:
        nobody = "Nothing is known that tells the patients apart, such as age, sex or scanner."
        return [Words(nobody), *([Words(note, is_muted=True)] if left_out else [])]
    return [Grid(("attribute", "training patients"), rows, text_columns=2), Words(note, is_muted=True)]


def _groups(counts: AttributeCounts) -> str:
    told = [f"{value} ({number})" for value, number in counts.groups.items()]
    others = ((counts.other, "rarer values"), (counts.unknown, "unknown"))
    return ", ".join([*told, *(f"{words} ({number})" for number, words in others if number)])


def _structures(card: Card) -> list[Part]:
    rows: list[tuple[Cell, ...]] = []
    for structure in card.scheme.target_structures:
        code = structure.code
        name = (structure.name, f"{code.scheme} {code.value}") if code else structure.name
        facts = card.facts.structures.get(structure.name)
        if facts is None:
            rows.append((name, UNKNOWN, UNKNOWN, UNKNOWN))
        else:
            held = f"{facts.cases} ({100 * facts.share:.0f} %)"
            mean = f"{facts.mean_ml:.3g} \N{PLUS-MINUS SIGN} {facts.deviation_ml:.3g}"
            rows.append((name, held, mean, f"{facts.smallest_ml:.3g} to {facts.largest_ml:.3g}"))
    header = ("structure", "cases that hold it", "volume, mL (mean \N{PLUS-MINUS SIGN} SD)", "smallest to largest, mL")
    return [Grid(header, tuple(rows))]


def _budget(budget: BudgetSection) -> str:
    steps = f"epochs of {budget.steps} steps"
    return f"{budget.minutes:g} min, {steps}" if budget.minutes is not None else f"{budget.epochs} {steps}"


def _done(runs: tuple[TrainingRun, ...]) -> str:
    if not runs:
        return UNKNOWN
    steps, epochs = sum(run.steps for run in runs), sum(run.epochs for run in runs)
    devices = ", ".join(dict.fromkeys(_device(run) for run in runs))
    took = duration(sum(run.seconds for run in runs))
    return f"{counted(steps, 'step')} in {counted(epochs, 'epoch')}, {took} on {devices}"


def _device(run: TrainingRun) -> str:
    return run.device if run.processes == 1 else f"{run.processes} x {run.device}"


def _in_integers(record: Int8Record) -> str:
    cases = counted(record.held_out_cases, "case")
    scores = f"mean Dice {record.dice_int8:.4f} on {cases} that did not calibrate it, {record.dice:.4f} in float32"
    return f"{scores}; {100 * record.equal_voxels:.2f} % of the voxels alike"


def _clean_up(card: Card) -> str:
    section = card.config.postprocessing
    return "; ".join(steps_in_words(section) if section else ()) or "none"
