"""The tables of modalities and tasks; only this file names their rooms.

This module imports no TensorFlow, because a row imports what it needs only when it is used.
"""

from __future__ import annotations

from tfxfer.modalities.pictures.modality import Pictures
from tfxfer.modality import Modality
from tfxfer.task import Task
from tfxfer.tasks.classes import Classes
from tfxfer.tasks.several import Several

# The modalities by their names in configs.
MODALITIES: dict[str, Modality] = {"pictures": Pictures()}

# The endings of files that are taken for items, of whichever modality.
ENDINGS = frozenset[str]().union(*(row.endings for row in MODALITIES.values()))

CLASSES: Task = Classes()
SEVERAL: Task = Several()

# What comes out; a source chooses it by the labels that it holds.
TASKS: dict[str, Task] = {"classes": CLASSES, "several": SEVERAL}
