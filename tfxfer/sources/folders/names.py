"""What the names of folders say: which split one is, and which are none of the user's."""

from __future__ import annotations

import re
from typing import NamedTuple

# The names that splits may have in folders and manifests, and their names in tfxfer.
SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
}
# Words that may stand beside such a name, as in training_set, seg_train and images-val.
_BESIDE = frozenset(
    ("set", "data", "dataset", "split", "folder", "dir", "seg", "new", "final", "image", "images",
     "img", "imgs", "pic", "pics", "picture", "pictures", "photo", "photos", "jpg", "jpeg", "png")
)  # fmt: skip
_WORDS = re.compile(r"[^\W\d_]+", re.UNICODE)
_NEW_WORD = re.compile(r"(?<=[a-z])(?=[A-Z])")  # the place between two words, as in TrainImages
# The names of a folder of items that nobody has labelled.
_UNLABELLED = frozenset(("unknown", "unlabelled", "unlabeled", "all", "none"))
# Folders that systems make beside the user's, in lower case.
_SYSTEM = frozenset(
    ("__macosx", "__pycache__", "@eadir", "#recycle", "@recycle", "$recycle.bin", "recycler",
     "lost+found", "system volume information", "found.000")
)  # fmt: skip


class SplitName(NamedTuple):
    """A name that says a split.

    Attributes:
        split: ``"train"``, ``"validation"`` or ``"test"``.
        others: The words beside the split's name, in lower case.
    """

    split: str
    others: tuple[str, ...]

    @property
    def is_plain(self) -> bool:
        """Whether the other words say nothing but that these are items or a split."""
        return _BESIDE.issuperset(self.others)


def read_split_name(name: str) -> SplitName | None:
    """Return the split that a name says, such as ``Training-Set`` or ``seg_train``.

    Example:
        >>> from tfxfer.sources.folders.names import read_split_name
        >>> read_split_name("training_set")
        SplitName(split='train', others=('set',))
        >>> read_split_name("testset").split, read_split_name("contest")
        ('test', None)
    """
    words = [word for found in _list_words(name) for word in _without_set(found)]
    places = [place for place, word in enumerate(words) if word in SPLIT_NAMES]
    if len(places) != 1:
        return None
    others = words[: places[0]] + words[places[0] + 1 :]
    return SplitName(SPLIT_NAMES[words[places[0]]], tuple(others))


def find_split(name: str) -> str | None:
    """Return the split that a name says if it says nothing else; None otherwise."""
    found = read_split_name(name)
    return found.split if found and found.is_plain else None


def is_split(name: str) -> bool:
    """Return whether a name says a split and nothing else."""
    return find_split(name) is not None


def says_no_class(name: str) -> bool:
    """Return whether a name says only that these are items, of a split, or without a label."""
    words = _BESIDE | _UNLABELLED | SPLIT_NAMES.keys()
    return all(word in words for word in _list_words(name))


def _list_words(name: str) -> list[str]:
    """Return the words of a name in lower case, without its digits."""
    return _WORDS.findall(_NEW_WORD.sub("_", name).lower())


def _without_set(word: str) -> list[str]:
    """Part a word such as ``trainset``."""
    start = word.removesuffix("set")
    return [start, "set"] if start != word and start in SPLIT_NAMES else [word]


def is_hidden(name: str) -> bool:
    """Return whether a file or folder is hidden, or is one that a system has made for itself."""
    return name.startswith(".") or name.lower() in _SYSTEM
