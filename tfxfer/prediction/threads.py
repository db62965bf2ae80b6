"""Threads that prepare items some batches ahead."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from tfxfer.prediction.predictor import PredictionError

BATCH_SIZE = 32


# So many items are prepared ahead: while one batch is predicted, the next one waits.
_AHEAD = 2 * BATCH_SIZE


def in_threads(
    function: Callable[[Any], Any], arguments: Iterator[Any], ahead: int = _AHEAD
) -> Iterator[Any]:
    """Yield a function's results for the arguments in order; threads compute some results ahead.

    A `PredictionError` or an `OSError` is yielded in place of a result; any other error is raised.
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
