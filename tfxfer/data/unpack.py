"""Unpack an archive that nobody vouches for: nothing outside, no links, no more than fits."""

from __future__ import annotations

import bz2
import errno
import gzip
import io
import lzma
import re
import shutil
import stat
import struct
import tarfile
import zipfile
import zlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tfxfer.errors import InputError, first_line

ARCHIVE_ENDINGS = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
_PACKED_WRONG = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError,
                 ValueError, struct.error)  # fmt: skip
_BROKEN = (*_PACKED_WRONG, NotImplementedError, OSError)
_BLOCK_BYTES = 4096
# How a tar file was packed, by its first bytes; its ending may lie.
_PACKERS = ((b"\x1f\x8b", gzip.open), (b"BZh", bz2.open), (b"\xfd7zXZ\0", lzma.open))
# Of a tar file, most that is read at one go: headers hold names and are far smaller.
_MOST_READ_BYTES = 1 << 20
# Bits that a zip sets for a member.
_ENCRYPTED, _UTF8 = 0x1, 0x800


@dataclass(frozen=True)
class Limits:
    """What an archive may be unpacked to.

    Attributes:
        members: how many files and folders it may have.
        reserve_bytes: what must stay free on the disk.
        ratio: how many times larger than the archive its files may be, which matters above
            `ratio_from_bytes`; plain colours pack well.
    """

    members: int = 2_000_000
    reserve_bytes: int = 1 << 30
    ratio: float = 200.0
    ratio_from_bytes: int = 100 << 20


LIMITS = Limits()


class _Guard:
    """Looks at each member of an archive before it is unpacked, and adds up what all take."""

    def __init__(self, archive: Path, folder: Path, limits: Limits) -> None:
        self.archive, self.limits = archive, limits
        self.members = self.bytes = 0
        self.packed_bytes = archive.stat().st_size
        self.most_bytes = shutil.disk_usage(folder).free - limits.reserve_bytes

    def refuse(self, what: str, advice: str) -> InputError:
        return InputError(
            "An archive must hold nothing but a folder's files and folders, in a number and size "
            f"that fit. Received: {str(self.archive)!r}, {what}. {advice}"
        )

    def count(self, size: int) -> None:
        """Refuse too many members, or ones too large together; the disk gives them whole blocks."""
        limits = self.limits
        self.members += 1
        # A broken header may say less than nothing.
        self.bytes += -(-max(size, 0) // _BLOCK_BYTES) * _BLOCK_BYTES
        if self.members > limits.members:
            raise self.refuse(
                f"with more than {limits.members:,} members", "Unpack it and name the folder."
            )
        if self.bytes > self.most_bytes:
            raise self.refuse(
                f"with more than the {max(self.most_bytes, 0) / 1e9:,.1f} GB that fit on the disk "
                f"if {limits.reserve_bytes / 1e9:.1f} GB stay free",
                "Make room, or name a folder elsewhere in the environment variable TFXFER_CACHE.",
            )
        large = self.bytes > limits.ratio_from_bytes
        if large and self.bytes > limits.ratio * self.packed_bytes:
            raise self.refuse(
                f"whose files are more than {limits.ratio:g} times as large as it",
                "If you trust it, unpack it and name the folder.",
            )

    def place(self, name: str, is_link: bool) -> str | None:
        """Where a member belongs below the folder; None if it is none of the user's files."""
        parts = [part for part in name.split("/") if part not in ("", ".")]
        if name.startswith("/") or re.match(r"[A-Za-z]:[/\\]", name):
            raise self.refuse(f"with the absolute path {name!r}", "Pack the folder again.")
        if ".." in parts:
            raise self.refuse(f"with {name!r}, which leads out of it", "Pack the folder again.")
        # What systems add of their own, such as __MACOSX/ and ._photo.jpg.
        if not parts or any(part.startswith(".") or part == "__MACOSX" for part in parts):
            return None
        if is_link:
            raise self.refuse(
                f"with the link {name!r}", "Pack the folder again with files in place of links."
            )
        return "/".join(parts)


def unpack(archive: Path, folder: Path, limits: Limits = LIMITS) -> None:
    """Unpack a zip or tar archive into an empty folder, without links and hidden files.

    Raises:
        InputError: the archive is broken or encrypted, a member has a path outside of the folder,
            or is a link or no file, or `limits` are passed.
        OSError: the folder cannot be written to.
    """
    guard = _Guard(archive, folder, limits)
    if archive.name.lower().endswith(".zip"):
        _unpack_zip(guard, folder)
    else:
        _unpack_tar(guard, folder)


def _broken(archive: Path, error: BaseException) -> InputError:
    return InputError(
        "An archive must be a whole one, of the kind that its ending says. Received: "
        f"{str(archive)!r} ({first_line(error)}). Copy or pack it again."
    )


def _unpack_zip(guard: _Guard, folder: Path) -> None:
    try:
        opened = zipfile.ZipFile(guard.archive)
    except _BROKEN as error:
        raise _broken(guard.archive, error) from error
    with opened as packed:
        # All is known before the first byte is written.
        for info in packed.infolist():
            guard.count(info.file_size)
        for info in packed.infolist():
            name = _read_name(info)
            place = guard.place(name, stat.S_ISLNK(info.external_attr >> 16))
            if place is None:
                continue
            target = folder / place
            if name.endswith("/"):
                target.mkdir(parents=True, exist_ok=True)
                continue
            if info.flag_bits & _ENCRYPTED:
                raise guard.refuse(
                    f"in which {name!r} is encrypted", "Unpack it yourself and name the folder."
                )
            if target.exists():
                raise guard.refuse(f"with {name!r} twice", "Pack the folder again.")
            target.parent.mkdir(parents=True, exist_ok=True)
            _copy_member(packed, info, target, guard.archive)


def _read_name(info: zipfile.ZipInfo) -> str:
    """A member's name with forward slashes.

    The archiver of macOS does not say that names are UTF-8, and zipfile reads them as of DOS;
    old programs of Windows write its own separators.
    """
    name = info.filename
    if not info.flag_bits & _UTF8:
        with suppress(UnicodeError):
            name = name.encode("cp437").decode("utf-8")
    return name if "/" in name else name.replace("\\", "/")


def _copy_member(
    packed: zipfile.ZipFile, info: zipfile.ZipInfo, target: Path, archive: Path
) -> None:
    """Write a member; no more of it is read than the archive said, and its checksum is compared."""
    with target.open("xb") as file:
        try:
            with packed.open(info) as member:
                shutil.copyfileobj(member, file)
        except (*_PACKED_WRONG, NotImplementedError) as error:
            raise _broken(archive, error) from error
        except OSError as error:
            raise _sort_out(archive, error) from error


class _Bounded(io.BufferedReader):
    """Bytes of a tar file, none of whose headers may fill the memory.

    A header says how long it is, and tarfile reads that much: a few MB packed may be some GB.
    """

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or not 0 <= size <= _MOST_READ_BYTES:
            raise tarfile.TarError(f"a header of {size} bytes")
        return super().read(size)


def _open_packed(archive: Path) -> _Bounded:
    with archive.open("rb") as file:
        start = file.read(8)
    for signature, open_packed in _PACKERS:
        if start.startswith(signature):
            return _Bounded(open_packed(archive))
    return _Bounded(archive.open("rb", buffering=0))


def _unpack_tar(guard: _Guard, folder: Path) -> None:
    try:
        with (
            _open_packed(guard.archive) as file,
            tarfile.open(fileobj=file, mode="r:") as packed,
        ):
            for member in packed:
                guard.count(member.size)
                if guard.place(member.name, member.issym() or member.islnk()) is None:
                    continue
                if not (member.isfile() or member.isdir()):
                    raise guard.refuse(
                        f"with {member.name!r}, which is a device or a pipe",
                        "Pack the folder again.",
                    )
                packed.extract(member, folder, filter="data")
            _check_end(packed)
    except InputError:  # a ValueError as well
        raise
    except _PACKED_WRONG as error:
        raise _broken(guard.archive, error) from error
    except OSError as error:
        raise _sort_out(guard.archive, error) from error


def _check_end(packed: tarfile.TarFile) -> None:
    """Refuse an archive that stops early: tarfile would take its first broken header for the end.

    Reading on also lets a compressed file's checksum be compared.
    """
    file = packed.fileobj
    if file is not None:
        file.seek(packed.offset)
        rest = file.read(_MOST_READ_BYTES)
        if not rest or any(rest[: tarfile.BLOCKSIZE]):
            raise tarfile.ReadError("it ends early")


def _sort_out(archive: Path, error: OSError) -> Exception:
    """The disk's errors have a number; others, and a place that cannot be, are the archive's."""
    return _broken(archive, error) if error.errno in (None, errno.EINVAL) else error
