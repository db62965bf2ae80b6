"""The listing of a source's items, before any of them was looked at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tfxfer.data.items import ItemSet
from tfxfer.modality import Modality
from tfxfer.records.plans import BadFile
from tfxfer.task import Task

# The units that a source consists of, in words for people.
FILES, TFRECORDS, EXAMPLES = "files", "records", "examples"


@dataclass(frozen=True)
class Listing:
    """The items of a source, each with its labels.

    Attributes:
        source: Where the items come from, in words for people.
        classes: The class names.
        task: What is to be learned of the items, by the labels that the source holds.
        modality: The kind of the items.
        splits: ``train``, and ``validation`` and ``test`` where the source has them.
        notes: What the user should know about the listing.
        unit: ``"files"``, ``"records"`` or ``"examples"``.
        bad: The files, records or examples of each split that hold no item.
    """

    source: str
    classes: tuple[str, ...]
    task: Task
    splits: Mapping[str, ItemSet]
    modality: Modality
    notes: tuple[str, ...] = ()
    unit: str = FILES
    bad: Mapping[str, tuple[BadFile, ...]] = field(default_factory=dict)
