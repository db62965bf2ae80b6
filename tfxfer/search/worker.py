"""One worker of a search, as a process of its own."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tfxfer.config.presets import load_config
from tfxfer.errors import exit_code
from tfxfer.machine import runtime
from tfxfer.report.console import make_console
from tfxfer.search.folder import ASKED_CONFIG

_INTERRUPTED = 130  # the exit code of a process that was stopped


def main() -> int:
    """Do a process's part of a search: run trials, or hand them out."""
    folder, wanted, is_quiet = json.loads(sys.argv[1])
    runtime.import_tensorflow()
    from tfxfer.search.search import Wanted, run_trials

    def run() -> int:
        config = load_config(Path(folder) / ASKED_CONFIG)
        try:
            run_trials(config, Wanted(**wanted), Path(folder), make_console(is_quiet))
        # The chief is stopped when its workers are done; what Ctrl-C means, the process that began
        # all says. A worker that was stopped alone has not done its work.
        except KeyboardInterrupt:
            return _INTERRUPTED
        return 0

    return exit_code(run)


if __name__ == "__main__":
    sys.exit(main())
