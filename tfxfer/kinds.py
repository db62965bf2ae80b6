"""The tables of modalities and tasks; only this file names their rooms.

This module imports no TensorFlow, because a row imports what it needs only when it is used.
"""

from __future__ import annotations

from tfxfer.modalities.pictures.modality import Pictures
from tfxfer.modality import Modality

# The modalities by their names in configs.
MODALITIES: dict[str, Modality] = {"pictures": Pictures()}
