"""What a run is told to do, and the rules that it keeps. Imports no TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args

from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from tfxfer.backbones.settings import BackboneConfig
from tfxfer.data.settings import (
    AugmentationConfig,
    DataConfig,
    Policy,
    is_address,
    is_among_pictures,
)
from tfxfer.errors import InputError, nearest
from tfxfer.search.settings import SearchConfig
from tfxfer.tables import Table, absolute


class HeadConfig(Table):
    """What stands on the backbone: pooling, then layers up to the class probabilities."""

    kind: Literal["linear", "mlp"] = "linear"
    pooling: Literal["avg", "max", "avg_max"] = "avg"
    # Blocks from the top whose averaged outputs it reads, side by side; see backbones/levels.py.
    levels: int = Field(1, ge=1)
    dropout: float = Field(0.2, ge=0, lt=1)
    hidden_units: int = Field(512, ge=1)  # of the "mlp" head

    @model_validator(mode="after")
    def _levels_are_averaged(self) -> HeadConfig:
        if self.levels > 1 and self.pooling != "avg":
            raise InputError(
                "A head that reads several blocks takes their averages. Received: "
                f"levels={self.levels}, pooling={self.pooling!r}. Take pooling='avg', or levels=1."
            )
        return self


class FeaturesConfig(Table):
    """How the frozen layers run, and what is kept of them."""

    engine: Literal["auto", "openvino", "tensorflow", "xla", "jax"] = "auto"
    cache_dir: str | None = None  # None: $TFXFER_CACHE or ~/.cache/tfxfer
    max_disk_gb: float | None = Field(None, ge=0, le=1e6)  # of the cache; None: by free space

    @field_validator("cache_dir")
    @classmethod
    def _isabsolute(cls, value: str | None) -> str | None:
        if value is not None and not value.strip():
            raise InputError("cache_dir must name a folder. Received: ''. Leave it out instead.")
        if value is not None and is_address(value):
            raise InputError(
                "cache_dir must be a folder of this machine: features are read as files. "
                f"Received: {value!r}. Name such a folder."
            )
        return None if value is None else absolute(value)


class DevicesConfig(Table):
    """What a run is spread over; see `distribution.py`."""

    # "auto": all GPUs, TPU cores or virtual CPU devices of the machine; "single": the first one.
    strategy: Literal["auto", "single"] = "auto"


class PhaseConfig(Table):
    """One phase of training: what is unfrozen, at which rate, for how long.

    What is None is chosen by the number of training pictures (`phases/schedules.py`).
    """

    name: str = Field(min_length=1, pattern=r"^[\w-]+$")
    unfreeze: int | str = 0  # blocks from the top, "all", or a block's name
    epochs: int | None = Field(None, ge=1)
    # Stored views of each picture, the first as it is; "stream": a new one in every epoch.
    views: int | Literal["stream"] | None = None
    augmentation: Policy | None = None  # of its views but the first; None: that of [augmentation]
    # Of a head alone; "auto": "logistic" where it is linear, its features are stored and nothing
    # is mixed. It knows no epochs, rates and label smoothing; the ridge penalty stands for them.
    solver: Literal["auto", "logistic", "adamw"] = "auto"
    # Of logistic regression; None: those that are best on validation (`phases/solver.py`).
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


class DistillationConfig(Table):
    """A larger model that the run learns from, beside the labels: see `teacher.py`."""

    teacher: str  # a run's folder, of the same classes
    temperature: float = Field(2.0, ge=1, le=20)  # evens out what the teacher says
    weight: float = Field(0.7, gt=0, le=1)  # of what it says; the rest is the label's
    trust: bool = False  # it may hold a program: see `tfxfer.load_model`

    @field_validator("teacher")
    @classmethod
    def _is_absolute(cls, value: str) -> str:
        return absolute(value)


class Config(Table):
    """A whole run, resolved: the same config gives the same run."""

    summary: str = ""
    seed: int = Field(0, ge=0, lt=2**31)
    deterministic: bool = False  # the same weights again, bit for bit, on the same machine
    calibrate: bool = True  # make the probabilities as sure as they are right: `temperature.py`
    data: DataConfig = DataConfig()
    augmentation: AugmentationConfig = AugmentationConfig()
    backbone: BackboneConfig = BackboneConfig()
    head: HeadConfig = HeadConfig()
    features: FeaturesConfig = FeaturesConfig()
    devices: DevicesConfig = DevicesConfig()
    phases: tuple[PhaseConfig, ...] = Field(min_length=1)
    search: SearchConfig | None = None  # what `tfxfer tune` may vary
    distillation: DistillationConfig | None = None

    @model_validator(mode="after")
    def _phases_fit(self) -> Config:
        names = [phase.name for phase in self.phases]
        if len(set(names)) != len(names):
            raise InputError(f"Phases must have names of their own. Received: {names}.")
        return self

    @model_validator(mode="after")
    def _cache_lies_elsewhere(self) -> Config:
        cache, source = self.features.cache_dir, self.data.source
        if cache and is_among_pictures(cache, source):
            raise InputError(
                "features.cache_dir must lie outside of the folder of pictures, whose folders are "
                f"classes. Received: {cache!r} in {source!r}. Name a folder elsewhere."
            )
        return self

    @model_validator(mode="after")
    def _only_a_linear_head_is_solved(self) -> Config:
        solved = [phase.name for phase in self.phases if phase.solver == "logistic"]
        if solved and self.head.kind != "linear":
            raise InputError(
                "solver='logistic' fits a linear head. Received: "
                f"head.kind={self.head.kind!r}, solver='logistic' in phase {solved[0]!r}. "
                "Take head.kind='linear', or solver='auto'."
            )
        return self

    @model_validator(mode="after")
    def _several_labels_are_not_solved(self) -> Config:
        solved = [phase.name for phase in self.phases if phase.solver == "logistic"]
        if solved and self.data.label_separator is not None:
            raise InputError(
                "solver='logistic' fits one label a picture: its probabilities sum to 1. Received: "
                f"label_separator={self.data.label_separator!r}, solver='logistic' in phase "
                f"{solved[0]!r}. Take solver='auto', which trains such a head by gradient steps."
            )
        return self

    @model_validator(mode="after")
    def _a_teacher_balances_by_itself(self) -> Config:
        if self.distillation is not None and self.data.balance != "none":
            raise InputError(
                "A teacher's say comes in place of balanced classes. Received: "
                f"data.balance={self.data.balance!r} with distillation.teacher="
                f"{self.distillation.teacher!r}. Take data.balance='none', and a teacher that was "
                "trained with balance."
            )
        return self

    @model_validator(mode="after")
    def _random_weights_are_trained(self) -> Config:
        frozen = [p.name for p in self.phases if (p.unfreeze, p.batch_norm) != ("all", "train")]
        if self.backbone.weights == "none" and frozen:
            raise InputError(
                "weights='none' leaves nothing worth freezing: every phase needs unfreeze='all' "
                f"and batch_norm='train'. Received: phases {frozen} that freeze layers. "
                "`--weights none` on the command line sets this for you."
            )
        return self


def validate(table: Mapping[str, Any], where: str) -> Config:
    """Check a table of values; `InputError` names every value that does not fit."""
    try:
        return Config.model_validate(table)
    except ValidationError as error:
        lines = [_explain(item) for item in error.errors()]
        raise InputError("\n".join([f"{where} does not fit:", *lines])) from error


def _explain(item: Any) -> str:
    """One line on one of pydantic's findings."""
    key = ".".join(str(part) for part in item["loc"])
    if item["type"] == "extra_forbidden":
        *parents, last = item["loc"]
        allowed = list(_model_at(parents).model_fields)
        where = f"[{'.'.join(map(str, parents))}]" if parents else "the top level"
        return (
            f"- unknown key {key!r}.{nearest(str(last), allowed)} Keys of {where}: "
            f"{', '.join(allowed)}."
        )
    cause = item.get("ctx", {}).get("error")
    if isinstance(cause, InputError):
        return f"- {key or 'config'}: {cause}"
    received = "" if item["type"] == "missing" else f" Received: {item['input']!r}."
    return f"- {key}: {item['msg']}.{received}"


def _model_at(location: list[Any]) -> type[BaseModel]:
    """The model whose keys stand at a location such as ``("phases", 0)``."""
    model: type[BaseModel] = Config
    for part in location:
        if isinstance(part, str):
            annotation: Any = model.model_fields[part].annotation
            model = get_args(annotation)[0] if get_args(annotation) else annotation
    return model
