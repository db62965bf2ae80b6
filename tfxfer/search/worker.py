"""The program that one process of a search runs."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tfxfer.config.presets import load_config
from tfxfer.errors import exit_code
from tfxfer.machine import runtime
from tfxfer.report.console import make_console
from tfxfer.search.folder import ASKED_CONFIG

_INTERRUPTED = 130  # This is the exit code of a process that was stopped.


def main() -> int:
    """Do one process's part of a search: run trials, or hand them out."""
    folder, wanted, is_quiet = json.loads(sys.argv[1])
    runtime.import_tensorflow()
    from tfxfer.search.search import Wanted, run_trials

    def run() -> int:
        config = load_config(Path(folder) / ASKED_CONFIG)
        try:
            run_trials(config, Wanted(**wanted), Path(folder), make_console(is_quiet))
        # The chief is stopped when its workers are done, and after Ctrl-C the first process prints
        # the message, so nothing is printed here. A worker that was stopped has not done its work.
        except KeyboardInterrupt:
            return _INTERRUPTED
        return 0

    return exit_code(run)


if __name__ == "__main__":
    sys.exit(main())
