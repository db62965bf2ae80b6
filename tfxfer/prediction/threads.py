"""Predict in threads, some batches ahead."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from tfxfer.prediction.predictor import PredictionError

BATCH_SIZE = 32


# Pictures that are prepared before they are asked for: a batch waits while one is predicted.
_AHEAD = 2 * BATCH_SIZE


def in_threads(
    function: Callable[[Any], Any], arguments: Iterator[Any], ahead: int = _AHEAD
) -> Iterator[Any]:
    """What a function gives for each argument in order, some of them ahead of their turn.

    A `PredictionError` or an `OSError` is given in place of what the function would give; any other
    one is raised.
    """
    waiting: deque[Future] = deque()
    pool = ThreadPoolExecutor(os.cpu_count())
    try:
        for argument in arguments:
            waiting.append(pool.submit(function, argument))
            if len(waiting) > ahead:
                yield _outcome(waiting.popleft())
        while waiting:
            yield _outcome(waiting.popleft())
    finally:
        pool.shutdown(cancel_futures=True)


def _outcome(future: Future) -> Any:
    error = future.exception()
    if error is None or isinstance(error, PredictionError | OSError):
        return error or future.result()
    raise error
