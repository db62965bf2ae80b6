"""Decode every file once before training, so that none fails in the middle of an epoch."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import tensorflow as tf

from tfxfer.data.decode import READABLE, decode_picture, sniff
from tfxfer.data.pictures import PARALLEL_CALLS, untuned
from tfxfer.errors import InputError
from tfxfer.records import BadFile

_SHOWN = 20
_START_BYTES = 16


def check_files(paths: Sequence[str]) -> tuple[BadFile, ...]:
    """Find the files that are no readable picture, with the decoder that training uses."""
    good = _find_good(paths)
    reasons = {path: _find_fault(path) for path in paths if path not in good}
    return tuple(BadFile(path, reason) for path, reason in reasons.items() if reason)


def _find_good(paths: Sequence[str]) -> set[str]:
    """The files that are what they should be; the others are looked at one by one."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        readable = [p for p, ok in zip(paths, pool.map(_is_readable, paths), strict=True) if ok]
    if not readable:
        return set()
    names = [os.fsencode(path) for path in readable]
    decoded = untuned(
        tf.data.Dataset.from_tensor_slices((names, np.arange(len(names))))
        .map(
            lambda name, index: (_decode(tf.io.read_file(name)), index),
            num_parallel_calls=PARALLEL_CALLS,
        )
        .ignore_errors(log_warning=False)
    )
    return {readable[index] for _, index in decoded.as_numpy_iterator()}


def _is_readable(path: str) -> bool:
    """Whether a file begins as a picture of a format that is read."""
    try:
        with open(path, "rb") as file:
            return sniff(file.read(_START_BYTES)) in READABLE
    except OSError:
        return False


def fail_on_bad_files(bad: Sequence[BadFile], total: int) -> None:
    """Raise an `InputError` that names the bad files, if there are any."""
    if not bad:
        return
    lines = [f"  {file.path}: {file.reason}" for file in bad[:_SHOWN]]
    if len(bad) > _SHOWN:
        lines.append(f"  … and {len(bad) - _SHOWN} more")
    raise InputError(
        "\n".join(
            [
                f"Pictures must be readable {', '.join(READABLE)} files. "
                f"Received: {len(bad)} of {total:,} that are not:",
                *lines,
                "Repair or remove them, or leave them out of this run with "
                "--set data.on_bad=quarantine (the run folder then lists them).",
            ]
        )
    )


@tf.function(input_signature=[tf.TensorSpec([], tf.string)])
def _decode(encoded: tf.Tensor) -> tf.Tensor:
    """Decode at the least size: a JPEG's data are read to the end for that as well."""
    return tf.shape(decode_picture(encoded, least_px=1))


def _find_fault(path: str) -> str | None:
    """Why a file is no readable picture; None if it is one."""
    try:
        encoded = Path(path).read_bytes()
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    if not encoded:
        return "empty file"
    kind = sniff(encoded[:_START_BYTES])
    if kind is None:
        return "not a picture"
    if kind not in READABLE:
        return f"a {kind} file; convert it to JPEG or PNG"
    try:
        _decode(tf.constant(encoded))
    except tf.errors.OpError as error:
        return f"broken {kind} file ({_last_sentence(error.message)})"
    return None


def _last_sentence(message: str) -> str:
    """TensorFlow's reason without the name of its kernel before it and behind it."""
    return message.rsplit("}} ", 1)[-1].split(" [Op:")[0].strip()
