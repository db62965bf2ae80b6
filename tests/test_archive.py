"""Archives as people pack them, and bad ones: each is refused and leaves nothing behind."""

from __future__ import annotations

import io
import stat
import tarfile
import zipfile
from concurrent.futures import ThreadPoolExecutor

import pytest
from conftest import COLOURS

from tfxfer.config import DataConfig
from tfxfer.data.archive import unpack_once
from tfxfer.data.sources import load_data
from tfxfer.data.unpack import ARCHIVE_ENDINGS, LIMITS, Limits
from tfxfer.errors import InputError


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TFXFER_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def load(archive, **changes):
    return load_data(DataConfig(source=str(archive), **changes), seed=0)


def sizes(data):
    return [len(split.labels) for split in (data.train, data.validation, data.test)]


def left_in(cache):
    """What unpacking left in its folder."""
    return list((cache / "archives").iterdir()) if (cache / "archives").exists() else []


def pack(archive, members):
    """Pack members: a name with bytes, or with a function that changes the member's header."""
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
            for name, content in members:
                info = zipfile.ZipInfo(name)
                info.compress_type = zipfile.ZIP_DEFLATED
                if callable(content):
                    content(info)
                packed.writestr(info, b"x" if callable(content) else content)
        return archive
    kind = {"gz": "gz", "tgz": "gz", "bz2": "bz2", "xz": "xz"}.get(archive.suffix[1:], "")
    with tarfile.open(archive, f"w:{kind}") as packed:
        for name, content in members:
            info = tarfile.TarInfo(name)
            if callable(content):
                content(info)
                packed.addfile(info)
            else:
                info.size = len(content)
                packed.addfile(info, io.BytesIO(content))
    return archive


def files_of(folder, below=""):
    return [
        (below + path.relative_to(folder).as_posix(), path.read_bytes())
        for path in sorted(folder.rglob("*.jpg"))
    ]


@pytest.mark.parametrize("ending", ARCHIVE_ENDINGS)
@pytest.mark.parametrize("below", ["", "photos/"])
def test_an_archive_is_read_as_its_folder_is(own_folder, tmp_path, ending, below):
    archive = pack(tmp_path / f"my.photos{ending}", files_of(own_folder, below))
    data, folder = load(archive), load(own_folder)
    assert data.source == str(archive)
    assert data.classes == tuple(sorted(COLOURS))
    for split in ("train", "validation", "test"):
        ours, theirs = getattr(data, split), getattr(folder, split)
        assert [path[-12:] for path in ours.paths] == [path[-12:] for path in theirs.paths]
        assert ours.labels.tolist() == theirs.labels.tolist()


def test_it_is_unpacked_once_and_again_when_it_changed(own_folder, tmp_path, cache):
    archive = pack(tmp_path / "photos.zip", files_of(own_folder))
    first = load(archive)
    assert any("the archive was unpacked to" in note for note in first.notes)
    again = load(archive)
    assert again.train.paths == first.train.paths
    assert again.train.identities() == first.train.identities()
    assert not any("unpacked" in note for note in again.notes)
    pack(archive, [*files_of(own_folder), ("blue/more.jpg", files_of(own_folder)[6][1])])
    assert sum(sizes(load(archive))) == 19
    assert len(left_in(cache)) == 2


def test_runs_that_start_together_share_what_is_unpacked(own_folder, tmp_path):
    archive = pack(tmp_path / "photos.zip", files_of(own_folder))
    with ThreadPoolExecutor(4) as pool:
        runs = [pool.submit(unpack_once, archive, tmp_path / "place", LIMITS) for _ in range(4)]
    folders, new = zip(*(run.result() for run in runs), strict=True)
    assert len(set(folders)) == 1
    assert sum(new) == 1
    assert list((tmp_path / "place").iterdir()) == [folders[0]]


def test_splits_and_groups_are_those_of_a_folder(own_folder, tmp_path):
    members = [
        (f"photos/{split}/{name}", content)
        for name, content in files_of(own_folder)
        for split, part in (("train", "012"), ("val", "3"), ("test", "45"))
        if name[-5] in part
    ]
    data = load(pack(tmp_path / "photos.tar", members), group_pattern=r"^\w+/\w+/00\d")
    assert sizes(data) == [9, 3, 6]
    assert data.train.groups[0] == "train/amber/000"
    only_train = [m for m in members if "/train/" in m[0]]
    without = pack(tmp_path / "t.zip", [(name[7:], content) for name, content in only_train])
    assert sizes(load(without)) == [3, 3, 3]


def test_what_systems_add_is_left_out(own_folder, tmp_path, cache):
    extra = [("__MACOSX/photos/blue/._000.jpg", b"x"), ("photos/.DS_Store", b"x"), (".git/a", b"x")]
    data = load(pack(tmp_path / "photos.zip", [*files_of(own_folder, "photos/"), *extra]))
    assert sum(sizes(data)) == 18
    assert [path.name for path in left_in(cache)[0].iterdir()] == ["photos"]


def test_names_from_macos_and_windows(own_folder, tmp_path):
    (own_folder / "blue").rename(own_folder / "bléu")
    members = [(name.replace("/", "\\"), content) for name, content in files_of(own_folder)]
    archive = pack(tmp_path / "photos.zip", members)
    # The archiver of macOS writes UTF-8 without the flag that says so.
    content = archive.read_bytes()
    for mark, place in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
        start = -1
        while (start := content.find(mark, start + 1)) >= 0:
            content = content[: start + place] + b"\0\0" + content[start + place + 2 :]
    archive.write_bytes(content)
    assert load(archive).classes == ("amber", "bléu", "green")


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
    own_folder, tmp_path, cache, ending, name, content, expected
):
    archive = pack(tmp_path / f"photos.{ending}", [*files_of(own_folder), (name, content)])
    with pytest.raises(InputError, match="Received: ") as caught:
        load(archive)
    assert expected in str(caught.value)
    assert left_in(cache) == []
    assert {path.name for path in tmp_path.iterdir()} == {"cache", "photos", archive.name}


def test_an_encrypted_zip_is_named(own_folder, tmp_path, cache):
    archive = pack(tmp_path / "photos.zip", files_of(own_folder))
    content = bytearray(archive.read_bytes())
    for mark, place in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
        content[content.find(mark) + place] |= 1
    archive.write_bytes(content)
    with pytest.raises(InputError, match=r"'amber/000\.jpg' is encrypted"):
        load(archive)
    assert left_in(cache) == []


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
def test_a_broken_archive_is_refused(own_folder, tmp_path, cache, ending):
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
    if ending != ".tar":  # a plain tar has no checksum of what is in its files
        broken.append(spoilt + whole[middle + 1024 :])
    for content in broken:
        archive.write_bytes(content)
        with pytest.raises(InputError, match="must be a whole one"):
            load(archive)
        assert left_in(cache) == []


@pytest.mark.parametrize("ending", [".tar", ".tar.gz", ".tar.bz2", ".tar.xz"])
def test_a_header_that_would_fill_the_memory_is_refused(own_folder, tmp_path, cache, ending):
    members = [*files_of(own_folder), (64 * "n", as_header), ("blue/more.jpg", b"x")]
    with pytest.raises(InputError, match=r"a header of 1073741824 bytes"):
        load(pack(tmp_path / f"photos{ending}", members))
    assert left_in(cache) == []


@pytest.mark.parametrize("ending", [".tar", ".tar.xz"])
def test_how_a_tar_was_packed_is_told_by_its_content(own_folder, tmp_path, ending):
    packed = pack(tmp_path / "photos.tgz", files_of(own_folder))
    assert sum(sizes(load(packed.rename(tmp_path / f"renamed{ending}")))) == 18


def test_an_archive_that_is_not_there_and_a_folder_called_like_one(own_folder, tmp_path):
    with pytest.raises(InputError, match="which is not there"):
        load(tmp_path / "none.zip")
    assert sum(sizes(load(own_folder.rename(tmp_path / "photos.zip")))) == 18


def test_a_folder_that_cannot_be_written_to_is_named(own_folder, tmp_path, cache):
    archive = pack(tmp_path / "photos.zip", files_of(own_folder))
    cache.write_text("a file")
    with pytest.raises(InputError, match="variable TFXFER_CACHE"):
        load(archive)
