"""Which modalities and tasks there are: the one file that names their rooms.

Imports no TensorFlow: a row imports what it needs when it is asked.
"""

from __future__ import annotations

from tfxfer.modalities.pictures.modality import Pictures
from tfxfer.modality import Modality

# What goes in, by the name that a config has for it.
MODALITIES: dict[str, Modality] = {"pictures": Pictures()}
