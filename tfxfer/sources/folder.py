"""Pictures in class folders, which may lie in folders train/, val/ and test/."""

from __future__ import annotations

import os
import sys
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from tfxfer.config.data import DataConfig
from tfxfer.config.places import ALLOWED_SOURCES, is_address
from tfxfer.data.items import FileSet
from tfxfer.data.listing import Listing
from tfxfer.errors import InputError, nearest
from tfxfer.machine.files import exists, is_folder, join
from tfxfer.modality import Modality
from tfxfer.sources.folders.names import (
    SPLIT_NAMES,
    is_hidden,
    is_split,
    read_split_name,
    says_no_class,
)
from tfxfer.sources.folders.walk import (
    check_links,
    list_files,
    list_here,
    look_through,
    visible_folders,
)
from tfxfer.sources.groups_in_paths import find_groups
from tfxfer.sources.manifest_rows import MANIFEST_ENDINGS
from tfxfer.task import Labels, Tasks

_SNIFFED_BYTES = 32
_IS_FILE = "is a file"


def list_folder(config: DataConfig, cache: Path, tasks: Tasks) -> Listing:
    """List the pictures of a folder.

    Raises:
        InputError: The folder is missing, its splits hold no class folders, or a split has a class
            that the training split lacks.
    """
    root = str(config.source)
    if not is_folder(root):
        state = _describe(root)
        way_out = (
            f"Save it as one that ends in {', '.join(MANIFEST_ENDINGS)} if it is a table."
            if state == _IS_FILE
            else "Check the path."
        )
        raise InputError(
            f"data must be {ALLOWED_SOURCES}. Received: {root!r}, which {state}. {way_out}"
        )
    return read_folder(root, root, config, tasks=tasks)


def _describe(root: str) -> str:
    """Say what is there in place of a folder."""
    try:
        is_file = exists(root) if is_address(root) else os.path.exists(root)
    except OSError as error:
        return f"cannot be reached ({error.strerror})"
    return _IS_FILE if is_file else "is not there"


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
    place = _look_through(root, all_notes, is_place=is_split)
    found_splits = _leave_out_unlabelled(dict(_find_splits(place, all_notes)), all_notes, config)
    listed = {
        name: _list_classes(folder, all_notes, config.row) for name, folder in found_splits.items()
    }
    classes = tuple(listed["train"])
    if not classes:
        _refuse_flat(found_splits["train"], config.row)
    _check_depth(found_splits["train"], listed["train"], config)
    for name, found in listed.items():
        _check_classes(name, found, classes, config.row)
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
    named = _name_splits(root, folders)
    # A class may be called "train", too, but only a split has class folders in it.
    if "train" in named and visible_folders(join(root, named["train"])):
        others = [folder for folder in folders if folder not in named.values()]
        if others:
            notes.append(f"folders beside the splits are not read: {', '.join(others)}")
        return _look_into_splits(root, named, notes)
    if named and len(named) == len(folders):
        raise InputError(
            "Splits must hold class folders, and train/ must be one of them. Received: "
            f"{root!r} with {', '.join(folders)}, "
            + ("without class folders in train/." if "train" in named else "without train/.")
        )
    _refuse_classes_by_split(root, folders)
    return [("train", root)]


def _refuse_classes_by_split(root: str, folders: Sequence[str]) -> None:
    """Refuse folders that all say a class and a split, as in ``cat_train`` and ``cat_test``."""
    said = {folder: name for folder in folders if (name := read_split_name(folder))}
    splits: dict[tuple[str, ...], set[str]] = {}
    for name in said.values():
        splits.setdefault(name.others, set()).add(name.split)
    several = sum(len(found) > 1 for found in splits.values())
    # Of one class alone, such names may be chance: others stand beside it.
    if several > 1 or (several and len(said) == len(folders)):
        first, name = next(iter(said.items()))
        raise InputError(
            "A folder must stand for a split or for a class. Received: "
            f"{root!r} with {', '.join(list(said)[:8])}, whose names say both. Make a folder for "
            "each split, and put the class folders into it: "
            f"{first} becomes {name.split}/{'_'.join(name.others)}."
        )


def _leave_out_unlabelled(
    splits: Mapping[str, str], notes: list[str], config: DataConfig
) -> dict[str, str]:
    """Leave out splits whose items lie in no class folders, as in the test folders of contests."""
    kept = {}
    classes = visible_folders(splits["train"])
    for name, split_folder in splits.items():
        folder = _find_unlabelled(split_folder, classes)
        folders, files = list_here(folder)
        loose = [file for file in files if _is_item(join(folder, file), config.row)]
        if name == "train" or not loose or any(not is_hidden(each) for each in folders):
            kept[name] = split_folder
            continue
        notes.append(
            f"the {len(loose):,} pictures of {folder} lie in no class folders, so that they have "
            f"no labels: they are not read (`tfxfer predict RUN {folder}` says what they show)"
        )
    return kept


def _find_unlabelled(folder: str, classes: Sequence[str]) -> str:
    """Return the folder in a split's folder that may hold its unlabelled items, or the latter."""
    inner = visible_folders(folder)
    if len(inner) == 1 and inner[0] not in classes and says_no_class(inner[0]):
        return join(folder, inner[0])
    return folder


def _name_splits(root: str, folders: Sequence[str]) -> dict[str, str]:
    """Map the splits to the folders whose names say them.

    Other words may stand in a name if they say nothing of their own, as in ``training_set``, or if
    they are the same for several splits, as in ``birds_train`` and ``birds_test``.
    """
    found = {folder: name for folder in folders if (name := read_split_name(folder))}
    named: dict[str, str] = {}
    for folder, name in found.items():
        alike = {other.split for other in found.values() if other.others == name.others}
        if not (name.is_plain or len(alike) > 1):
            continue
        both = [each for each in (named.get(name.split), folder) if each is not None]
        full = [each for each in both if visible_folders(join(root, each))]
        exact = [each for each in full if each.lower() in SPLIT_NAMES]
        if len(full) > 1 and len(exact) != 1 and "train" in alike | set(named):
            raise InputError(
                f"A split must be one folder. Received: {root!r} with {' and '.join(full)}, which "
                f"both say {name.split}. Join them, or move one away."
            )
        named[name.split] = (exact or full or both)[0]
    return named


def _look_into_splits(
    root: str, named: Mapping[str, str], notes: list[str]
) -> list[tuple[str, str]]:
    """Return the folder of each split with the class folders, which may lie deeper in it."""
    train = _look_through(join(root, named["train"]), notes)
    classes = visible_folders(train)
    return [
        (split, train)
        if split == "train"
        else (split, _look_through(join(root, folder), notes, is_place=classes.__contains__))
        for split, folder in named.items()
    ]


def _look_through(folder: str, notes: list[str], **how: Callable[[str], bool]) -> str:
    inner = look_through(folder, **how)
    if inner != folder:
        notes.append(f"the folders of {folder} lie deeper: {inner} is read")
    return inner


def _refuse_flat(folder: str, row: Modality) -> None:
    """Refuse items that lie in no class folders, if there are any, and say how to label them."""
    files = [name for name in list_here(folder)[1] if not is_hidden(name)]
    if tables := [name for name in files if Path(name).suffix.lower() in MANIFEST_ENDINGS]:
        raise InputError(
            "A folder of pictures must hold class folders. Received: "
            f"{folder!r} with {', '.join(tables[:5])} and no folders. If it is a table of "
            f"pictures, name it: --data {join(folder, tables[0])}"
        )
    flat = [name for name in files if _is_item(join(folder, name), row)]
    if flat:
        raise InputError(
            "Pictures must lie in a folder for each class, or be listed in a manifest. Received: "
            f"{folder!r}, with {len(flat):,} pictures, such as {', '.join(flat[:3])}, and no "
            "folders. Move them into class folders, or write a table list.csv with the columns "
            "path and label, a line each, and name it with --data."
        )


def _check_depth(folder: str, found: dict[str, list[str]], config: DataConfig) -> None:
    """Refuse class folders that all hold the same folders, which may be the classes themselves."""
    start = len(join(folder, "").rstrip("/")) + 1
    inner = []
    for files in found.values():
        below = (file[start:].replace(os.sep, "/").split("/") for file in files)
        inner.append({parts[1] for parts in below if len(parts) > 2})
    alike = sorted(set.intersection(*inner)) if len(inner) > 1 else []
    if len(alike) > 1 and not config.split.group_pattern:
        if all(map(is_split, alike)):
            first = next(iter(found))
            raise InputError(
                "The folders of splits must hold those of the classes. Received: "
                f"{', '.join(list(found)[:5])} in {folder!r}, each with {', '.join(alike)}. Put "
                f"them the other way round: {first}/{alike[0]} becomes {alike[0]}/{first}."
            )
        raise InputError(
            "The folders of the classes must not all hold the same folders, which may be the "
            f"classes themselves. Received: {', '.join(list(found)[:5])} in {folder!r}, each with "
            f"{', '.join(alike[:5])}. If the outer folders are splits, name them train, val and "
            "test; if they are places or days, list the pictures in a manifest or move the inner "
            "folders together; if they are the classes, name what belongs together: "
            r"--set 'data.split.group_pattern=[^/]+$' if each picture stands for itself."
        )


def _list_classes(folder: str, notes: list[str], row: Modality) -> dict[str, list[str]]:
    """Map each class folder's name to the pictures in it, at any depth, in sorted order."""
    check_links(folder)
    classes: dict[str, list[str]] = {}
    other: list[str] = []
    for name in visible_folders(folder):
        # Systems write the same accented letter in two ways, which are one class.
        pictures = classes.setdefault(unicodedata.normalize("NFC", name), [])
        for file in list_files(join(folder, name)):
            (pictures if _is_item(file, row) else other).append(file)
    if other:
        shown = ", ".join(Path(file).name for file in other[:5]) + (", …" if len(other) > 5 else "")
        notes.append(f"{len(other)} files without a picture's ending are not read: {shown}")
    loose = [name for name in list_here(folder)[1] if Path(name).suffix.lower() in row.endings]
    if loose and classes:
        notes.append(
            f"{len(loose)} pictures beside the class folders of {folder} have no class and are "
            "not read"
        )
    return classes


def _is_item(file: str, row: Modality) -> bool:
    """Return whether a file is an item, by its ending or, if it has none, by its first bytes."""
    ending = Path(file).suffix.lower()
    if ending or is_address(file):
        return ending in row.endings
    try:
        with open(file, "rb") as stream:
            return row.sniff(stream.read(_SNIFFED_BYTES)) is not None
    except OSError:
        return True  # The later look at all files reports the error.


def _check_classes(
    split: str, found: dict[str, list[str]], classes: tuple[str, ...], row: Modality
) -> None:
    """Refuse classes without training pictures, unknown classes, and names that are no text."""
    unprintable = [name for name in found if not name.isprintable()]
    encoding = sys.getfilesystemencoding()
    if encoding != "utf-8" and (foreign := [name for name in found if not name.isascii()]):
        raise InputError(
            "The names of class folders must be read as UTF-8. Received: "
            f"{foreign[0]!a}, which this process reads as {encoding}, as its locale says. Set "
            "the environment variable PYTHONUTF8=1, or a locale such as LC_ALL=C.UTF-8."
        )
    if unprintable:
        raise InputError(
            "A class folder's name becomes the class's name and must be printable UTF-8 text. "
            f"Received: {unprintable[0]!r}. Rename the folder."
        )
    empty = [name for name, paths in found.items() if not paths and split == "train"]
    if empty and len(empty) < len(found):
        raise InputError(
            f"Every class folder needs pictures, which end in {', '.join(sorted(row.endings))}. "
            f"Received: none in {', '.join(empty)}. Add pictures, save others in one of these "
            "formats, or remove these folders."
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
