"""Functions that pack archives, and that list the files left after unpacking."""

from __future__ import annotations

import io
import tarfile
import zipfile

from support.settings import data_config

from tfxfer.training.load import load_data


def load(archive, **changes):
    return load_data(data_config(source=str(archive), **changes), seed=0)


def sizes(data):
    return [len(split.labels) for split in (data.train, data.validation, data.test)]


def left_in(cache):
    """Return the files that unpacking left in its folder."""
    return list((cache / "archives").iterdir()) if (cache / "archives").exists() else []


def pack(archive, members):
    """Pack members; each name has bytes, or a function that changes the member's header."""
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
