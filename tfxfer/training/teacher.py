"""Distillation: a run learns from a larger model's probabilities besides the labels.

See Hinton, Vinyals and Dean 2015, "Distilling the knowledge in a neural network".
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from rich.console import Console

from tfxfer.cache.digest import digest
from tfxfer.cache.folder import locate
from tfxfer.config.config import Config
from tfxfer.data.items import ItemData
from tfxfer.data.pipeline import make_view_batches
from tfxfer.data.soft_targets import SoftSet
from tfxfer.features.fingerprint import name_views
from tfxfer.features.store import shards
from tfxfer.features.store.table import look_up
from tfxfer.machine.compiled import compile_model, predict_each
from tfxfer.machine.progress import ItemBar
from tfxfer.modality import InputSpec
from tfxfer.prediction.run_model import check_same_classes, load_model

_BATCH = 32


def add_teacher(items: ItemData, config: Config, console: Console) -> ItemData:
    """Mix the labels of the training items with the predictions of the config's teacher.

    The teacher sees the plain view of each item once, and its logits are kept in the cache.

    Raises:
        InputError: There is no teacher, it has other classes, or the items have several labels.
    """
    distillation = config.distillation
    if distillation is None or isinstance(items.train, SoftSet):
        return items
    folder = Path(distillation.teacher)
    items.task.check_teacher(items.source)
    model = load_model(folder, distillation.trust)
    check_same_classes(folder, items.classes)
    place = locate(config.features.cache_dir)
    logits = find_logits(model, items, place, console)
    labels = items.task.soften(
        items.train.labels,
        logits,
        temperature=distillation.temperature,
        weight=distillation.weight,
    )
    note = (
        f"the teacher {folder.name} has {distillation.weight:.0%} of the say in what the training "
        f"pictures are, at temperature {distillation.temperature:g}"
    )
    softened = SoftSet(items.train, labels)
    return replace(items, train=softened, notes=(*items.notes, note))


def find_logits(model: keras.Model, items: ItemData, place: Path, console: Console) -> np.ndarray:
    """Give a model's logits for the training items, ``[items, classes]`` float32.

    Args:
        place: The cache, in which they are stored.
    """
    train = items.train
    weights = (digest(np.asarray(weight).tobytes()) for weight in model.weights)
    classes = int(model.output_shape[-1])
    about = {"network": model.name, "cut": "logits", "source": items.source, "changes": "none"}
    facts = ("logits", model.name, str(model.input_shape), tf.__version__, keras.__version__)
    kind = shards.Kind(digest(*facts, *weights), (classes,), about)
    names = name_views(train.identities(), 0)
    table = look_up(place, kind, names)
    missing = table.missing
    if len(missing):
        chosen = train.choose(missing)
        view = items.modality.plain_view(InputSpec.of(model))
        batches = make_view_batches(chosen, view, batch_size=_BATCH)
        own, call = [names[position] for position in missing], compile_model(model)
        with (
            ItemBar("the teacher", len(missing), console) as bar,
            shards.write_shard(place, kind, own, "float32") as append,
        ):
            done = 0
            for probabilities in predict_each(call, batches):
                append(items.task.to_logits(probabilities).astype(np.float32))
                done += len(probabilities)
                bar.show(0, done)
        table = look_up(place, kind, names)
    return table.read()
