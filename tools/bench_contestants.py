"""The contestants of tools/bench_two_phase.py; each one is a process.

    python tools/bench_contestants.py NAME OUT BEGUN DATA WEIGHTS [SEED]

BEGUN is the time at which the process was started, in seconds since 1970. The tool writes
OUT/result.json: the seconds to the end, and the test accuracy of the weights at each point in time.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

SIZE_PX, BATCH = 224, 32
FINE_TUNED_BLOCKS, FINE_TUNED_FROM = 4, "block_14_expand"


def build_keras(weights: str, classes: int, augmentation: list | None = None):
    """Build the whole network as one writes it by hand; return the model and its backbone."""
    import keras

    base = keras.applications.MobileNetV2(
        include_top=False, weights=None, input_shape=(SIZE_PX, SIZE_PX, 3)
    )
    base.load_weights(weights)
    base.trainable = False
    inputs = keras.Input((SIZE_PX, SIZE_PX, 3))
    outputs = inputs
    for layer in augmentation or []:
        outputs = layer(outputs)
    outputs = keras.layers.Rescaling(1 / 127.5, offset=-1.0)(outputs)
    outputs = base(outputs, training=False)
    outputs = keras.layers.GlobalAveragePooling2D()(outputs)
    outputs = keras.layers.Dropout(0.2)(outputs)
    outputs = keras.layers.Dense(classes, activation="softmax")(outputs)
    return keras.Model(inputs, outputs), base


def read_folder(data: str, split: str, shuffle: bool):
    import keras

    return keras.utils.image_dataset_from_directory(
        Path(data) / split, image_size=(SIZE_PX, SIZE_PX), batch_size=BATCH, shuffle=shuffle,
        seed=0, label_mode="categorical", verbose=False,
    )  # fmt: skip


class Points:
    """Weights at points in time, which are tested after the clock has stopped."""

    def __init__(self, folder: Path, begun: float):
        self._folder, self._begun = folder, begun
        self._saved: list[tuple[float, Path]] = []

    def add(self, model) -> None:
        seconds = time.time() - self._begun
        path = self._folder / f"{len(self._saved):03d}.weights.h5"
        model.save_weights(path)
        self._saved.append((seconds, path))

    def finish(self, model, test, head: int) -> dict:
        """Test the weights of every point.

        Args:
            model: The model that takes the weights.
            test: The test pictures.
            head: The position of the point at which only the head was trained.
        """
        seconds = time.time() - self._begun
        points = []
        model.compile(loss="categorical_crossentropy", metrics=["accuracy"])
        for at, path in self._saved:
            model.load_weights(path)
            points.append({"seconds": at, "test": float(model.evaluate(test, verbose=0)[1])})
        return {"seconds": seconds, "points": points, "head": head}


def standard(folder: Path, begun: float, data: str, weights: str) -> dict:
    """Train by the recipe of Keras's transfer-learning guide."""
    import keras

    keras.utils.set_random_seed(0)
    training = read_folder(data, "train", shuffle=True).prefetch(-1)
    validation = read_folder(data, "validation", shuffle=False).prefetch(-1)
    classes = training.element_spec[1].shape[1]
    augmentation = [keras.layers.RandomFlip("horizontal"), keras.layers.RandomRotation(0.1)]
    model, base = build_keras(weights, classes, augmentation)
    points = Points(folder, begun)
    each = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: points.add(model))

    def fit(rate: float) -> None:
        model.compile(keras.optimizers.Adam(rate), "categorical_crossentropy")
        model.fit(training, validation_data=validation, epochs=10, callbacks=[each], verbose=0)

    fit(1e-3)
    base.trainable = True
    for layer in base.layers[:100]:
        layer.trainable = False
    fit(1e-5)
    return points.finish(model, read_folder(data, "test", shuffle=False), head=9)


def careful(folder: Path, begun: float, data: str, weights: str) -> dict:
    """Compute frozen features once for the head; then train top blocks in the whole network."""
    import keras
    import numpy as np
    import tensorflow as tf

    from tfxfer.phases.schedules import choose_epochs, warmup_cosine

    keras.utils.set_random_seed(0)
    training = read_folder(data, "train", shuffle=False)
    validation = read_folder(data, "validation", shuffle=False)
    classes = training.element_spec[1].shape[1]
    model, base = build_keras(weights, classes)
    points = Points(folder, begun)
    extractor = keras.Model(model.inputs, model.layers[-3].output)
    features, held_out = (
        (extractor.predict(split, verbose=0), np.concatenate([y for _, y in split]))
        for split in (training, validation)
    )
    head = keras.Sequential([keras.Input(features[0].shape[1:]), *model.layers[-2:]])
    head.compile(keras.optimizers.Adam(1e-3), "categorical_crossentropy", metrics=["accuracy"])
    stop = keras.callbacks.EarlyStopping("val_accuracy", patience=5, restore_best_weights=True)
    head.fit(*features, validation_data=held_out, epochs=50, callbacks=[stop], verbose=0)
    points.add(model)

    count = len(features[0])
    epochs = choose_epochs(count)
    _unfreeze(base)
    rate = warmup_cosine(3e-4, epochs * (count // BATCH), 0.1)
    model.compile(
        keras.optimizers.AdamW(rate, weight_decay=1e-4, global_clipnorm=1.0),
        keras.losses.CategoricalCrossentropy(label_smoothing=0.1),
    )

    def augment(pictures, labels):
        pictures = tf.image.random_flip_left_right(pictures)
        return tf.image.random_brightness(pictures, 25.0), labels

    shuffled = read_folder(data, "train", shuffle=True).map(augment, -1).prefetch(-1)
    each = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: points.add(model))
    model.fit(shuffled, validation_data=validation, epochs=epochs, callbacks=[each], verbose=0)
    return points.finish(model, read_folder(data, "test", shuffle=False), head=0)


def tfxfer(folder: Path, begun: float, data: str, weights: str, seed: str = "0") -> dict:
    """Train the preset `photos` with an empty cache."""
    from tfxfer.config.presets import load_config
    from tfxfer.machine import runtime
    from tfxfer.report.console import make_console

    config = load_config("photos", data=data, backbone="MobileNetV2", weights=weights,
                         settings={"seed": int(seed)})  # fmt: skip
    runtime.import_tensorflow()
    import keras

    from tfxfer.data.pipeline import make_evaluation_dataset
    from tfxfer.modalities.pictures.view import plain_view
    from tfxfer.training.load import load_data
    from tfxfer.training.train import run_training

    points = Points(folder, begun)
    result = run_training(config, folder / "run", make_console(), watch=points.add)
    finished = time.time() - begun
    pictures = load_data(config.data, config.seed).test
    test = make_evaluation_dataset(
        pictures, plain_view(SIZE_PX), class_count=len(result.classes), batch_size=BATCH
    )
    model = keras.models.load_model(folder / "run" / "model.keras", compile=False)
    return points.finish(model, test, head=0) | {"seconds": finished}


def speeds(folder: Path, begun: float, data: str, weights: str, timed: str = "10") -> dict:
    """Time frozen layers on batches of decoded pictures, and epochs with and without the cut."""
    from tfxfer.machine import runtime

    runtime.import_tensorflow()
    import numpy as np

    from tfxfer.backbones.build import build_backbone
    from tfxfer.config.backbone import BackboneConfig
    from tfxfer.config.head import HeadConfig
    from tfxfer.features.choose_engine import Reference, choose_engine
    from tfxfer.features.cut import build_prefix, find_cut
    from tfxfer.features.engines import BATCH as ENGINE_BATCH
    from tfxfer.features.engines import in_parts
    from tfxfer.tasks.heads import build_head

    batches = [np.asarray(x) for x, _ in read_folder(data, "train", shuffle=True).take(int(timed))]
    pictures = np.concatenate(batches)
    prefix = {}
    for name in ("MobileNetV2", "EfficientNetV2B0", "ResNet50"):
        given = weights if name == "MobileNetV2" else "none"
        backbone = build_backbone(BackboneConfig(name=name, weights=given))
        head = build_head(HeadConfig(), 10, 0)
        model = build_prefix(backbone, head, [find_cut(backbone, head, 0)])
        engine, _ = choose_engine(Reference(model, lambda: pictures), wanted="auto")
        pieces = in_parts(pictures, ENGINE_BATCH)
        model.predict(pictures[:BATCH], verbose=0)
        rates: dict[str, float] = {}
        for _ in range(2):  # The better time counts, because other work on the machine only slows.
            for key, call in (
                ("keras", lambda model=model: model.predict(pictures, batch_size=BATCH, verbose=0)),
                ("engine", lambda run=engine.run, pieces=pieces: list(run(pieces))),
            ):
                start = time.monotonic()
                call()
                rate = len(pictures) / (time.monotonic() - start)
                rates[key] = max(rates.get(key, 0.0), rate)
        prefix[name] = rates | {"name": engine.name}
    return {"prefix": prefix, "epoch": _time_epochs(folder, data, weights)}


def _time_epochs(folder: Path, data: str, weights: str) -> dict:
    """Return the seconds of the second epoch of fine-tuning the top blocks: the first compiles."""
    import keras

    from tfxfer.config.presets import load_config
    from tfxfer.features.batches import Batching
    from tfxfer.features.feed import make_phase_data
    from tfxfer.machine.processes import ALONE
    from tfxfer.phases.precision import in_precision
    from tfxfer.phases.prepare import prepare_phase
    from tfxfer.report.console import make_console
    from tfxfer.training.job import prepare

    precision = "bfloat16_rewrite"
    settings = {"phases.fine-tune.unfreeze": FINE_TUNED_BLOCKS, "phases.fine-tune.views": 1}
    config = load_config("photos", data=data, backbone="MobileNetV2", weights=weights,
                         settings=settings)  # fmt: skip
    job = prepare(config, make_console(is_quiet=True), share=ALONE)
    given = make_phase_data(
        job.features, job.items, phases=job.phases[1:], batching=Batching(BATCH)
    )
    with in_precision([], precision):
        suffix = prepare_phase(job.parts(1, given.cut), steps=1000)
        cut = _time_second(suffix, given.make_training())
    model, base = build_keras(weights, len(job.items.classes))
    _unfreeze(base)
    model.compile(keras.optimizers.AdamW(3e-4), "categorical_crossentropy")
    whole = _time_second(model, read_folder(data, "train", shuffle=True).prefetch(-1))
    return {"whole": whole, "cut": cut, "precision": precision, "blocks": FINE_TUNED_BLOCKS,
            "pictures": len(job.items.train.labels)}  # fmt: skip


def _time_second(model, dataset) -> float:
    model.fit(dataset.take(3), verbose=0)
    start = time.monotonic()
    model.fit(dataset, verbose=0)
    return time.monotonic() - start


def _unfreeze(base) -> None:
    """Unfreeze the top blocks except their BatchNormalization."""
    import keras

    base.trainable = True
    start = [layer.name for layer in base.layers].index(FINE_TUNED_FROM)
    for position, layer in enumerate(base.layers):
        is_normalisation = isinstance(layer, keras.layers.BatchNormalization)
        layer.trainable = position >= start and not is_normalisation


if __name__ == "__main__":
    contestants = {f.__name__: f for f in (standard, careful, tfxfer, speeds)}
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=contestants)
    parser.add_argument("out", type=Path, help="a folder for result.json")
    parser.add_argument("begun", type=float, help="when the process was started, as time.time()")
    parser.add_argument("arguments", nargs="*", help="what the contestant's function takes")
    given = parser.parse_args()
    result = contestants[given.name](given.out, given.begun, *given.arguments)
    (given.out / "result.json").write_text(json.dumps(result), encoding="utf-8")
