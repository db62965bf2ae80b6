"""The space of a search, and the config of a point in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tfxfer.backbones.blocks import Block, resolve_unfreeze
from tfxfer.config.config import Config, validate
from tfxfer.config.phases import PhaseConfig
from tfxfer.config.presets import set_value
from tfxfer.config.search import Axis, Range, flatten, read_axis
from tfxfer.errors import InputError
from tfxfer.records.searches import Trial

DEPTH = "unfreeze"
BACKBONE = "backbone.name"


@dataclass(frozen=True)
class Space:
    """The values that are varied.

    Attributes:
        phase: The name of the phase whose depth is searched.
        blocks: The number of blocks of the config's backbone.
        depths: The numbers of blocks that the phase may unfreeze, ascending; 0 leaves it out.
        axes: The other varied values by the key of a config. Axes of the phase matter only if it
            is not left out.
    """

    phase: str
    blocks: int
    depths: tuple[int, ...]
    axes: dict[str, Axis]

    def needs_depth(self, key: str) -> bool:
        """Return whether an axis has no effect if nothing is unfrozen."""
        return key.startswith(f"phases.{self.phase}.")


def make_space(config: Config, blocks: tuple[Block, ...]) -> Space:
    """Read a config's ``[search]``, and fill in what it leaves out.

    Args:
        config: The config.
        blocks: The blocks of its backbone.

    Raises:
        InputError: There is no phase whose depth can be searched, or an axis has no such key or
            value.
    """
    phase = find_phase(config)
    search = config.search
    asked = search.unfreeze if search and search.unfreeze else ladder(len(blocks))
    given = ["all" if depth == len(blocks) else depth for depth in asked]
    depths = tuple(sorted({resolve_unfreeze(depth, blocks) for depth in given}))
    if search is None or search.axes is None:
        axes = default_axes(phase)
    else:
        axes = {key: read_axis(key, value) for key, value in flatten(search.axes)}
    axes = {_by_name(config, key): axis for key, axis in axes.items()}
    space = Space(phase.name, len(blocks), depths, axes)
    _try_each(config, space)
    return space


def ladder(blocks: int) -> tuple[int, ...]:
    """Return the default depths of a search: 0, 1, 2, 4, 8, … and all blocks."""
    steps = [0]
    step = 1
    while step < blocks:
        steps.append(step)
        step *= 2
    return (*steps, blocks)


def default_axes(phase: PhaseConfig) -> dict[str, Axis]:
    """Return the default axes besides the depth: the learning rate and its decay by layers."""
    key = f"phases.{phase.name}"
    return {
        f"{key}.learning_rate": Range(
            low=phase.learning_rate / 4, high=phase.learning_rate * 4, log=True
        ),
        f"{key}.layer_decay": (0.7, 0.85, 1.0),
    }


def find_phase(config: Config) -> PhaseConfig:
    """Return the phase whose depth is searched, which is the last one.

    Raises:
        InputError: The phase unfreezes nothing, or the network has random weights.
    """
    phase = config.phases[-1]
    if phase.unfreeze == 0 or config.backbone.weights == "none":
        raise InputError(
            "A search over depth needs pretrained weights and a last phase that unfreezes blocks. "
            f"Received: phase {phase.name!r} with unfreeze={phase.unfreeze!r}, "
            f"weights={config.backbone.weights!r}. Take another preset, or set it "
            f"(--set phases.{phase.name}.unfreeze=4)."
        )
    return phase


def propose(config: Config, space: Space, values: Mapping[str, Any]) -> Config:
    """Return the config of one trial.

    Phases before the last one stay as they are; those that unfreeze as much or more are left out.

    Args:
        config: The config that is varied.
        space: The space of the search.
        values: The depth under ``"unfreeze"``, and the values of axes by key; values that have no
            effect are skipped.

    Raises:
        InputError: The values do not fit together.
    """
    table = config.model_dump(mode="json", exclude_none=True, exclude={"search"})
    name = values.get(BACKBONE, config.backbone.name)
    blocks = space.blocks if name == config.backbone.name else config.data.row.networks[name].blocks
    depth = min(values.get(DEPTH, space.depths[-1]), blocks)
    for key, value in values.items():
        if key in space.axes and (depth or not space.needs_depth(key)):
            if key == BACKBONE and value != config.backbone.name:
                # The preset's size and alpha belong to its own network.
                table["backbone"] = {"weights": config.backbone.weights}
            set_value(table, key, value)
    set_value(table, f"phases.{space.phase}.unfreeze", "all" if depth == blocks else depth)
    *earlier, last = table["phases"]
    kept = [phase for phase in earlier if _is_less(phase["unfreeze"], depth)]
    table["phases"] = [*kept, last] if depth or not kept else kept
    return validate(table, "The trial", Config)


def train_on_all(config: Config, trial: Trial) -> Config:
    """Return a trial's config that trains on the validation items as well.

    The settings that were chosen on validation are taken from the trial, as is the number of
    epochs.
    """
    *earlier, last = config.phases
    chosen: dict[str, Any] = {"precision": trial.precision}
    if trial.planned_epochs:
        chosen["epochs"] = trial.planned_epochs
    phases = [*earlier, last.model_copy(update=chosen)]
    penalty = {"inverse_penalty": trial.inverse_penalty, "evenness": trial.evenness}
    phases[0] = phases[0].model_copy(update=penalty)
    split = config.data.split.model_copy(update={"train_on_validation": True})
    data = config.data.model_copy(update={"split": split})
    return config.model_copy(update={"data": data, "phases": tuple(phases)})


def _is_less(unfreeze: int | str, depth: int) -> bool:
    """Return whether an earlier phase unfreezes nothing, or less than the searched one."""
    return unfreeze == 0 or (isinstance(unfreeze, int) and unfreeze < depth)


def _by_name(config: Config, key: str) -> str:
    """Return the key of an axis with the name of its phase in place of a number."""
    parts = key.split(".")
    if parts[0] == "phases" and parts[1].isdecimal() and int(parts[1]) < len(config.phases):
        parts[1] = config.phases[int(parts[1])].name
    return ".".join(parts)


def _try_each(config: Config, space: Space) -> None:
    """Refuse a value that no config can have, before a trial needs it."""
    depth = space.depths[-1]
    for key, axis in space.axes.items():
        values = (axis.low, axis.high) if isinstance(axis, Range) else axis
        for value in values:
            try:
                propose(config, space, {DEPTH: depth, key: value})
            except InputError as error:
                raise InputError(
                    f"Every value of an axis must be one that the config could have. Received: "
                    f"{key} = {value!r}.\n{error}"
                ) from error
