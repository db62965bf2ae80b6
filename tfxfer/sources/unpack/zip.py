"""The unpacking of zip files, whose directory, end record and headers must agree."""

from __future__ import annotations

import shutil
import stat
import struct
import zipfile
from contextlib import suppress
from pathlib import Path

from tfxfer.sources.unpack.members import PACKED_WRONG, Guard

# These bits of a member's flags say that it is encrypted, and that its name is UTF-8.
_ENCRYPTED, _UTF8 = 0x1, 0x800
# A zip ends with a record, after which a comment may follow. In a large zip, a record with larger
# numbers and another one with its place stand before that.
_END, _LARGE_END, _LARGE_PLACE = b"PK\5\6", b"PK\6\6", b"PK\6\7"
_END_BYTES, _LARGE_END_BYTES, _LARGE_PLACE_BYTES = 22, 56, 20
_COUNT, _LARGE_COUNT = struct.Struct("<10xH"), struct.Struct("<32xQ")  # the number of members
# Members are counted in two bytes, which overflow if a program does not know large zips.
_COUNTS = 1 << 16


def unpack_zip(archive: Path, folder: Path, guard: Guard) -> None:
    """Unpack a zip file, as `unpack` does."""
    try:
        packed = zipfile.ZipFile(archive)
    except (*PACKED_WRONG, OSError) as error:
        raise guard.broken(error) from error
    with packed, guard.naming_faults():
        # All members are checked before the first byte is written.
        _check_count(archive, len(packed.infolist()))
        for info in packed.infolist():
            guard.count(info.file_size)
        for info in packed.infolist():
            _unpack_member(packed, info, folder, guard)


def _check_count(archive: Path, listed: int) -> None:
    """Refuse a zip whose directory lists more or fewer members than its end record says.

    In a damaged directory, the first member's comment may swallow all the others.
    """
    with archive.open("rb") as file:
        size = file.seek(0, 2)
        most = _LARGE_END_BYTES + _LARGE_PLACE_BYTES + _END_BYTES + (1 << 16)
        file.seek(max(0, size - most))
        rest = file.read()
    # The last place that leaves room for the record is taken, because the record's own numbers may
    # look like its beginning.
    start = rest.rfind(_END, 0, len(rest) - _END_BYTES + len(_END))
    (count,) = _COUNT.unpack_from(rest, start)
    large = rest[max(0, start - _LARGE_END_BYTES - _LARGE_PLACE_BYTES) : start]
    if large.startswith(_LARGE_END) and large[_LARGE_END_BYTES:].startswith(_LARGE_PLACE):
        (count,) = _LARGE_COUNT.unpack_from(large)
    if (listed - count) % _COUNTS:
        raise zipfile.BadZipFile(f"its directory lists {listed:,} members, its end says {count:,}")


def _read_name(info: zipfile.ZipInfo) -> str:
    """Return a member's name with forward slashes.

    The archiver of macOS does not say that its names are UTF-8, so that zipfile decodes them as
    DOS names. Old Windows programs write backslashes.
    """
    name = info.filename
    if not info.flag_bits & _UTF8:
        with suppress(UnicodeError):
            name = name.encode("cp437").decode("utf-8")
    return name if "/" in name else name.replace("\\", "/")


def _unpack_member(
    packed: zipfile.ZipFile, info: zipfile.ZipInfo, folder: Path, guard: Guard
) -> None:
    """Write a member, reading no more than the archive announced, and compare its checksum."""
    name = _read_name(info)
    place = guard.place(name, stat.S_ISLNK(info.external_attr >> 16))
    if info.flag_bits & _ENCRYPTED:
        raise guard.refuse(
            f"in which {name!r} is encrypted", "Unpack it yourself and name the folder."
        )
    # `open` also compares the name with the one before the content, because a damaged name may
    # look like that of a folder or a hidden file.
    with packed.open(info) as member:
        if place is None:
            return
        target = folder / place
        if name.endswith("/"):
            target.mkdir(parents=True, exist_ok=True)
            return
        if target.exists():
            raise guard.refuse(f"with {name!r} twice", "Pack the folder again.")
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("xb") as file:
            shutil.copyfileobj(member, file)
