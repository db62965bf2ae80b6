"""A search by several processes of one machine: KerasTuner's chief and its workers."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from tfxfer.errors import InputError
from tfxfer.machine import runtime
from tfxfer.machine.devices import find_device
from tfxfer.search.folder import CHIEF, ROLE

_POLL_SECONDS = 0.2
_MOST_RESTARTS = 5
_REFUSED = 2  # This exit code reports a mistake in the request.


class _Process:
    """A process of a search, which is started again when it ends too early."""

    def __init__(self, name: str, command: Sequence[str], environment: Mapping[str, str]):
        self.name, self._command = name, command
        self._environment = os.environ | environment | {ROLE: name}
        self._restarts = 0
        self._start()

    def _start(self) -> None:
        self._running = subprocess.Popen(self._command, env=self._environment)

    def look(self, console: Console) -> bool:
        """Return whether the process has done its work; start it again if it was killed.

        Raises:
            InputError: The process fails again and again.
        """
        code = self._running.poll()
        if code is None or code == 0:
            return code == 0
        if code == _REFUSED or self._restarts == _MOST_RESTARTS:
            raise InputError(
                f"The processes of a search must run to their end. Received: {self.name} ended "
                f"with code {code}. See what it printed; the same command goes on with the "
                "finished trials, and --workers 1 runs them in one process."
            )
        self._restarts += 1
        console.print(f"[yellow]note[/] {self.name} ended with code {code} and is started again")
        self._start()
        return False

    def stop(self) -> None:
        if self._running.poll() is None:
            self._running.terminate()
            try:
                self._running.wait(10)
            except subprocess.TimeoutExpired:
                self._running.kill()
                self._running.wait()


def check_workers(count: int) -> None:
    """Refuse several processes on a device that only one process can use.

    Raises:
        InputError: The device is a TPU.
    """
    if count > 1 and find_device().kind == "tpu":
        raise InputError(
            "A TPU belongs to one process at a time. Received: "
            f"--workers {count} on {runtime.describe_device()}. Leave --workers out: one process "
            "uses all of its cores. Or search on the CPU: JAX_PLATFORMS=cpu."
        )


def run_workers(count: int, folder: Path, wanted: Mapping[str, Any], console: Console) -> None:
    """Run a search's chief and workers to their end, and start killed ones again.

    Args:
        count: The number of workers.
        folder: The folder of the search.
        wanted: The fields of `Wanted`.
        console: The terminal to write to.

    Raises:
        InputError: A process fails again and again, or they cannot share the device.
    """
    check_workers(count)
    environment = {
        "KERASTUNER_ORACLE_IP": "127.0.0.1",
        "KERASTUNER_ORACLE_PORT": str(find_free_port()),
    }
    given = json.dumps([str(folder), {**wanted, "workers": 1}, console.quiet])
    command = [sys.executable, "-m", "tfxfer.search.worker", given]
    chief = _Process(CHIEF, command, environment)
    workers: list[_Process] = []
    try:
        for number in range(1, count + 1):
            workers.append(_Process(f"worker-{number}", command, environment))
        while not all([worker.look(console) for worker in workers]):
            if chief.look(console):
                break  # All trials are over; a worker that starts now would wait for a chief.
            time.sleep(_POLL_SECONDS)
    finally:
        for process in (*workers, chief):
            process.stop()


def find_free_port() -> int:
    """Return a free port of the loopback interface."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
