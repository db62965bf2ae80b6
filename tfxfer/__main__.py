"""``python -m tfxfer`` is the console script ``tfxfer``."""

import sys

from tfxfer.cli import main

sys.exit(main())
