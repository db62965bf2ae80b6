"""The results of runs, searches and exports as frozen dataclasses. They need no TensorFlow."""

from tfxfer.records.checks import Check
from tfxfer.records.evaluations import (
    Calibration,
    ClassFigures,
    Evaluation,
    EvaluationReport,
    ItemResult,
)
from tfxfer.records.exports import Exported, ExportedFormat, RunFigures
from tfxfer.records.plans import BadFile, PhasePlan, Plan
from tfxfer.records.results import CRITERIA, FoldResult, FoldsResult, PhaseResult, RunResult
from tfxfer.records.searches import SearchResult, Trial

__all__ = [
    "CRITERIA",
    "BadFile",
    "Calibration",
    "Check",
    "ClassFigures",
    "Evaluation",
    "EvaluationReport",
    "Exported",
    "ExportedFormat",
    "FoldResult",
    "FoldsResult",
    "ItemResult",
    "PhasePlan",
    "PhaseResult",
    "Plan",
    "RunFigures",
    "RunResult",
    "SearchResult",
    "Trial",
]
