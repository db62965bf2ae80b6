"""The devices and processes that a run is spread over, and what each of them reads.

`data.batch_size` counts the items of all devices together, and the learning rate does not depend
on the number of devices. So that number changes how long a run takes, and nothing else.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Iterator, Sequence, Sized
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self, TypeVar

import keras
import numpy as np

from tfxfer.errors import InputError, first_line
from tfxfer.machine.compiled import is_on

Item = TypeVar("Item")


class Divisible(Protocol):
    """A set of items that processes can divide among themselves."""

    @property
    def labels(self) -> Sized: ...

    def choose(self, indices: np.ndarray) -> Self:
        """Keep the items at these positions, given in ascending order."""


ItemSet = TypeVar("ItemSet", bound=Divisible)
# If another process did not take part in a collective operation, its error has one of these words.
_LOST = ("gloo", "heartbeat", "coordination", "connection", "unavailable", "deadline")


@dataclass(frozen=True)
class Share:
    """The part of a run that this process does.

    The process reads every `count`-th item of each split, beginning with the one at `index`, and
    computes that part of every batch.

    Attributes:
        index: The number of this process, from 0.
        count: The number of processes.
        devices: The number of devices of all processes together.
        scope: A context in which models are built and trained on all devices.
    """

    index: int = 0
    count: int = 1
    devices: int = 1
    scope: Callable[[], AbstractContextManager[Any]] = nullcontext

    @property
    def is_first(self) -> bool:
        """Whether this process writes the files of the whole run."""
        return self.index == 0

    def part_of(self, items: ItemSet) -> ItemSet:
        """Give the items that this process reads, in their order."""
        if self.count == 1:
            return items
        return items.choose(np.arange(self.index, len(items.labels), self.count))

    def gather(self, values: np.ndarray) -> np.ndarray:
        """Join the rows that each process has for its items, in the order of all items.

        Args:
            values: ``[items of this process, …]`` of any dtype.

        Returns:
            ``[items, …]`` of the same dtype, in all processes.
        """
        if self.count == 1:
            return values
        parts = _exchange(values)
        joined = np.empty((sum(map(len, parts)), *values.shape[1:]), values.dtype)
        for index, part in enumerate(parts):
            joined[index :: self.count] = part
        return joined

    def gather_items(self, items: Sequence[Item]) -> list[Item]:
        """Join lists of Python objects in the same way as `gather` joins arrays."""
        if self.count == 1:
            return list(items)
        packed = np.frombuffer(pickle.dumps(list(items)), np.uint8)
        # Unpickling is safe here: the processes of one run trust each other.
        parts = [pickle.loads(part.tobytes()) for part in _exchange(packed)]
        joined: list[Any] = [None] * sum(map(len, parts))
        for index, part in enumerate(parts):
            joined[index :: self.count] = part
        return joined

    def total(self, count: int) -> int:
        """Return the sum of a number over all processes."""
        return count if self.count == 1 else int(_allgather(np.array(count)).sum())

    def agree(self, flag: bool) -> bool:
        """Return whether a condition holds in all processes."""
        return flag if self.count == 1 else bool(_allgather(np.array(flag)).all())

    def take_first(self, values: Any) -> Any:
        """Return the first process's arrays, in all processes."""
        if self.count == 1:
            return values
        from jax.experimental import multihost_utils

        return multihost_utils.broadcast_one_to_all(values)

    def copy_files(self, folder: Path, names: Sequence[str]) -> None:
        """Copy the named files, as far as the first process has them, to all other processes."""
        if self.count == 1:
            return
        folder.mkdir(parents=True, exist_ok=True)
        for name in names:
            path = folder / name
            content = np.frombuffer(path.read_bytes() if path.is_file() else b"", np.uint8)
            size = int(self.take_first(np.array(len(content))))
            if size:
                held = content if self.is_first else np.zeros(size, np.uint8)
                received = np.asarray(self.take_first(held))
                if not self.is_first:
                    path.write_bytes(received.tobytes())


ALONE = Share()


def _allgather(values: np.ndarray) -> np.ndarray:
    from jax.experimental import multihost_utils

    return np.asarray(multihost_utils.process_allgather(values))


def _exchange(values: np.ndarray) -> list[np.ndarray]:
    """Return the arrays of all processes, which may be of unequal lengths."""
    sizes = _allgather(np.array(len(values)))
    held = np.zeros((int(sizes.max()), *values.shape[1:]), values.dtype)
    held[: len(values)] = values
    return [part[: int(size)] for part, size in zip(_allgather(held), sizes, strict=True)]


def initialize(seed: int) -> int:
    """Join the other processes of a run, as Keras's and JAX's environment variables say.

    These are ``KERAS_DISTRIBUTION_JOB_ADDRESSES``, ``…_NUM_PROCESSES`` and ``…_PROCESS_ID``; in a
    SLURM job and on a Cloud TPU slice, JAX finds the same by itself. This has to be called once,
    before anything is computed.

    Args:
        seed: The run's seed, with which all processes draw the same numbers.

    Returns:
        The number of this process, from 0.

    Raises:
        InputError: Keras does not run on JAX, or the other processes cannot be reached.
    """
    if not is_on("jax"):
        raise InputError(
            "Several processes train together on Keras's JAX backend alone. Received: "
            f"--distributed with KERAS_BACKEND={keras.backend.backend()}. Set KERAS_BACKEND=jax."
        )
    os.environ.setdefault("JAX_CPU_COLLECTIVES_IMPLEMENTATION", "gloo")
    keras.utils.set_random_seed(seed)
    try:
        keras.distribution.initialize()
    except (RuntimeError, ValueError) as error:
        raise InputError(
            "--distributed needs the address of the first process, the number of processes and "
            "this one's own. Received: an environment in which they do not meet "
            f"({first_line(error)}). Set KERAS_DISTRIBUTION_JOB_ADDRESSES=HOST:PORT, "
            "KERAS_DISTRIBUTION_NUM_PROCESSES and KERAS_DISTRIBUTION_PROCESS_ID, start all "
            "processes within five minutes, or let tools/launch_local.py do it."
        ) from error
    import jax

    return jax.process_index()


@contextmanager
def loss_of_others(share: Share) -> Iterator[None]:
    """Turn the errors that follow from the end of another process into one that says so.

    Raises:
        InputError: Another process has ended.
    """
    try:
        yield
    except InputError:
        raise
    except (RuntimeError, ValueError) as error:
        text = str(error).lower()
        if share.count == 1 or not any(word in text for word in _LOST):
            raise
        raise InputError(
            f"All {share.count} processes of a run must go on to its end. Received: process "
            f"{share.index} cannot reach another one any more ({first_line(error)}). Look at what "
            "the others have printed, and start all of them again with the same command: the run "
            "goes on where it was."
        ) from error
