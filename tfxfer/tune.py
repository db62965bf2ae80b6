"""The door of ``python -m tfxfer.tune``; the command itself is `commands/tune.py`."""

import sys

from tfxfer.commands.tune import main, tune

if __name__ == "__main__":
    sys.exit(main())
# Python puts a module that is imported in place of the name that its package has for it: without
# this line, ``import tfxfer.tune`` would hide the function `tfxfer.tune`.
sys.modules[__name__] = tune  # type: ignore[assignment]
