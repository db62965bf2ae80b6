"""``python -m tfxfer`` does the same as the console script ``tfxfer``."""

import sys

from tfxfer.commands.main import main

sys.exit(main())
