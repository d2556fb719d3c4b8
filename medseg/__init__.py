"""medseg: segment medical images.

``import medseg`` loads no torch: a public name is imported from its module when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .batch.outputs import ResultForm as ResultForm
    from .batch.session import BatchOptions as BatchOptions
    from .config.deid import DeidProfile as DeidProfile
    from .config.load import load_config as load_config
    from .config.load import load_profile as load_profile
    from .config.sections import RunConfig as RunConfig
    from .core.anatomy import known_structure as known_structure
    from .core.case import Case as Case
    from .core.geometry import Geometry as Geometry
    from .core.labels import LabelScheme as LabelScheme
    from .core.labels import Region as Region
    from .core.labels import Structure as Structure
    from .core.segmentation import Segmentation as Segmentation
    from .core.volume import LabelMap as LabelMap
    from .core.volume import MultiLabelMap as MultiLabelMap
    from .core.volume import Volume as Volume
    from .data.clips import read_frames as read_frames
    from .data.layouts import open_dataset as open_dataset
    from .evaluation.attributes import AuditOptions as AuditOptions
    from .inference.bundle import Bundle as Bundle
    from .inference.bundle import read_bundle as read_bundle
    from .inference.bundle import write_bundle as write_bundle
    from .inference.ensemble import ensemble as ensemble
    from .inference.export_forms import ExportForm as ExportForm
    from .inference.frames import FrameSegmenter as FrameSegmenter
    from .inference.frames_live import LiveSegmenter as LiveSegmenter
    from .inference.predictor import Predictor as Predictor
    from .inference.region import embedded as embedded
    from .inference.region import in_region as in_region
    from .inference.settings import PredictionSettings as PredictionSettings
    from .io.formats import read_label_map as read_label_map
    from .io.formats import read_multi_label_map as read_multi_label_map
    from .io.formats import read_volume as read_volume
    from .io.formats import write_label_map as write_label_map
    from .io.formats import write_multi_label_map as write_multi_label_map
    from .io.formats import write_volume as write_volume
    from .io.label_files import read_outlines as read_outlines
    from .io.studies import find_series as find_series
    from .metrics.arrays import score_arrays as score_arrays
    from .metrics.table import ScoreSettings as ScoreSettings
    from .metrics.table import score_case as score_case
    from .pipelines.batch import predict_studies as predict_studies
    from .pipelines.batch import predict_web_studies as predict_web_studies
    from .pipelines.batch import watch_studies as watch_studies
    from .pipelines.bench import bench as bench
    from .pipelines.bench_jobs import BenchOptions as BenchOptions
    from .pipelines.card import model_card as model_card
    from .pipelines.compare import CompareOptions as CompareOptions
    from .pipelines.compare import compare as compare
    from .pipelines.convert import ConvertOptions as ConvertOptions
    from .pipelines.convert import convert as convert
    from .pipelines.convert_dataset import convert_dataset as convert_dataset
    from .pipelines.cross_validate import FoldOptions as FoldOptions
    from .pipelines.cross_validate import cross_validate as cross_validate
    from .pipelines.deidentify import DeidentifyOptions as DeidentifyOptions
    from .pipelines.deidentify import deidentify as deidentify
    from .pipelines.demo import demo as demo
    from .pipelines.evaluate import EvaluateOptions as EvaluateOptions
    from .pipelines.evaluate import evaluate as evaluate
    from .pipelines.export import ExportOptions as ExportOptions
    from .pipelines.export import export as export
    from .pipelines.import_model import ImportOptions as ImportOptions
    from .pipelines.import_model import import_model as import_model
    from .pipelines.inspect import inspect as inspect
    from .pipelines.listen import ListenOptions as ListenOptions
    from .pipelines.listen import listen as listen
    from .pipelines.plan import PlanOptions as PlanOptions
    from .pipelines.plan import plan as plan
    from .pipelines.predict import PredictOptions as PredictOptions
    from .pipelines.predict import predict as predict
    from .pipelines.pretrain import pretrain as pretrain
    from .pipelines.select import compare_runs as compare_runs
    from .pipelines.train import read_run_config as read_run_config
    from .pipelines.train import train as train
    from .training.callbacks import Callback as Callback
    from .training.own import OwnParts as OwnParts

__version__ = "0.1.0"

# Where each public name lives; a test holds this table and the imports above together.
_HOMES = {
    "AuditOptions": "evaluation.attributes",
    "BatchOptions": "batch.session",
    "BenchOptions": "pipelines.bench_jobs",
    "Bundle": "inference.bundle",
    "Callback": "training.callbacks",
    "Case": "core.case",
    "CompareOptions": "pipelines.compare",
    "ConvertOptions": "pipelines.convert",
    "DeidProfile": "config.deid",
    "DeidentifyOptions": "pipelines.deidentify",
    "EvaluateOptions": "pipelines.evaluate",
    "ExportForm": "inference.export_forms",
    "ExportOptions": "pipelines.export",
    "FoldOptions": "pipelines.cross_validate",
    "FrameSegmenter": "inference.frames",
    "Geometry": "core.geometry",
    "ImportOptions": "pipelines.import_model",
    "LabelMap": "core.volume",
    "LabelScheme": "core.labels",
    "ListenOptions": "pipelines.listen",
    "LiveSegmenter": "inference.frames_live",
    "MultiLabelMap": "core.volume",
    "OwnParts": "training.own",
    "PlanOptions": "pipelines.plan",
    "PredictOptions": "pipelines.predict",
    "PredictionSettings": "inference.settings",
    "Predictor": "inference.predictor",
    "Region": "core.labels",
    "ResultForm": "batch.outputs",
    "RunConfig": "config.sections",
    "ScoreSettings": "metrics.table",
    "Segmentation": "core.segmentation",
    "Structure": "core.labels",
    "Volume": "core.volume",
    "bench": "pipelines.bench",
    "compare": "pipelines.compare",
    "compare_runs": "pipelines.select",
    "convert": "pipelines.convert",
    "convert_dataset": "pipelines.convert_dataset",
    "cross_validate": "pipelines.cross_validate",
    "deidentify": "pipelines.deidentify",
    "demo": "pipelines.demo",
    "embedded": "inference.region",
    "ensemble": "inference.ensemble",
    "evaluate": "pipelines.evaluate",
    "export": "pipelines.export",
    "find_series": "io.studies",
    "import_model": "pipelines.import_model",
    "in_region": "inference.region",
    "inspect": "pipelines.inspect",
    "known_structure": "core.anatomy",
    "listen": "pipelines.listen",
    "load_config": "config.load",
    "load_profile": "config.load",
    "model_card": "pipelines.card",
    "open_dataset": "data.layouts",
    "plan": "pipelines.plan",
    "predict": "pipelines.predict",
    "predict_studies": "pipelines.batch",
    "predict_web_studies": "pipelines.batch",
    "pretrain": "pipelines.pretrain",
    "read_bundle": "inference.bundle",
    "read_frames": "data.clips",
    "read_label_map": "io.formats",
    "read_multi_label_map": "io.formats",
    "read_outlines": "io.label_files",
    "read_run_config": "pipelines.train",
    "read_volume": "io.formats",
    "score_arrays": "metrics.arrays",
    "score_case": "metrics.table",
    "train": "pipelines.train",
    "watch_studies": "pipelines.batch",
    "write_bundle": "inference.bundle",
    "write_label_map": "io.formats",
    "write_multi_label_map": "io.formats",
    "write_volume": "io.formats",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'medseg' has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted([*_HOMES, "__version__"])
