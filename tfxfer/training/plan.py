"""The plan of a run, which is shown before it begins."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from tfxfer.config.config import Config
from tfxfer.config.phases import ResolvedPhase
from tfxfer.features.cut import ITEMS
from tfxfer.machine import runtime
from tfxfer.machine.keras_settings import float32_policy
from tfxfer.phases.memory import memory_errors
from tfxfer.records.plans import PhasePlan, Plan
from tfxfer.report.console import print_plan
from tfxfer.training.estimate import Before, check_memory, plan_phase
from tfxfer.training.job import Job, choose_devices, prepare


def make_plan(config: Config, job: Job, is_timed: bool = False) -> Plan:
    """Make the plan of a run, and refuse impossible ones, before anything is written.

    Timing runs a few training steps, after which the job cannot be used any more.

    Raises:
        InputError: A phase does not fit the backbone, or a batch does not fit in memory.
    """
    items, backbone = job.items, job.backbone
    phases: list[PhasePlan] = []
    for position, phase in enumerate(job.phases):
        before = Before(
            views=int(any(earlier.views for earlier in phases)),
            has_changed=any(len(earlier.unfrozen) > phase.unfreeze for earlier in phases),
        )
        phases.append(plan_phase(job, position, before=before, is_timed=is_timed))
    available = None if runtime.has_accelerator() else runtime.available_memory_bytes()
    for planned in phases:
        if available is not None:
            check_memory(backbone, len(planned.unfrozen), job.batch_size, available)
    counts = items.train.labels.count(len(items.classes))
    class_counts = dict(zip(items.classes, map(int, counts), strict=True))
    return Plan(
        source=items.source,
        counts=items.counts,
        class_counts=class_counts,
        backbone=_describe(config),
        weights=config.backbone.weights,
        image_size_px=backbone.input.shape[0] or 0,
        parameters=backbone.network.count_params(),
        blocks=tuple((block.name, block.parameters) for block in backbone.blocks),
        phases=tuple(phases),
        engine=_describe_engine(job),
        notes=(
            *items.notes,
            *backbone.notes,
            *list_notes(config, job.phases),
            *items.task.note_sizes(class_counts, config.data.balance),
        ),
    )


def _describe_engine(job: Job) -> str:
    """Say which engine will run the frozen layers, and how exact it was when it was compared."""
    features = job.features
    cuts = dict.fromkeys(map(features.network.cut_for, job.phases))
    frozen = tuple(cut for cut in cuts if cut.name != ITEMS)
    if not frozen:
        return "none: the whole network trains"
    prefixes = features.hash_prefixes(frozen)
    for tried in (frozen, *((cut,) for cut in frozen)):
        if known := features.find_trial(tried, prefixes):
            return (
                f"{known.engine}, whose features differ from Keras's by {known.error:.2g} of what "
                "tells items apart"
            )
    wanted = features.network.engine
    return "the fastest in a short comparison" if wanted == "auto" else wanted


@float32_policy()
def dry_run(config: Config, console: Console) -> Plan:
    """Print the plan with a timed estimate; train and store nothing."""
    share = choose_devices(config)
    with share.scope(), memory_errors(config.data.batch_size):
        job = prepare(config, console, keeps=False, share=share)
        with console.status("Timing a few steps"):
            plan = make_plan(config, job, is_timed=True)
    print_plan(console, plan, with_blocks=True)
    return plan


def _describe(config: Config) -> str:
    alpha = config.backbone.alpha
    return config.backbone.name if alpha is None else f"{config.backbone.name} (alpha {alpha:g})"


def list_notes(config: Config, phases: Sequence[ResolvedPhase]) -> list[str]:
    """Return notes on settings that have no effect, or that make a poor model.

    Args:
        config: The config.
        phases: Its phases, without values that depend on the number of items.
    """
    return [*_warn_of_weights(config), *_explain_views(config, phases)]


def _warn_of_weights(config: Config) -> list[str]:
    warnings = []
    is_embedded_data = str(config.data.source).startswith("embedded:")
    if config.backbone.weights == "embedded" and not is_embedded_data:
        warnings.append(
            "the embedded weights were trained on drawn birds and know nothing of photographs; "
            "expect a poor model. Use --backbone EfficientNetV2B0 (ImageNet weights) instead"
        )
    if config.backbone.weights == "none":
        warnings.append("no pretrained weights: every phase trains the whole network")
    return warnings


def _explain_views(config: Config, phases: Sequence[ResolvedPhase]) -> list[str]:
    """Return notes on settings of views that have no effect."""
    notes = []
    for asked, phase in zip(config.phases, phases, strict=True):
        augmentation = config.augmentation.under(phase.augmentation)
        name = f"phase {phase.name!r}"
        if isinstance(asked.views, int) and asked.views != phase.views:
            notes.append(f"{name}: without augmentation all views are one, and one is stored")
        elif augmentation.is_unusual and phase.views == 1 and asked.unfreeze not in (0, "all"):
            notes.append(
                f"{name} stores one view, the picture as it is: policy {augmentation.policy!r} is "
                f"not seen (--set phases.{phase.name}.views=2 or more, or stream)"
            )
    return notes
