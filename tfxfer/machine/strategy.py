"""The spreading of a run over the devices of a machine, and the division of its batches."""

from __future__ import annotations

from collections.abc import Mapping

import keras

from tfxfer.errors import InputError
from tfxfer.machine.compiled import is_on
from tfxfer.machine.processes import ALONE, Share


def spread(strategy: str) -> Share:
    """Choose the devices of a run.

    Args:
        strategy: The name of a choice. ``"auto"`` takes all GPUs, TPU cores or virtual CPU devices
            if there are several, by TensorFlow's `MirroredStrategy` or, on JAX, Keras's
            `DataParallel`; ``"single"`` takes the first device.
    """
    if is_on("jax"):
        import jax

        count, total = jax.process_count(), jax.device_count()
        if count == 1 and (total == 1 or strategy == "single"):
            return ALONE
        # Keras need not divide the data: each process reads its own items.
        parallel = keras.distribution.DataParallel(auto_shard_dataset=False)
        return Share(jax.process_index(), count, total, parallel.scope)
    import tensorflow as tf

    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    if len(devices) == 1 or strategy == "single":
        return ALONE
    mirrored = tf.distribute.MirroredStrategy([device.name for device in devices])
    return Share(devices=len(devices), scope=mirrored.scope)


def check_splits(counts: Mapping[str, int], share: Share) -> None:
    """Refuse splits that are too small to give every process an item.

    Args:
        counts: The number of items of each split.
        share: The part of the run that this process does.

    Raises:
        InputError: A process would have nothing; the error says how many processes are possible.
    """
    name, fewest = min(counts.items(), key=lambda item: item[1])
    if fewest < share.count:
        raise InputError(
            f"Every process needs a picture of each split. Received: {fewest} in the {name} split "
            f"for {share.count} processes. Start {fewest} of them, or one."
        )


def divide_batch(batch_size: int, items: int, share: Share) -> int:
    """Return the size of a batch of all devices together.

    It is at most the number of items, and a multiple of the number of devices.

    Raises:
        InputError: A device would have no item.
    """
    size = min(batch_size, items)
    if size < share.devices:
        raise InputError(
            "Every device needs a picture of each batch. Received: batches of "
            f"{size} ({items} training pictures, data.batch_size={batch_size}) for "
            f"{share.devices} devices. Take --set devices.strategy=single, fewer processes or a "
            "larger batch."
        )
    return size - size % share.devices
