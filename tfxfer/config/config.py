"""The settings of a whole run, and the rules that they keep. This imports no TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import SequenceMatcher
from typing import Annotated, Any, TypeVar, get_args, get_origin

from pydantic import (
    BaseModel,
    Field,
    PlainValidator,
    SerializeAsAny,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from tfxfer.config.augmentation import Augmentation
from tfxfer.config.backbone import BackboneConfig
from tfxfer.config.data import FORMER_KEYS, DataConfig
from tfxfer.config.features import DevicesConfig, FeaturesConfig
from tfxfer.config.head import HeadConfig
from tfxfer.config.phases import PhaseConfig
from tfxfer.config.places import is_among_items
from tfxfer.config.search import SearchConfig
from tfxfer.config.table import Table, absolute
from tfxfer.errors import InputError, nearest
from tfxfer.kinds import MODALITIES
from tfxfer.modality import Modality

Whole = TypeVar("Whole", bound=Table)
_ALIKE = 0.6  # Keys that are less like an unknown one, from 0 to 1, are not proposed.


def _check_augmentation(augmentation: Any, info: ValidationInfo) -> Augmentation:
    data = info.data.get("data", DataConfig())  # If `data` is wrong, only that error is reported.
    return data.row.augmentation.model_validate(augmentation)


# The augmentation is the table that the row of the modality names.
OfModality = Annotated[SerializeAsAny[Augmentation], PlainValidator(_check_augmentation)]


class DistillationConfig(Table):
    """A larger model from which a run learns besides the labels (`training/teacher.py`)."""

    teacher: str  # the folder of a run with the same classes
    temperature: float = Field(2.0, ge=1, le=20)  # It makes the teacher's probabilities more even.
    weight: float = Field(0.7, gt=0, le=1)  # The rest is the weight of the labels.
    trust: bool = False  # whether the teacher may hold a program, as in `tfxfer.load_model`

    @field_validator("teacher")
    @classmethod
    def _is_absolute(cls, value: str) -> str:
        return absolute(value)


class DataSettings(Table):
    """The settings of a command that looks at data and trains nothing."""

    data: DataConfig = DataConfig()
    augmentation: OfModality = Field({}, validate_default=True)
    features: FeaturesConfig = FeaturesConfig()

    @model_validator(mode="after")
    def _cache_lies_elsewhere(self) -> DataSettings:
        _check_cache(self.features, self.data)
        return self


class Config(Table):
    """All settings of a run: the same config gives the same run.

    Example:
        >>> import tfxfer
        >>> config = tfxfer.load_config("birds")
        >>> [(phase.name, phase.unfreeze) for phase in config.phases]
        [('head', 0), ('fine-tune', 6)]
    """

    summary: str = ""
    seed: int = Field(0, ge=0, lt=2**31)
    deterministic: bool = False  # gives the same weights, bit for bit, on the same machine
    calibrate: bool = (
        True  # makes probabilities agree with the shares that are right (`tasks/calibration.py`)
    )
    data: DataConfig = DataConfig()
    augmentation: OfModality = Field({}, validate_default=True)
    backbone: BackboneConfig = BackboneConfig()
    head: HeadConfig = HeadConfig()
    features: FeaturesConfig = FeaturesConfig()
    devices: DevicesConfig = DevicesConfig()
    phases: tuple[PhaseConfig, ...] = Field(min_length=1)
    search: SearchConfig | None = None  # what `tfxfer tune` may vary
    distillation: DistillationConfig | None = None

    @model_validator(mode="after")
    def _policies_are_the_modality_s(self) -> Config:
        allowed = self.data.row.policies
        for phase in self.phases:
            if phase.augmentation is not None and phase.augmentation not in allowed:
                raise InputError(
                    f"augmentation must be one of {', '.join(allowed)}. Received: "
                    f"augmentation={phase.augmentation!r} in phase {phase.name!r}."
                    f"{nearest(phase.augmentation, allowed)}"
                )
        return self

    @model_validator(mode="after")
    def _phases_fit(self) -> Config:
        names = [phase.name for phase in self.phases]
        if len(set(names)) != len(names):
            raise InputError(f"Phases must have names of their own. Received: {names}.")
        return self

    @model_validator(mode="after")
    def _cache_lies_elsewhere(self) -> Config:
        _check_cache(self.features, self.data)
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
        separator = self.data.reading.label_separator
        if solved and separator is not None:
            raise InputError(
                "solver='logistic' fits one label a picture: its probabilities sum to 1. Received: "
                f"label_separator={separator!r}, solver='logistic' in phase "
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


def _check_cache(features: FeaturesConfig, data: DataConfig) -> None:
    cache, source = features.cache_dir, data.source
    if cache and is_among_items(cache, source):
        raise InputError(
            "features.cache_dir must lie outside of the folder of pictures, whose folders are "
            f"classes. Received: {cache!r} in {source!r}. Name a folder elsewhere."
        )


def validate(table: Mapping[str, Any], where: str, whole: type[Whole]) -> Whole:
    """Check a table of values.

    Raises:
        InputError: Values do not fit; the error names all of them.
    """
    try:
        return whole.model_validate(table)
    except ValidationError as error:
        data = table.get("data")
        named = data.get("modality") if isinstance(data, dict) else None
        modality = MODALITIES.get(str(named), DataConfig().row)
        places = [item["loc"] for item in error.errors()]
        # Pydantic finds a list too short whose items are all wrong.
        lines = [
            _explain(item, whole, modality)
            for item in error.errors()
            if item["type"] != "too_short"
            or all(
                place[: len(item["loc"])] != item["loc"] for place in places if place != item["loc"]
            )
        ]
        raise InputError("\n".join([f"{where} does not fit:", *lines])) from error


def is_table(key: str) -> bool:
    """Return whether a dotted key names a table of a config, and not a value.

    Example:
        >>> from tfxfer.config.config import is_table
        >>> is_table("data.split"), is_table("data.batch_size")
        (True, False)
    """
    return _list_keys(Config, DataConfig().row).get(key, False)


def _explain(item: Any, whole: type[Table], modality: Modality) -> str:
    """Return a line that explains one of pydantic's errors."""
    key = ".".join(str(part) for part in item["loc"])
    if item["type"] == "extra_forbidden":
        *parents, last = item["loc"]
        if parents == ["data"] and last in FORMER_KEYS:
            return (
                f"- the keys of [data] lie in [data], [data.reading] and [data.split]. Received: "
                f"the earlier key data.{last}. Write data.{FORMER_KEYS[last]} for it."
            )
        allowed = list(_model_at(parents, whole, modality).model_fields)
        where = f"[{'.'.join(map(str, parents))}]" if parents else "the top level"
        meant = _find_meant(item, whole, modality)
        hint = f" Did you mean {meant!r}?" if meant else ""
        return f"- unknown key {key!r}.{hint} Keys of {where}: {', '.join(allowed)}."
    cause = item.get("ctx", {}).get("error")
    if isinstance(cause, InputError):
        return f"- {key or 'config'}: {cause}"
    received = "" if item["type"] == "missing" else f" Received: {item['input']!r}."
    return f"- {key}: {item['msg']}.{received}"


def _find_meant(item: Any, whole: type[Table], modality: Modality) -> str | None:
    """Return the key of any table whose last part is most like that of an unknown key.

    An unknown table is meant for a table, and an unknown value for a value. Of keys that are
    equally alike, that of the table in which the unknown one was given is meant, which is given
    without the table.
    """
    *parents, last = item["loc"]
    here = _list_keys(_model_at(parents, whole, modality), modality)
    known = [(key, is_table) for key, is_table in here.items() if "." not in key]
    known += _list_keys(whole, modality).items()
    keys = [key for key, is_table in known if is_table == isinstance(item["input"], Mapping)]
    word = str(last).lower()
    likeness = [SequenceMatcher(None, word, key.rpartition(".")[2]).ratio() for key in keys]
    best = max(likeness)
    return keys[likeness.index(best)] if best >= _ALIKE else None


def _list_keys(model: type[BaseModel], modality: Modality, before: str = "") -> dict[str, bool]:
    """Map the dotted keys of everything below a table to whether they are tables themselves.

    ``NAME`` stands for the name of a phase.
    """
    keys = {}
    for name, field in model.model_fields.items():
        inner: Any = modality.augmentation if name == "augmentation" else field.annotation
        is_list = bool(get_args(inner)) and get_origin(inner) is tuple
        inner = get_args(inner)[0] if is_list else inner
        keys[before + name] = isinstance(inner, type) and issubclass(inner, BaseModel)
        if keys[before + name]:
            below = f"{before}{name}.{'NAME.' if is_list else ''}"
            keys |= _list_keys(inner, modality, below)
    return keys


def _model_at(location: list[Any], whole: type[Table], modality: Modality) -> type[BaseModel]:
    """Return the model whose keys stand at a location such as ``("phases", 0)``."""
    model: type[BaseModel] = whole
    for part in location:
        if part == "augmentation":
            model = modality.augmentation
        elif isinstance(part, str):
            annotation: Any = model.model_fields[part].annotation
            model = get_args(annotation)[0] if get_args(annotation) else annotation
    return model
