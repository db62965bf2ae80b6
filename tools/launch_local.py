"""Train with several processes on this machine, as a cluster does with several machines.

    python tools/launch_local.py -n 2 -- --preset birds --out runs/two

Arguments after ``--`` go to ``python -m tfxfer.train --distributed``. Each process reads its share
of the pictures; the first one prints and writes the run. If one process ends too early, the others
are ended too, and the same command goes on where the run was.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Sequence

from tfxfer.search.workers import find_free_port

# A process that was asked to end is killed after so many seconds.
_PATIENCE_SECONDS = 10.0


def launch(count: int, arguments: Sequence[str]) -> int:
    """Start the processes and wait for them; return the exit code of the first that fails, or 0."""
    environment = os.environ | {
        "KERAS_BACKEND": os.environ.get("KERAS_BACKEND", "jax"),
        "KERAS_DISTRIBUTION_JOB_ADDRESSES": f"127.0.0.1:{find_free_port()}",
        "KERAS_DISTRIBUTION_NUM_PROCESSES": str(count),
    }
    command = [sys.executable, "-m", "tfxfer.train", "--distributed", *arguments]
    processes = [
        subprocess.Popen(command, env=environment | {"KERAS_DISTRIBUTION_PROCESS_ID": str(index)})
        for index in range(count)
    ]
    try:
        return _wait(processes)
    finally:
        _end(processes)


def _wait(processes: Sequence[subprocess.Popen]) -> int:
    while True:
        codes = [process.poll() for process in processes]
        failed = [(code, index) for index, code in enumerate(codes) if code]
        if failed:
            # A process ended by a signal has a negative code and comes first: the others ended
            # because of it.
            code, index = min(failed)
            print(
                f"error: all {len(processes)} processes of a run must go on to its end. "
                f"Received: process {index} ended with {_describe(code)}. The others are ended "
                "too; see what it has printed, and give the same command again to go on.",
                file=sys.stderr,
            )
            return code if code > 0 else 1
        if all(code == 0 for code in codes):
            return 0
        time.sleep(0.1)


def _describe(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"


def _end(processes: Sequence[subprocess.Popen]) -> None:
    for process in processes:
        if process.poll() is None:
            process.terminate()
    deadline = time.monotonic() + _PATIENCE_SECONDS
    for process in processes:
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("-n", type=int, default=2, metavar="N", help="processes; default 2")
    parser.add_argument("arguments", nargs="*", help="of python -m tfxfer.train, behind --")
    arguments = parser.parse_args()
    if arguments.n < 1:
        parser.error(f"-n must be at least 1. Received: {arguments.n}.")
    return launch(arguments.n, arguments.arguments)


if __name__ == "__main__":
    sys.exit(main())
