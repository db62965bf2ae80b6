"""Pictures in class folders, which may lie in folders train/, val/ and test/."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tfxfer.config.data import DataConfig
from tfxfer.config.places import ALLOWED_SOURCES, is_address
from tfxfer.data.items import FileSet
from tfxfer.data.listing import Listing
from tfxfer.errors import InputError, nearest
from tfxfer.kinds import ENDINGS
from tfxfer.machine.files import exists, is_folder, join, list_address
from tfxfer.modality import Modality
from tfxfer.sources.groups_in_paths import find_groups
from tfxfer.task import Labels, Tasks

# The names that splits may have in folders and manifests, and their names in tfxfer.
SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
    "testing": "test",
}


def list_folder(config: DataConfig, cache: Path, tasks: Tasks) -> Listing:
    """List the pictures of a folder.

    Raises:
        InputError: The folder is missing, its splits hold no class folders, or a split has a class
            that the training split lacks.
    """
    root = str(config.source)
    if not is_folder(root):
        state = _describe(root)
        raise InputError(
            f"data must be {ALLOWED_SOURCES}. Received: {root!r}, which {state}. Check the path."
        )
    return read_folder(root, root, config, tasks=tasks)


def _describe(root: str) -> str:
    """Say what is there in place of a folder."""
    try:
        is_file = exists(root) if is_address(root) else os.path.exists(root)
    except OSError as error:
        return f"cannot be reached ({error.strerror})"
    return "is a file" if is_file else "is not there"


def read_folder(
    root: str, source: str, config: DataConfig, *, tasks: Tasks, notes: Sequence[str] = ()
) -> Listing:
    """List the pictures of a folder, as `list_folder` does, for a source that the user named.

    Args:
        root: The folder.
        source: The name that the user gave the source.
        config: The settings of the data.
        notes: What the user should know about the source.
    """
    _check_columns_are_unused(config, source)
    all_notes = [*notes]
    found_splits = _find_splits(root, all_notes)
    listed = {name: _list_classes(folder, all_notes, config.row) for name, folder in found_splits}
    classes = tuple(listed["train"])
    for name, found in listed.items():
        _check_classes(name, found, classes)
    task = tasks["classes"]
    splits = {}
    for name, found in listed.items():
        numbers = [classes.index(label) for label, files in found.items() for _ in files]
        splits[name] = _make_set(found, task.read(np.array(numbers, np.int64)), root, config)
    return Listing(source, classes, task, splits, config.row, tuple(all_notes))


def _check_columns_are_unused(config: DataConfig, source: str) -> None:
    """Refuse settings of manifests, which would do nothing here."""
    unused = {
        "split.group_column": config.split.group_column,
        "reading.label_separator": config.reading.label_separator,
    }
    for key, value in unused.items():
        if value is not None:
            raise InputError(
                f"data.{key} is for manifests; folders have one label a picture and take "
                f"data.split.group_pattern. Received: {key.rpartition('.')[2]}={value!r} with "
                f"{source!r}. Leave it out, or list the pictures in a manifest."
            )


def _find_splits(root: str, notes: list[str]) -> list[tuple[str, str]]:
    """Return the folders with class folders: those of the splits, or the root for ``train``."""
    folders = visible_folders(root)
    named = {SPLIT_NAMES[f.lower()]: f for f in folders if f.lower() in SPLIT_NAMES}
    # A class may be called "train", too, but only a split has class folders in it.
    if "train" in named and visible_folders(join(root, named["train"])):
        others = [folder for folder in folders if folder not in named.values()]
        if others:
            notes.append(f"folders beside the splits are not read: {', '.join(others)}")
        return [(name, join(root, folder)) for name, folder in named.items()]
    if named and len(named) == len(folders):
        raise InputError(
            "Splits must hold class folders, and train/ must be one of them. Received: "
            f"{root!r} with {', '.join(folders)}, "
            + ("without class folders in train/." if "train" in named else "without train/.")
        )
    return [("train", root)]


def _list_classes(folder: str, notes: list[str], row: Modality) -> dict[str, list[str]]:
    """Map each class folder's name to the pictures in it, at any depth, in sorted order."""
    classes: dict[str, list[str]] = {}
    other: list[str] = []
    for name in visible_folders(folder):
        pictures = classes[name] = []
        for file in _list_files(join(folder, name)):
            (pictures if Path(file).suffix.lower() in row.endings else other).append(file)
    if other:
        shown = ", ".join(Path(file).name for file in other[:5]) + (", …" if len(other) > 5 else "")
        notes.append(f"{len(other)} files without a picture's ending are not read: {shown}")
    loose = [name for name in _list_here(folder)[1] if Path(name).suffix.lower() in row.endings]
    if loose and classes:
        notes.append(
            f"{len(loose)} pictures beside the class folders of {folder} have no class and are "
            "not read"
        )
    return classes


def _list_here(folder: str) -> tuple[Sequence[str], Sequence[str]]:
    """Return the names of the folders and of the files in a folder, each sorted."""
    if is_address(folder):
        try:
            # An address does not say what is a file: the endings do.
            return list_address(folder, ENDINGS)
        except OSError as error:
            raise InputError(
                "Every folder of pictures must be readable. Received: "
                f"{folder!r}: {error.strerror}. Correct its permissions or the address."
            ) from error
    entries = sorted(Path(folder).iterdir())
    folders = [entry.name for entry in entries if entry.is_dir()]
    return folders, [entry.name for entry in entries if entry.is_file()]


def _list_files_at_address(folder: str) -> list[str]:
    folders, names = _list_here(folder)
    files = [join(folder, name) for name in names if not name.startswith(".")]
    for name in folders:
        files += [] if name.startswith(".") else _list_files_at_address(join(folder, name))
    return files


def _list_files(folder: str) -> list[str]:
    """List every file below a folder, and follow links; the audit names the broken ones."""
    if is_address(folder):
        return sorted(_list_files_at_address(folder))

    def refuse(error: OSError) -> None:
        raise InputError(
            f"Every folder of pictures must be readable. Received: {error.filename!r}: "
            f"{error.strerror}. Correct its permissions or move it away."
        ) from error

    files, seen = [], set()
    for path, folders, names in os.walk(folder, onerror=refuse, followlinks=True):
        # A link back to a folder that was read would lead to an endless walk, or count twice.
        if os.path.realpath(path) in seen:
            folders.clear()
            continue
        seen.add(os.path.realpath(path))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        files += [os.path.join(path, name) for name in names if not name.startswith(".")]
    return sorted(file for file in files if os.path.isfile(file) or os.path.islink(file))


def _check_classes(split: str, found: dict[str, list[str]], classes: tuple[str, ...]) -> None:
    """Refuse classes without training pictures, unknown classes, and names that are no text."""
    unprintable = [name for name in found if not name.isprintable()]
    if unprintable:
        raise InputError(
            "A class folder's name becomes the class's name and must be printable UTF-8 text. "
            f"Received: {unprintable[0]!r}. Rename the folder."
        )
    empty = [name for name, paths in found.items() if not paths and split == "train"]
    if empty and len(empty) < len(found):
        raise InputError(
            f"Every class folder needs pictures. Received: none in {', '.join(empty)}. "
            "Add pictures or remove these folders."
        )
    unknown = [name for name in found if name not in classes]
    if unknown:
        raise InputError(
            f"The {split} split must have the classes of the training pictures "
            f"({', '.join(classes[:20])}). Received: {unknown[0]!r}."
            f"{nearest(unknown[0], classes)} Rename or remove the folder."
        )


def _make_set(
    found: dict[str, list[str]], labels: Labels, root: str, config: DataConfig
) -> FileSet:
    paths = [path for files in found.values() for path in files]
    # All paths begin with the root, which is removed here.
    start = len(join(root, "").rstrip("/")) + 1
    groups = find_groups(
        [path[start:].replace(os.sep, "/") for path in paths], config.split.group_pattern
    )
    return FileSet(tuple(paths), labels, groups)


def visible_folders(folder: str) -> list[str]:
    """Return the sorted names of the folders in a folder, without hidden and system folders."""
    return [name for name in _list_here(folder)[0] if not name.startswith((".", "__"))]
