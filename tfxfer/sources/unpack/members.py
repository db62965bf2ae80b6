"""What the members of an archive may be, whatever kind of archive it is."""

from __future__ import annotations

import errno
import lzma
import re
import shutil
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tfxfer.errors import InputError, first_line

# What reading a damaged archive raises, beside errors of the disk.
PACKED_WRONG = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError,
                ValueError, struct.error, NotImplementedError, RecursionError)  # fmt: skip
_BLOCK_BYTES = 4096


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


class Guard:
    """Looks at each member of an archive before it is unpacked, and adds up what all take.

    Args:
        folder: where it is to be unpacked.
    """

    def __init__(self, archive: Path, folder: Path, limits: Limits) -> None:
        self.archive, self.limits = archive, limits
        self.members = self.bytes = 0
        self.packed_bytes = archive.stat().st_size
        self.most_bytes = shutil.disk_usage(folder).free - limits.reserve_bytes

    def refuse(self, what: str, advice: str) -> InputError:
        """The error for an archive that is whole, but not what it may be."""
        return InputError(
            "An archive must hold nothing but a folder's files and folders, in a number and size "
            f"that fit. Received: {str(self.archive)!r}, {what}. {advice}"
        )

    def broken(self, error: BaseException) -> InputError:
        """The error for an archive that cannot be read."""
        return InputError(
            "An archive must be a whole one, of the kind that its ending says. Received: "
            f"{str(self.archive)!r} ({first_line(error)}). Copy or pack it again."
        )

    @contextmanager
    def naming_faults(self) -> Iterator[None]:
        """Turn what a damaged archive raises into an error that names it."""
        try:
            yield
        except InputError:  # a ValueError as well
            raise
        except PACKED_WRONG as error:
            raise self.broken(error) from error
        except OSError as error:
            # The disk's errors have a number; others, and impossible places, are the archive's.
            if error.errno in (None, errno.EINVAL):
                raise self.broken(error) from error
            raise

    def count(self, size: int, header_bytes: int = 0) -> None:
        """Refuse too many members, or ones too large together; the disk gives them whole blocks.

        Args:
            header_bytes: what had to be unpacked to know of the member, which may be most of it.
        """
        limits = self.limits
        self.members += 1
        # A broken header may say less than nothing.
        self.bytes += -(-max(size, 0) // _BLOCK_BYTES) * _BLOCK_BYTES + header_bytes
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
