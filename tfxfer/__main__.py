"""``python -m tfxfer`` is the console script ``tfxfer``."""

import sys

from tfxfer.commands.main import main

sys.exit(main())
