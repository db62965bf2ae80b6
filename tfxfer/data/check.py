"""Decode every file once before training, so that none fails in the middle of an epoch."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import tensorflow as tf

from tfxfer.data.decode import READABLE, decode_picture, sniff
from tfxfer.errors import InputError
from tfxfer.records import BadFile

_SHOWN = 20


def check_files(paths: Sequence[str]) -> tuple[BadFile, ...]:
    """Find the files that are no readable picture, with the decoder that training uses."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        reasons = list(pool.map(_find_fault, paths))
    return tuple(
        BadFile(path, reason) for path, reason in zip(paths, reasons, strict=True) if reason
    )


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


def _find_fault(path: str) -> str | None:
    """Why a file is no readable picture; None if it is one."""
    try:
        encoded = Path(path).read_bytes()
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    if not encoded:
        return "empty file"
    kind = sniff(encoded[:16])
    if kind is None:
        return "not a picture"
    if kind not in READABLE:
        return f"a {kind} file; convert it to JPEG or PNG"
    try:
        decode_picture(tf.constant(encoded))
    except tf.errors.OpError as error:
        return f"broken {kind} file ({_last_sentence(error.message)})"
    return None


def _last_sentence(message: str) -> str:
    """TensorFlow's reason without the name of its kernel before it and behind it."""
    return message.rsplit("}} ", 1)[-1].split(" [Op:")[0].strip()
