"""The rules that the members of an archive of any kind must keep."""

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

# Reading a damaged archive raises these errors, besides errors of the disk.
PACKED_WRONG = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError,
                ValueError, struct.error, NotImplementedError, RecursionError)  # fmt: skip
_BLOCK_BYTES = 4096


@dataclass(frozen=True)
class Limits:
    """The limits on the content of an archive.

    Attributes:
        members: The largest number of files and folders.
        reserve_bytes: The space that must stay free on the disk.
        ratio: How many times larger than the archive its files may be.
        ratio_from_bytes: The size of the files from which on `ratio` matters; small pictures of
            plain colours may be packed more tightly.
    """

    members: int = 2_000_000
    reserve_bytes: int = 1 << 30
    ratio: float = 200.0
    ratio_from_bytes: int = 100 << 20


LIMITS = Limits()


class Guard:
    """A check of each member of an archive before it is unpacked, which adds up their sizes.

    Args:
        archive: The archive's file.
        folder: The folder into which it will be unpacked.
        limits: The limits on its content.
    """

    def __init__(self, archive: Path, folder: Path, limits: Limits) -> None:
        self.archive, self.limits = archive, limits
        self.members = self.bytes = 0
        self.packed_bytes = archive.stat().st_size
        self.most_bytes = shutil.disk_usage(folder).free - limits.reserve_bytes

    def refuse(self, what: str, advice: str) -> InputError:
        """Return the error for an archive that is intact but breaks a rule."""
        return InputError(
            "An archive must hold nothing but a folder's files and folders, in a number and size "
            f"that fit. Received: {str(self.archive)!r}, {what}. {advice}"
        )

    def broken(self, error: BaseException) -> InputError:
        """Return the error for an archive that cannot be read."""
        return InputError(
            "An archive must be a whole one, of the kind that its ending says. Received: "
            f"{str(self.archive)!r} ({first_line(error)}). Copy or pack it again."
        )

    @contextmanager
    def naming_faults(self) -> Iterator[None]:
        """Turn the errors of a damaged archive into one that names it."""
        try:
            yield
        except InputError:  # This is a ValueError as well.
            raise
        except PACKED_WRONG as error:
            raise self.broken(error) from error
        except OSError as error:
            # Errors of the disk have a number; other errors, and EINVAL, come from the archive.
            if error.errno in (None, errno.EINVAL):
                raise self.broken(error) from error
            raise

    def count(self, size: int, header_bytes: int = 0) -> None:
        """Refuse too many members, or members that are too large together, in whole disk blocks.

        Args:
            size: The member's size in bytes.
            header_bytes: How many bytes were unpacked to read the member's header.
        """
        limits = self.limits
        self.members += 1
        # A broken header may hold a negative size.
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
        """Return the member's path below the folder; None if it is not one of the user's files."""
        parts = [part for part in name.split("/") if part not in ("", ".")]
        if name.startswith("/") or re.match(r"[A-Za-z]:[/\\]", name):
            raise self.refuse(f"with the absolute path {name!r}", "Pack the folder again.")
        if ".." in parts:
            raise self.refuse(f"with {name!r}, which leads out of it", "Pack the folder again.")
        # Operating systems add files such as __MACOSX/ and ._photo.jpg.
        if not parts or any(part.startswith(".") or part == "__MACOSX" for part in parts):
            return None
        if is_link:
            raise self.refuse(
                f"with the link {name!r}", "Pack the folder again with files in place of links."
            )
        return "/".join(parts)
