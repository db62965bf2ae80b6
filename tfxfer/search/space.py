"""The space of a search, and from a point of it to a config."""

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
from tfxfer.modalities.pictures.networks.families import COUNTS
from tfxfer.records.searches import Trial

DEPTH = "unfreeze"
BACKBONE = "backbone.name"


@dataclass(frozen=True)
class Space:
    """What is varied.

    Attributes:
        phase: name of the phase whose depth is searched.
        blocks: how many the config's backbone has.
        depths: blocks that it unfreezes, ascending; 0 leaves it out.
        axes: by the key of a config. Those of the phase count where it is not left out.
    """

    phase: str
    blocks: int
    depths: tuple[int, ...]
    axes: dict[str, Axis]

    def needs_depth(self, key: str) -> bool:
        """Whether an axis means nothing where nothing is unfrozen."""
        return key.startswith(f"phases.{self.phase}.")


def make_space(config: Config, blocks: tuple[Block, ...]) -> Space:
    """Read a config's ``[search]``, and fill in what it leaves out.

    Args:
        blocks: of its backbone.

    Raises:
        InputError: there is no phase to search the depth of, or an axis names no key of a config.
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
    """Depths to try where nobody named any: none, 1, 2, 4, 8 … and all blocks."""
    steps = [0]
    step = 1
    while step < blocks:
        steps.append(step)
        step *= 2
    return (*steps, blocks)


def default_axes(phase: PhaseConfig) -> dict[str, Axis]:
    """What is searched besides the depth: the rate around the preset's, and how it decays."""
    key = f"phases.{phase.name}"
    return {
        f"{key}.learning_rate": Range(
            low=phase.learning_rate / 4, high=phase.learning_rate * 4, log=True
        ),
        f"{key}.layer_decay": (0.7, 0.85, 1.0),
    }


def find_phase(config: Config) -> PhaseConfig:
    """The phase whose depth is searched: the last one.

    Raises:
        InputError: it unfreezes nothing, or the network has random weights.
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
    """The config of one trial.

    Phases before the last stay as they are, but for those that unfreeze as much or more.

    Args:
        values: the depth under ``"unfreeze"``, and axes by key; those that do not count are
            passed over.

    Raises:
        InputError: the values do not go together.
    """
    table = config.model_dump(mode="json", exclude_none=True, exclude={"search"})
    name = values.get(BACKBONE, config.backbone.name)
    blocks = space.blocks if name == config.backbone.name else COUNTS[name][1]
    depth = min(values.get(DEPTH, space.depths[-1]), blocks)
    for key, value in values.items():
        if key in space.axes and (depth or not space.needs_depth(key)):
            if key == BACKBONE and value != config.backbone.name:
                # A preset's size and alpha are those of its own network.
                table["backbone"] = {"weights": config.backbone.weights}
            set_value(table, key, value)
    set_value(table, f"phases.{space.phase}.unfreeze", "all" if depth == blocks else depth)
    *earlier, last = table["phases"]
    kept = [phase for phase in earlier if _is_less(phase["unfreeze"], depth)]
    table["phases"] = [*kept, last] if depth or not kept else kept
    return validate(table, "The trial", Config)


def train_on_all(config: Config, trial: Trial) -> Config:
    """A trial's config with the validation pictures among those for training.

    What they have chosen is taken from the trial, and more pictures do not mean fewer epochs.
    """
    *earlier, last = config.phases
    chosen: dict[str, Any] = {"precision": trial.precision}
    if trial.planned_epochs:
        chosen["epochs"] = trial.planned_epochs
    phases = [*earlier, last.model_copy(update=chosen)]
    penalty = {"inverse_penalty": trial.inverse_penalty, "evenness": trial.evenness}
    phases[0] = phases[0].model_copy(update=penalty)
    data = config.data.model_copy(update={"train_on_validation": True})
    return config.model_copy(update={"data": data, "phases": tuple(phases)})


def _is_less(unfreeze: int | str, depth: int) -> bool:
    """Whether an earlier phase unfreezes nothing, or less than the searched one."""
    return unfreeze == 0 or (isinstance(unfreeze, int) and unfreeze < depth)


def _by_name(config: Config, key: str) -> str:
    """An axis with its phase by name, where it was given by number."""
    parts = key.split(".")
    if parts[0] == "phases" and parts[1].isdecimal() and int(parts[1]) < len(config.phases):
        parts[1] = config.phases[int(parts[1])].name
    return ".".join(parts)


def _try_each(config: Config, space: Space) -> None:
    """Refuse a value that fits nowhere before a trial meets it."""
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
