"""The door of ``python -m tfxfer.tune``; the command itself is `commands/tune.py`."""

import sys

from tfxfer.commands.tune import main, tune

if __name__ == "__main__":
    sys.exit(main())
# When Python imports a module, it sets the package's attribute of that name. Without this line,
# ``import tfxfer.tune`` would replace the function `tfxfer.tune` by this module.
sys.modules[__name__] = tune  # type: ignore[assignment]
