"""Pictures in files, whatever lists them: looked at once before training, then parted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tfxfer.config import DataConfig
from tfxfer.data.check import check_files, fail_on_bad_files
from tfxfer.data.labels import count_classes
from tfxfer.data.pictures import FileSet, PictureData
from tfxfer.data.splits import complete_splits
from tfxfer.errors import InputError


def make_file_data(
    source: str,
    classes: tuple[str, ...],
    listed: Mapping[str, FileSet],
    config: DataConfig,
    seed: int,
    notes: Sequence[str] = (),
) -> PictureData:
    """Look at every file that a source lists, leave out or refuse bad ones, complete the splits.

    Args:
        source: where the files come from, for people.
        listed: by split: ``train``, and ``validation`` and ``test`` where the source has them.
        notes: what the user should know of the listing.

    Raises:
        InputError: files cannot be decoded and ``config.on_bad`` is ``"fail"``, a split has no
            readable picture, or a class too few.
    """
    paths = [path for split in listed.values() for path in split.paths]
    bad = check_files(paths)
    if config.on_bad == "fail":
        fail_on_bad_files(bad, len(paths))
    bad_paths = {file.path for file in bad}
    good = {name: _without(split, bad_paths) for name, split in listed.items()}
    absent = [
        note for name, split in good.items() for note in _look_at(name, split, classes, source)
    ]
    completed, cut_notes = complete_splits(good, classes, config, seed)
    return PictureData(
        source=source,
        classes=classes,
        train=completed["train"],
        validation=completed["validation"],
        test=completed["test"],
        notes=(*notes, *absent, *cut_notes),
        quarantined=bad,
    )


def _without(split: FileSet, left_out: set[str]) -> FileSet:
    kept = [row for row, path in enumerate(split.paths) if path not in left_out]
    return split.choose(np.array(kept, np.int64))


def _look_at(name: str, split: FileSet, classes: tuple[str, ...], source: str) -> list[str]:
    """Refuse a split without readable pictures; note the classes that it has none of."""
    if not split.paths:
        raise InputError(
            "data must hold class folders with pictures in them, or train/, val/ and test/ above "
            f"them, or name such pictures in a manifest. Received: {source!r}, with no readable "
            f"picture in a class folder of its {name} split. Put each class's pictures into a "
            "folder of the class's name."
        )
    counts = count_classes(split.labels, len(classes))
    absent = [label for label, count in zip(classes, counts, strict=True) if not count]
    if not absent or name == "train":
        return []
    return [f"the {name} split has no pictures of {', '.join(absent)}"]
