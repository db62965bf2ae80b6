"""Tests that bad archives are refused and leave nothing behind."""

from __future__ import annotations

import gzip
import stat
import struct
import tarfile
import tracemalloc
import zipfile

import pytest
from support.archives import files_of, left_in, load, pack

from tfxfer.errors import InputError
from tfxfer.sources.archive import unpack_once
from tfxfer.sources.unpack.members import Limits
from tfxfer.sources.unpack.unpack import ARCHIVE_ENDINGS

pytestmark = pytest.mark.usefixtures("own_cache")


def as_link(info):
    if isinstance(info, zipfile.ZipInfo):
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
    else:
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"


def as_hard_link(info):
    info.type, info.linkname = tarfile.LNKTYPE, "blue/000.jpg"


def as_pipe(info):
    info.type = tarfile.FIFOTYPE


def as_header(info):
    info.type, info.size = tarfile.XHDTYPE, 1 << 30


BAD = [
    ("zip", "../out.jpg", b"x", "'../out.jpg', which leads out of it"),
    ("tar", "../out.jpg", b"x", "'../out.jpg', which leads out of it"),
    ("tar", "blue/../../out.jpg", b"x", "which leads out of it"),
    ("zip", "..\\out.jpg", b"x", "which leads out of it"),
    ("zip", "/tmp/out.jpg", b"x", "the absolute path '/tmp/out.jpg'"),
    ("tar", "/tmp/out.jpg", b"x", "the absolute path '/tmp/out.jpg'"),
    ("zip", "C:\\out.jpg", b"x", "the absolute path"),
    ("zip", "blue/link.jpg", as_link, "the link 'blue/link.jpg'"),
    ("tar", "blue/link.jpg", as_link, "the link 'blue/link.jpg'"),
    ("tar.gz", "blue/hard.jpg", as_hard_link, "the link 'blue/hard.jpg'"),
    ("tar", "blue/pipe.jpg", as_pipe, "a device or a pipe"),
    ("zip", "blue/000.jpg", b"x", "'blue/000.jpg' twice"),
    ("zip", "blue", b"x", "'blue' twice"),
    ("tar", "blue/000.jpg/below.jpg", b"x", "the error"),
]


@pytest.mark.parametrize(("ending", "name", "content", "expected"), BAD)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_member_that_is_no_file_of_a_folder_is_refused(
    own_folder, tmp_path, own_cache, ending, name, content, expected
):
    archive = pack(tmp_path / f"photos.{ending}", [*files_of(own_folder), (name, content)])
    with pytest.raises(InputError, match="Received: ") as caught:
        load(archive)
    assert expected in str(caught.value)
    assert left_in(own_cache) == []
    assert {path.name for path in tmp_path.iterdir()} == {"cache", "photos", archive.name}


def test_an_encrypted_zip_is_named(own_folder, tmp_path, own_cache):
    archive = pack(tmp_path / "photos.zip", files_of(own_folder))
    content = bytearray(archive.read_bytes())
    for mark, place in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
        content[content.find(mark) + place] |= 1
    archive.write_bytes(content)
    with pytest.raises(InputError, match=r"'amber/000\.jpg' is encrypted"):
        load(archive)
    assert left_in(own_cache) == []


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        (Limits(members=10), "more than 10 members"),
        (Limits(reserve_bytes=1 << 60), "that fit on the disk"),
        (Limits(ratio=50, ratio_from_bytes=10_000), "more than 50 times as large"),
    ],
)
@pytest.mark.parametrize("ending", ["zip", "tar.xz"])
def test_limits_are_kept(tmp_path, ending, limits, expected):
    members = [(f"blue/{i}.bmp", bytes(100_000)) for i in range(12)]
    archive = pack(tmp_path / f"photos.{ending}", members)
    with pytest.raises(InputError, match=expected):
        unpack_once(archive, tmp_path / "place", limits)
    assert list((tmp_path / "place").iterdir()) == []
    folder, is_new = unpack_once(archive, tmp_path / "place", Limits(reserve_bytes=0))
    assert is_new
    assert len(list(folder.rglob("*.bmp"))) == 12


@pytest.mark.parametrize("ending", ARCHIVE_ENDINGS)
def test_a_broken_archive_is_refused(own_folder, tmp_path, own_cache, ending):
    archive = pack(tmp_path / f"photos{ending}", files_of(own_folder))
    whole = archive.read_bytes()
    middle = len(whole) // 2 // 512 * 512
    spoilt = whole[:middle] + bytes(byte ^ 0x55 for byte in whole[middle : middle + 1024])
    broken = [
        whole[:middle],
        whole[: middle + 100],
        b"",
        b"no archive",
        whole[: len(whole) - 10_300],
    ]
    if ending != ".tar":  # A plain tar has no checksum of its files' contents.
        broken.append(spoilt + whole[middle + 1024 :])
    for content in broken:
        archive.write_bytes(content)
        with pytest.raises(InputError, match="must be a whole one"):
            load(archive)
        assert left_in(own_cache) == []


@pytest.mark.parametrize("ending", [".tar", ".tar.gz", ".tar.bz2", ".tar.xz"])
def test_a_header_that_would_fill_the_memory_is_refused(own_folder, tmp_path, own_cache, ending):
    members = [*files_of(own_folder), (64 * "n", as_header), ("blue/more.jpg", b"x")]
    with pytest.raises(InputError, match=r"headers of more than 1,048,576 bytes"):
        load(pack(tmp_path / f"photos{ending}", members))
    assert left_in(own_cache) == []


# These bytes overwrite the directory, at an offset from its first entry or from the end record.
DAMAGE = {
    "a comment that takes up all other members": (b"PK\1\2", 32, None, "lists 1 members"),
    "a hidden name": (b"PK\1\2", 46, b".", "File name in directory"),
    "a folder's name": (b"PK\1\2", 46 + len("amber/000.jp"), b"/", "File name in directory"),
    "another count": (b"PK\5\6", 10, b"\21", "lists 18 members, its end says 17"),
    "a smaller directory": (b"PK\5\6", 12, b"\0\0", "a whole one"),
    "another place": (b"PK\5\6", 16, b"\0", "a whole one"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_zip_that_would_lose_pictures_is_refused(own_folder, tmp_path, own_cache, damage):
    mark, place, written, expected = DAMAGE[damage]
    archive = pack(tmp_path / "photos.zip", files_of(own_folder))
    content = archive.read_bytes()
    start = content.find(mark)
    if written is None:
        entry_bytes = 46 + len("amber/000.jpg")
        written = struct.pack("<H", content.find(b"PK\5\6") - start - entry_bytes)
    spoilt = content[: start + place] + written + content[start + place + len(written) :]
    archive.write_bytes(spoilt)
    with pytest.raises(InputError, match=expected):
        load(archive)
    assert left_in(own_cache) == []


def header(name, kind, content=b"", size=None):
    """Return a tar file's header and the content after it, filled up to whole blocks."""
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, len(content) if size is None else size
    return info.tobuf(tarfile.GNU_FORMAT) + content + bytes(-len(content) % tarfile.BLOCKSIZE)


def record(key, value):
    """Return an entry of a pax header: its length in six digits, a key and a value."""
    return b"%06d %s=%s\n" % (len(key) + len(value) + 9, key, value)


PICTURE = header("blue/1.jpg", tarfile.REGTYPE, b"x")
PADDED = header("p", tarfile.XHDTYPE, record(b"comment", bytes(900_000)))
SPARSE = header("blue/1.jpg", tarfile.REGTYPE, b"9999999\n" + b"%0100d\n" % 1 * 14_000)
PIECES = header("blue/1.jpg", tarfile.REGTYPE, bytes(700_000), size=700_000)
HEADERS = {
    "one after the other": (header("p", tarfile.XHDTYPE) * 5000 + PICTURE, "RecursionError"),
    "long names": (header("n", tarfile.GNUTYPE_LONGNAME, b"n") * 5000 + PICTURE, "RecursionError"),
    "large ones before a member": (PADDED + PADDED + PICTURE, "headers of more than 1,048,576"),
    "for all members": (
        b"".join(
            header("g", tarfile.XGLTYPE, record(b"%d" % key, bytes(900_000))) + PICTURE
            for key in range(2)
        ),
        "headers for all of more than 1,048,576",
    ),
    "a sparse file's map": (
        header(
            "p",
            tarfile.XHDTYPE,
            record(b"GNU.sparse.major", b"1") + record(b"GNU.sparse.minor", b"0"),
        )
        + SPARSE,
        "headers of more than 1,048,576",
    ),
    "a sparse file that is larger than it says": (
        header(
            "p",
            tarfile.XHDTYPE,
            record(b"GNU.sparse.map", b"0,700000") + record(b"GNU.sparse.realsize", b"9"),
        )
        + PIECES,
        "pieces of 'blue/1.jpg' of more than 9 bytes",
    ),
}


@pytest.mark.parametrize("ending", [".tar", ".tar.gz"])
@pytest.mark.parametrize("kind", HEADERS)
def test_many_headers_of_a_tar_are_refused(tmp_path, own_cache, ending, kind):
    content, expected = HEADERS[kind]
    content += bytes(2 * tarfile.BLOCKSIZE)
    archive = tmp_path / f"photos{ending}"
    archive.write_bytes(gzip.compress(content) if ending == ".tar.gz" else content)

    def load_at(depth):
        return load_at(depth - 1) if depth else load(archive)

    # tarfile calls itself for each header until the stack is full, which happens in Python or in C.
    for depth in range(5):
        with pytest.raises(InputError, match=expected):
            load_at(depth)
    assert left_in(own_cache) == []


def test_nothing_is_kept_of_headers_that_were_read(tmp_path):
    """Headers count as unpacked bytes, and none of the members stays in memory."""
    archive = tmp_path / "photos.tar.gz"
    members = [PADDED + header(f"blue/{i}.jpg", tarfile.REGTYPE, b"x") for i in range(40)]
    archive.write_bytes(gzip.compress(b"".join(members) + bytes(2 * tarfile.BLOCKSIZE)))
    tracemalloc.start()
    try:
        folder, _ = unpack_once(archive, tmp_path / "place", Limits(reserve_bytes=0))
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(list(folder.rglob("*.jpg"))) == 40
    assert peak_bytes < 10 * 900_000
    with pytest.raises(InputError, match="more than 200 times as large"):
        unpack_once(archive, tmp_path / "other", Limits(reserve_bytes=0, ratio_from_bytes=1 << 20))
