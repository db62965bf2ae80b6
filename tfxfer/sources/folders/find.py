"""The file that a manifest means, whose name the manifest may give in another form."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable, Collection, Iterator, Sequence

from tfxfer.config.places import is_address, to_place
from tfxfer.machine.files import exists, join


class Finder:
    """A finder of files below some folders.

    A name that no file has may still be meant for one: with blanks or backslashes of a table from
    another system, in the other of Unicode's two forms, or without its ending.

    Args:
        roots: The folders that relative paths lie below; the first that has a file is taken.
        endings: The endings that a name may lack, in lower case with their dots.
    """

    def __init__(self, roots: Sequence[str], endings: Collection[str]):
        self._roots, self._endings = roots, endings
        self._listed: dict[str, dict[str, list[str]]] = {}

    def find(self, path: str) -> str:
        """Return where a file lies; below the first root if it is found nowhere.

        The later look at all files reports those that are missing.
        """
        places = list(self._places(path))
        for place in places:
            if _is_there(place):
                return place
        for place in places:
            if not is_address(place) and (found := self._find_alike(place, os.path.isfile)):
                return found
        return places[0]

    def _places(self, path: str) -> Iterator[str]:
        """Yield the places that a path may stand for, the most literal first."""
        forms = dict.fromkeys([path, path.strip(), path.strip().replace("\\", "/")])
        for form in forms:
            if is_address(form) or os.path.isabs(form):
                yield to_place(form)
            else:
                yield from (join(root, form) for root in self._roots)

    def _find_alike(self, place: str, fits: Callable[[str], bool]) -> str | None:
        """Return the only path that fits and whose parts differ in Unicode and ending at most."""
        folder, name = os.path.split(place)
        if not name:
            return place if fits(place) else None
        if not os.path.isdir(folder):
            found = self._find_alike(folder, os.path.isdir) if folder != place else None
            if found is None:
                return None
            folder = found
        names = self._list(folder)
        plain = unicodedata.normalize("NFC", name)
        stem, end = os.path.splitext(plain)
        longer = [f"{plain}{each}" for each in self._endings]
        for forms in ([plain], [stem + end.lower()], longer):
            paths = [os.path.join(folder, each) for form in forms for each in names.get(form, [])]
            if fitting := [path for path in paths if fits(path)]:
                return fitting[0] if len(fitting) == 1 else None
        return None

    def _list(self, folder: str) -> dict[str, list[str]]:
        """List a folder once: its names by their composed form, with endings in lower case."""
        if folder not in self._listed:
            names: dict[str, list[str]] = {}
            for name in sorted(os.listdir(folder)):
                stem, end = os.path.splitext(unicodedata.normalize("NFC", name))
                for form in {stem + end, stem + end.lower()}:
                    names.setdefault(form, []).append(name)
            self._listed[folder] = names
        return self._listed[folder]


def _is_there(place: str) -> bool:
    """Return whether a file lies there; a folder of that name is none."""
    try:
        return exists(place) and (is_address(place) or not os.path.isdir(place))
    except OSError:  # The later look at all files reports the error.
        return True
