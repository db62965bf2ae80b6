"""The unpacking of tar files, packed or plain, whose headers cannot fill the memory."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
from collections.abc import Iterator
from pathlib import Path

from tfxfer.sources.unpack.members import Guard

# The first bytes of a tar file, unlike its ending, tell how it was packed.
_PACKERS = ((b"\x1f\x8b", gzip.open), (b"BZh", bz2.open), (b"\xfd7zXZ\0", lzma.open))
# All headers of a member together, and the rest after the last member, may have so many bytes.
# They hold names and are usually far smaller.
_MOST_HEADER_BYTES = 1 << 20
# Reading a packed file takes at most so many nested calls. tarfile also calls itself for each
# header before a member.
_FRAMES = 30


class _Bounded(io.BufferedReader):
    """The bytes of a tar file, of which only as many can be read as `allow` permits.

    A header gives its own length, and others may follow before the member. tarfile would read and
    keep them all, and a few packed MB may become several GB.
    """

    _what, _most, _left = "headers", _MOST_HEADER_BYTES, _MOST_HEADER_BYTES

    def allow(self, what: str, size: int) -> None:
        """Permit so many bytes to be read from now on."""
        self._what, self._most, self._left = what, size, size

    @property
    def spent(self) -> int:
        """The number of bytes that were read since the last call of `allow`."""
        return self._most - self._left

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or not 0 <= size <= self._left:
            raise tarfile.TarError(f"{self._what} of more than {self._most:,} bytes")
        self._left -= size
        _need_frames(_FRAMES)
        return super().read(size)


def _need_frames(count: int) -> None:
    """Raise `RecursionError` here if the stack is nearly full.

    In C code, Python 3.12 would report other errors instead.
    """
    if count:
        _need_frames(count - 1)


def unpack_tar(archive: Path, folder: Path, guard: Guard) -> None:
    """Unpack a tar file, as `unpack` does."""
    with (
        guard.naming_faults(),
        _open_packed(archive) as file,
        tarfile.open(fileobj=file, mode="r:") as packed,
    ):
        for member in _read_members(file, packed):
            guard.count(member.size, file.spent)
            if guard.place(member.name, member.issym() or member.islnk()) is None:
                continue
            if not (member.isfile() or member.isdir()):
                raise guard.refuse(
                    f"with {member.name!r}, which is a device or a pipe", "Pack the folder again."
                )
            # The pieces of a sparse file may be larger than the size that was counted for the file.
            file.allow(f"pieces of {member.name!r}", member.size)
            packed.extract(member, folder, filter="data")
        _check_end(file, packed)


def _open_packed(archive: Path) -> _Bounded:
    with archive.open("rb") as file:
        start = file.read(8)
    for signature, open_packed in _PACKERS:
        if start.startswith(signature):
            return _Bounded(open_packed(archive))
    return _Bounded(archive.open("rb", buffering=0))


def _read_members(file: _Bounded, packed: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """Yield the members one by one, without keeping them or their headers."""
    while member := packed.next():
        yield member
        packed.members = []  # type: ignore[attr-defined]  # tarfile keeps all that it has read
        for_all = (*packed.pax_headers.keys(), *packed.pax_headers.values())
        if sum(map(len, for_all)) > _MOST_HEADER_BYTES:
            raise tarfile.TarError(f"headers for all of more than {_MOST_HEADER_BYTES:,} bytes")
        file.allow("headers", _MOST_HEADER_BYTES)


def _check_end(file: _Bounded, packed: tarfile.TarFile) -> None:
    """Refuse an archive that stops early: tarfile takes the first broken header for the end.

    Reading to the end also makes a compressed file's checksum be compared.
    """
    file.allow("rest", _MOST_HEADER_BYTES)
    file.seek(packed.offset)
    rest = file.read(_MOST_HEADER_BYTES)
    if not rest or any(rest[: tarfile.BLOCKSIZE]):
        raise tarfile.ReadError("it ends early")
