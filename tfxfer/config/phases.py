"""What a phase of training is told to do. Imports no TensorFlow."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from tfxfer.config.table import Table
from tfxfer.errors import InputError


class PhaseConfig(Table):
    """One phase of training: what is unfrozen, at which rate, for how long.

    What is None is chosen by the number of training pictures (`phases/schedules.py`).
    """

    name: str = Field(min_length=1, pattern=r"^[\w-]+$")
    unfreeze: int | str = 0  # blocks from the top, "all", or a block's name
    epochs: int | None = Field(None, ge=1)
    # Stored views of each picture, the first as it is; "stream": a new one in every epoch.
    views: int | Literal["stream"] | None = None
    # Policy of its views but the first; None: that of [augmentation].
    augmentation: str | None = None
    # Of a head alone; "auto": "logistic" where it is linear, its features are stored and nothing
    # is mixed. It knows no epochs, rates and label smoothing; the ridge penalty stands for them.
    solver: Literal["auto", "logistic", "adamw"] = "auto"
    # Of logistic regression; None: those that are best on validation (`tasks/solver.py`).
    inverse_penalty: float | None = Field(None, gt=0)
    evenness: float | None = Field(None, ge=0, le=1)
    # "auto": what a short trial shows to be fastest; see `CANDIDATES` in phases/precision.py.
    precision: Literal["auto", "float32", "bfloat16_rewrite", "mixed_float16", "mixed_bfloat16"] = (
        "auto"
    )
    mixup: float | None = Field(None, ge=0)  # of the Beta distribution; 0: none
    cutmix: float = Field(0.0, ge=0)
    learning_rate: float = Field(gt=0)
    warmup: float = Field(0.1, ge=0, lt=1)  # share of the phase's steps
    layer_decay: float = Field(1.0, gt=0, le=1)  # of the rate, for each block further down
    weight_decay: float = Field(1e-4, ge=0)
    label_smoothing: float = Field(0.1, ge=0, lt=1)  # of gradient steps
    clip_norm: float = Field(1.0, gt=0)  # of all gradients together
    # Epochs in a row that are no better on validation end a phase; None: it takes all of its
    # epochs, since the last ones, at a low rate, are often the best.
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


class ResolvedPhase(PhaseConfig):
    """A phase in which nothing is left to the number of pictures."""

    epochs: int = Field(ge=1)
    views: int | Literal["stream"]
    mixup: float = Field(ge=0)
