"""The parts that all served models share: class names, checks, and requests in parts."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from PIL import Image

from tfxfer.errors import InputError
from tfxfer.kinds import MODALITIES
from tfxfer.prediction.predictor import Prediction, PredictionError, Predictor

# These signatures take encoded pictures (export/saved_model.py).
_PICTURES = MODALITIES["pictures"]
CLASSIFY, EMBED = "serve_bytes", "features_bytes"
# The pictures of a request may have so many bytes; as base64, they stay below 32 MiB.
_MOST_BYTES = 23 * 2**20

# A function from a signature and encoded pictures to outputs by name, with a row for each picture.
Ask = Callable[[str, Sequence[bytes]], dict[str, np.ndarray]]


def make_predictor(address: str, ask: Ask, with_embeddings: bool) -> Predictor:
    """Return a predictor that asks a server.

    Args:
        address: The address of the model, for people.
        ask: A function that sends a request.
        with_embeddings: Whether embeddings are asked for as well.

    Raises:
        InputError: tfxfer has not exported the model that is served.
    """
    classes = _learn_classes(address, ask, with_embeddings)

    def ask_for(signature: str, key: str, items: Sequence[bytes]) -> np.ndarray:
        answer = ask(signature, items)
        table = answer.get(key)
        if table is None or len(table) != len(items):
            raise PredictionError(f"the server gives no {key} for it")
        if not np.all(answer.get("valid", True)):  # Exports of earlier versions do not say it.
            raise PredictionError("the server cannot decode it")
        return np.asarray(table, np.float32)

    def run(items: Sequence[bytes]) -> Prediction:
        try:
            parts = list(batch_by_bytes(items))
            rows = [ask_for(CLASSIFY, "probabilities", part) for part in parts]
            if not with_embeddings:
                return Prediction(np.concatenate(rows))
            vectors = [ask_for(EMBED, "embeddings", part) for part in parts]
            return Prediction(np.concatenate(rows), np.concatenate(vectors))
        except PredictionError as error:
            # For a single picture, the audit's words for the fault are better than the server's.
            fault = _PICTURES.look_at_encoded(items[0]).fault if len(items) == 1 else None
            raise PredictionError(fault or str(error)) from error

    return Predictor(address, classes, _refuse_no_picture, run)


def _learn_classes(address: str, ask: Ask, with_embeddings: bool) -> tuple[str, ...]:
    """Ask for one tiny picture; the answer names the classes in order."""
    picture = io.BytesIO()
    Image.new("RGB", (8, 8)).save(picture, "PNG")
    needed = [(CLASSIFY, "probabilities"), (CLASSIFY, "classes")]
    needed += [(EMBED, "embeddings")] if with_embeddings else []
    found: dict[str, np.ndarray] = {}
    try:
        for signature in dict(needed):
            found |= ask(signature, [picture.getvalue()])
        missing = [key for _, key in needed if key not in found]
        reason = f"an answer without {', '.join(missing)}" if missing else ""
    except PredictionError as error:
        reason = str(error)
    if reason:
        raise InputError(
            "A served model must be one that tfxfer has exported, with signatures "
            f"{' and '.join(dict(needed))}. Received: {address!r}: {reason}. Export the run "
            "again and serve that."
        )
    return tuple(
        name.decode("utf-8") if isinstance(name, bytes) else str(name)
        for name in found["classes"][0]
    )


def _refuse_no_picture(encoded: bytes) -> bytes:
    """Return an encoded picture unless its first bytes show that it cannot be used."""
    fault = _PICTURES.look_at_encoded(encoded, header_only=True).fault
    if fault:
        raise PredictionError(fault)
    return encoded


def batch_by_bytes(items: Sequence[bytes], most: int = _MOST_BYTES) -> Iterator[list[bytes]]:
    """Yield the pictures in parts, in order; each has at most `most` bytes, or a single picture."""
    part: list[bytes] = []
    for picture in items:
        if part and sum(map(len, part)) + len(picture) > most:
            yield part
            part = []
        part.append(picture)
    yield part


def shorten(reason: str) -> str:
    """Return a server's reason in one line, without the graph nodes that TensorFlow lists."""
    line = " ".join(reason.split("\n\t [[")[0].split())
    return line if len(line) <= 200 else f"{line[:199]}…"


def unreachable(address: str, reason: str) -> InputError:
    return InputError(
        f"A server must answer at the model's address. Received: {address!r}: "
        f"{shorten(reason)}. Check that it runs and that host, port, model and version are "
        "right (docker logs, or the server's own, say what it serves), then say this again."
    )
