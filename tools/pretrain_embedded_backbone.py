"""Pretrain the embedded backbone on the source species of the fieldguide pictures.

    python tools/pretrain_embedded_backbone.py --data-dir ~/tfxfer_data

This writes `mobilenetv2_035_96_fieldguide.weights.h5` and, beside it, a `.json` that says where the
weights come from. The target species are never seen. If the tool is run again after an
interruption, it goes on from the last complete epoch (the backup lies below --data-dir).
"""

from __future__ import annotations

import argparse
import datetime
import functools
import hashlib
import json
import math
import os
import shutil
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import h5py
import keras
import numpy as np
import tensorflow as tf

from tfxfer.modalities.pictures.fieldguide.builder import (
    FieldguideBirds,
    FieldguideConfig,
    prepare_fieldguide,
)
from tfxfer.modalities.pictures.fieldguide.species import SOURCE_SPECIES, TARGET_SPECIES

NAME = "mobilenetv2_035_96_fieldguide"
INPUT_SIZE_PX = 96
# The first half of the epochs uses smaller pictures, which is nearly twice as fast and no worse.
SMALL_SIZE_PX = 64
VALIDATION_PICTURES_PER_SPECIES = 10
BATCH_SIZE = 64
LEARNING_RATE = 3e-3
WEIGHT_DECAY = 0.02
LABEL_SMOOTHING = 0.1
WARM_UP_EPOCHS = 1
# With Keras's 0.999, the statistics would need thousands of steps to forget the random start.
BATCH_NORM_MOMENTUM = 0.98


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Pretrain the embedded backbone.")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--epochs", type=int, default=14)
    parser.add_argument("--pictures-per-species", type=int, default=120)
    parser.add_argument("--data-dir", type=Path, required=True, help="for pictures and backups")
    parser.add_argument(
        "--out", type=Path, default=Path("tfxfer/modalities/pictures/networks/embedded")
    )
    return parser.parse_args()


def build_backbone() -> keras.Model:
    """Return the network of the weights; its input is [batch, height, width, 3], float32, −1…1.

    The network is fully convolutional, so that it trains on both picture sizes; its layers are
    those of the network with `input_shape=(96, 96, 3)`.
    """
    return keras.applications.MobileNetV2(
        include_top=False, alpha=0.35, input_shape=(None, None, 3), weights=None
    )


def build_classifier(backbone: keras.Model, class_count: int) -> keras.Model:
    for layer in backbone.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = BATCH_NORM_MOMENTUM
    features = keras.layers.GlobalAveragePooling2D()(backbone.output)
    features = keras.layers.Dropout(0.1)(features)
    return keras.Model(backbone.input, keras.layers.Dense(class_count)(features))


def augment(images: tf.Tensor, labels: tf.Tensor, size_px: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Crop, flip and recolour a whole batch at random, from uint8 0…255 to float32 −1…1."""
    count = tf.shape(images)[0]
    area = tf.random.uniform([count], 0.4, 1.0)
    aspect = tf.exp(tf.random.uniform([count], math.log(0.8), math.log(1.25)))
    height = tf.minimum(tf.sqrt(area / aspect), 1.0)
    width = tf.minimum(tf.sqrt(area * aspect), 1.0)
    top = tf.random.uniform([count]) * (1.0 - height)
    left = tf.random.uniform([count]) * (1.0 - width)
    # `crop_and_resize` mirrors a box whose left and right are exchanged.
    flip = tf.random.uniform([count]) < 0.5
    right = left + width
    boxes = tf.stack(
        [top, tf.where(flip, right, left), top + height, tf.where(flip, left, right)], axis=1
    )
    images = tf.cast(images, tf.float32)
    images = tf.image.crop_and_resize(images, boxes, tf.range(count), (size_px, size_px))
    gain = tf.exp(tf.random.normal([count, 1, 1, 1], 0.0, 0.12))
    tint = tf.exp(tf.random.normal([count, 1, 1, 3], 0.0, 0.04))
    mean = tf.reduce_mean(images, axis=(1, 2, 3), keepdims=True)
    contrast = tf.random.uniform([count, 1, 1, 1], 0.8, 1.2)
    images = ((images - mean) * contrast + mean) * gain * tint
    return tf.clip_by_value(images, 0.0, 255.0) / 127.5 - 1.0, labels


def resize(images: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Resize plain pictures for validation, from uint8 0…255 to float32 −1…1."""
    size = (INPUT_SIZE_PX, INPUT_SIZE_PX)
    return tf.image.resize(tf.cast(images, tf.float32), size) / 127.5 - 1.0, labels


def make_datasets(
    arguments: argparse.Namespace,
) -> tuple[dict[int, tf.data.Dataset], tf.data.Dataset, int]:
    """Return training batches by picture size, validation batches, and the steps of an epoch."""
    count = arguments.pictures_per_species
    validation_count = VALIDATION_PICTURES_PER_SPECIES
    config = FieldguideConfig(
        name=f"source_{count}",
        group="source",
        pictures_per_species={"train": count, "validation": validation_count},
    )
    usual = FieldguideBirds.builder_configs["source"].pictures_per_species
    is_usual = usual == config.pictures_per_species
    builder = prepare_fieldguide(arguments.data_dir, "source" if is_usual else config)
    train, validation = (
        builder.as_dataset(split=split, as_supervised=True, shuffle_files=False).cache()
        for split in ("train", "validation")
    )
    total = builder.info.splits["train"].num_examples
    train = train.shuffle(total, seed=arguments.seed).batch(BATCH_SIZE, drop_remainder=True)
    by_size = {
        size_px: train.map(functools.partial(augment, size_px=size_px), 2).prefetch(4)
        for size_px in (SMALL_SIZE_PX, INPUT_SIZE_PX)
    }
    return by_size, validation.batch(128).map(resize), total // BATCH_SIZE


def compile_classifier(model: keras.Model, steps: int, epochs: int, class_count: int) -> None:
    schedule = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=LEARNING_RATE / 20,
        decay_steps=max(1, (epochs - WARM_UP_EPOCHS) * steps),
        warmup_target=LEARNING_RATE,
        warmup_steps=WARM_UP_EPOCHS * steps,
    )
    optimizer = keras.optimizers.AdamW(schedule, weight_decay=WEIGHT_DECAY)
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])

    def smoothed_cross_entropy(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        target = tf.one_hot(tf.cast(tf.reshape(labels, [-1]), tf.int32), class_count)
        return keras.losses.categorical_crossentropy(
            target, logits, from_logits=True, label_smoothing=LABEL_SMOOTHING
        )

    model.compile(optimizer, loss=smoothed_cross_entropy, metrics=["accuracy"])


class OneLineAnEpoch(keras.callbacks.Callback):
    """A callback that prints the only output of the training: time, loss and accuracies."""

    def __init__(self) -> None:
        super().__init__()
        self._start = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        logs = logs or {}
        print(
            f"epoch {epoch + 1:3d}  {time.monotonic() - self._start:6.0f} s  "
            f"loss {logs['loss']:.3f}  train {logs['accuracy']:.3f}  "
            f"validation {logs['val_accuracy']:.3f}",
            flush=True,
        )


def write_small_weights(backbone: keras.Model, path: Path) -> None:
    """Write weights of half the precision in a compressed file that `load_weights` reads.

    Kernels are rounded to float16 values but stay float32 arrays, whose zero low bytes compress
    well. BatchNorm's vectors keep all their bits.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        plain_path = Path(folder) / "plain.weights.h5"
        backbone.save_weights(plain_path)
        with h5py.File(plain_path, "r") as plain, h5py.File(path, "w", libver="latest") as small:
            _copy_group(plain, small)


def _copy_group(source: h5py.Group, target: h5py.Group) -> None:
    for key, value in source.attrs.items():
        target.attrs[key] = value
    for key, item in source.items():
        if isinstance(item, h5py.Group):
            _copy_group(item, target.create_group(key))
            continue
        values = item[()]
        if values.ndim > 1:
            values = values.astype(np.float16).astype(np.float32)
        options = {"compression": "gzip", "compression_opts": 9, "shuffle": True}
        target.create_dataset(key, data=values, **(options if values.size > 1024 else {}))


def write_provenance(path: Path, arguments: argparse.Namespace, accuracy: float, minutes: float
                     ) -> None:  # fmt: skip
    command = (
        f"python tools/{Path(__file__).name} --seed {arguments.seed} --epochs {arguments.epochs} "
        f"--pictures-per-species {arguments.pictures_per_species} --data-dir DATA_DIR"
    )
    record = {
        "name": NAME,
        "network": "keras.applications.MobileNetV2(include_top=False, alpha=0.35, "
        "input_shape=(96, 96, 3))",
        "input": "RGB, float32, -1 to 1",
        "licence": "Apache-2.0",
        "command": command,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "seed": arguments.seed,
        "epochs": arguments.epochs,
        "picture_sizes_px": [SMALL_SIZE_PX, INPUT_SIZE_PX],
        "batch_size": BATCH_SIZE,
        "optimizer": f"AdamW, {LEARNING_RATE}, weight decay {WEIGHT_DECAY}, warm-up and cosine",
        "source_species": len(SOURCE_SPECIES),
        "target_species_seen": 0,
        "target_species_in_the_data_set": len(TARGET_SPECIES),
        "train_pictures": arguments.pictures_per_species * len(SOURCE_SPECIES),
        "validation_pictures": VALIDATION_PICTURES_PER_SPECIES * len(SOURCE_SPECIES),
        "source_validation_accuracy": round(accuracy, 4),
        "training_minutes": round(minutes, 1),
        "versions": {"tensorflow": tf.__version__, "keras": keras.__version__},
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }
    path.with_name(f"{NAME}.json").write_text(json.dumps(record, indent=2) + "\n")


def main() -> None:
    arguments = parse_arguments()
    keras.utils.set_random_seed(arguments.seed)
    train, validation, steps = make_datasets(arguments)
    start = time.monotonic()
    backbone = build_backbone()
    model = build_classifier(backbone, len(SOURCE_SPECIES))
    compile_classifier(model, steps, arguments.epochs, len(SOURCE_SPECIES))
    backup_dir = arguments.data_dir / f"{NAME}_backup"
    # The backup is kept, because the second half goes on where the first, or a killed run, stopped.
    backup = keras.callbacks.BackupAndRestore(backup_dir, delete_checkpoint=False)
    halves = ((SMALL_SIZE_PX, arguments.epochs // 2), (INPUT_SIZE_PX, arguments.epochs))
    for size_px, last_epoch in halves:
        model.fit(train[size_px], validation_data=validation, epochs=last_epoch, verbose=0,
                  callbacks=[backup, OneLineAnEpoch()])  # fmt: skip
    shutil.rmtree(backup_dir, ignore_errors=True)
    path = arguments.out / f"{NAME}.weights.h5"
    write_small_weights(backbone, path)
    backbone.load_weights(path)  # The measured weights are those in the file.
    _, accuracy = model.evaluate(validation, verbose=0)
    write_provenance(path, arguments, float(accuracy), (time.monotonic() - start) / 60)
    print(f"{path}: {path.stat().st_size / 1e6:.2f} MB, validation accuracy {accuracy:.4f}")


if __name__ == "__main__":
    main()
