"""Spread a run over the devices of a machine, and divide its batches among them."""

from __future__ import annotations

from collections.abc import Mapping

import keras

from tfxfer.errors import InputError
from tfxfer.machine.compiled import is_on
from tfxfer.machine.processes import ALONE, Share


def spread(strategy: str) -> Share:
    """Choose the devices of a run.

    Args:
        strategy: ``"auto"``: all GPUs, or TPU cores, or virtual CPU devices, by TensorFlow's
            `MirroredStrategy` or Keras's `DataParallel` on JAX, where there are several;
            ``"single"``: the first one.
    """
    if is_on("jax"):
        import jax

        count, total = jax.process_count(), jax.device_count()
        if count == 1 and (total == 1 or strategy == "single"):
            return ALONE
        # Each process is given its own pictures.
        parallel = keras.distribution.DataParallel(auto_shard_dataset=False)
        return Share(jax.process_index(), count, total, parallel.scope)
    import tensorflow as tf

    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    if len(devices) == 1 or strategy == "single":
        return ALONE
    mirrored = tf.distribute.MirroredStrategy([device.name for device in devices])
    return Share(devices=len(devices), scope=mirrored.scope)


def check_splits(counts: Mapping[str, int], share: Share) -> None:
    """Refuse splits of which a process would have nothing.

    Args:
        counts: pictures of each split.

    Raises:
        InputError: with fewer processes to take.
    """
    name, fewest = min(counts.items(), key=lambda item: item[1])
    if fewest < share.count:
        raise InputError(
            f"Every process needs a picture of each split. Received: {fewest} in the {name} split "
            f"for {share.count} processes. Start {fewest} of them, or one."
        )


def divide_batch(batch_size: int, pictures: int, share: Share) -> int:
    """Pictures of a batch of all devices together: no more than there are, a multiple of them.

    Raises:
        InputError: a device would have none.
    """
    size = min(batch_size, pictures)
    if size < share.devices:
        raise InputError(
            "Every device needs a picture of each batch. Received: batches of "
            f"{size} ({pictures} training pictures, data.batch_size={batch_size}) for "
            f"{share.devices} devices. Take --set devices.strategy=single, fewer processes or a "
            "larger batch."
        )
    return size - size % share.devices
