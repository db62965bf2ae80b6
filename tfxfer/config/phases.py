"""The settings of a phase of training. This module imports no TensorFlow."""

from __future__ import annotations

from typing import Any, Literal, get_args

from pydantic import Field, field_validator, model_validator

from tfxfer.config.table import Table
from tfxfer.errors import InputError

Precision = Literal["float32", "bfloat16_rewrite", "mixed_float16", "mixed_bfloat16"]
PRECISIONS: tuple[str, ...] = get_args(Precision)


class PhaseConfig(Table):
    """The settings of one phase: what is unfrozen, at which rate, for how long.

    Values of None depend on the number of training items (`phases/schedules.py`).

    Example:
        >>> import tfxfer
        >>> phase = tfxfer.PhaseConfig(name="fine-tune", unfreeze=3, learning_rate=3e-4)
        >>> phase.epochs is None, phase.batch_norm
        (True, 'frozen')
    """

    name: str = Field(min_length=1, pattern=r"^[\w-]+$")
    unfreeze: int | str = 0  # blocks from the top, "all", or a block's name
    epochs: int | None = Field(None, ge=1)
    # So many views of each item are stored, the plain one first; "stream" makes a new one in every
    # epoch.
    views: int | Literal["stream"] | None = None
    # This is the policy of all views except the plain one; None takes that of [augmentation].
    augmentation: str | None = None
    # A head alone can be solved. "auto" takes "logistic" if the head is linear, its features are
    # stored and nothing is mixed. Logistic regression has no epochs, rates and label smoothing; the
    # ridge penalty takes their place.
    solver: Literal["auto", "logistic", "adamw"] = "auto"
    # These belong to logistic regression; None takes the best on validation (`tasks/solver.py`).
    inverse_penalty: float | None = Field(None, gt=0)
    evenness: float | None = Field(None, ge=0, le=1)
    # "auto" takes the fastest in a short comparison (`CANDIDATES` in `phases/precision.py`).
    precision: Literal["auto"] | Precision = "auto"
    mixup: float | None = Field(None, ge=0)  # the parameter of the Beta distribution; 0 mixes none
    cutmix: float = Field(0.0, ge=0)
    learning_rate: float = Field(gt=0)
    warmup: float = Field(0.1, ge=0, lt=1)  # a share of the phase's steps
    layer_decay: float = Field(1.0, gt=0, le=1)  # the factor of the rate for each deeper block
    weight_decay: float = Field(1e-4, ge=0)
    label_smoothing: float = Field(0.1, ge=0, lt=1)  # used by gradient steps only
    clip_norm: float = Field(1.0, gt=0)  # the limit of the norm of all gradients together
    # So many epochs in a row without improvement on validation end the phase. With None, it takes
    # all of its epochs, because the last ones, at a low rate, are often the best.
    patience: int | None = Field(None, ge=1)
    batch_norm: Literal["frozen", "train"] = "frozen"

    @field_validator("unfreeze", mode="before")
    @classmethod
    def _is_in_range(cls, unfreeze: Any) -> Any:
        if isinstance(unfreeze, int) and unfreeze < 0:
            raise InputError(
                "unfreeze must be a number of blocks from 0 up, 'all' or a block's name. "
                f"Received: unfreeze={unfreeze}."
            )
        return unfreeze

    @field_validator("views", mode="before")
    @classmethod
    def _is_a_number_of_views(cls, views: Any) -> Any:
        is_number = isinstance(views, int) and 1 <= views <= 64
        if views is not None and views != "stream" and not is_number:
            raise InputError(
                "views must be a number of stored views from 1 to 64, or 'stream'. "
                f"Received: views={views!r}."
            )
        return views

    @model_validator(mode="after")
    def _head_alone_is_solved(self) -> PhaseConfig:
        if self.solver == "logistic" and (self.unfreeze != 0 or self.views == "stream"):
            raise InputError(
                "solver='logistic' fits the head on stored features. Received: "
                f"unfreeze={self.unfreeze!r}, views={self.views!r} in phase {self.name!r}. "
                "Take unfreeze=0 and a number of views, or solver='adamw'."
            )
        if self.solver == "logistic" and self.mixup:
            raise InputError(
                "mixup needs gradient steps; logistic regression fits features as they are. "
                f"Received: solver='logistic', mixup={self.mixup:g} in phase {self.name!r}. "
                "Take solver='adamw', or leave mixup out."
            )
        if self.cutmix and self.unfreeze == 0:
            raise InputError(
                "cutmix pastes rectangles and needs maps; a head trains on pooled features. "
                f"Received: cutmix={self.cutmix:g}, unfreeze=0 in phase {self.name!r}. "
                "Take mixup, or unfreeze blocks."
            )
        return self

    @model_validator(mode="after")
    def _batch_norm_needs_unfrozen_blocks(self) -> PhaseConfig:
        if self.batch_norm == "train" and self.unfreeze == 0:
            raise InputError(
                "batch_norm='train' needs unfrozen blocks to act on. Received: unfreeze=0 in "
                f"phase {self.name!r}. Unfreeze blocks, or leave batch_norm at 'frozen'."
            )
        return self


class FilledPhase(PhaseConfig):
    """The settings of a phase without values that depend on the number of items."""

    epochs: int = Field(ge=1)
    views: int | Literal["stream"]
    mixup: float = Field(ge=0)


class ResolvedPhase(FilledPhase):
    """A phase in which nothing is left to the backbone's blocks either."""

    unfreeze: int = Field(0, ge=0)  # blocks from the top
