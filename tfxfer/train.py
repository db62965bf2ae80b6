"""The door of ``python -m tfxfer.train``; the command itself is `commands/train.py`."""

import sys

from tfxfer.commands.train import main, train

if __name__ == "__main__":
    sys.exit(main())
# When Python imports a module, it sets the package's attribute of that name. Without this line,
# ``import tfxfer.train`` would replace the function `tfxfer.train` by this module.
sys.modules[__name__] = train  # type: ignore[assignment]
