"""The door of ``python -m tfxfer.train``; the command itself is `commands/train.py`."""

import sys

from tfxfer.commands.train import main, train

if __name__ == "__main__":
    sys.exit(main())
# Python puts a module that is imported in place of the name that its package has for it: without
# this line, ``import tfxfer.train`` would hide the function `tfxfer.train`.
sys.modules[__name__] = train  # type: ignore[assignment]
