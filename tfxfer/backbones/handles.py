"""The sources of hub modules: folders, archives, addresses and Kaggle handles."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import socket
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from urllib.error import HTTPError
from urllib.parse import urlsplit

from packaging.version import parse

from tfxfer.cache.temporary import shared_temporary
from tfxfer.config.backbone import is_hub_handle
from tfxfer.errors import InputError, first_line
from tfxfer.machine.network import describe_network

_SAVED_MODEL = ("saved_model.pb", "saved_model.pbtxt")
_ARCHIVES = (".tar.gz", ".tgz", ".tar", ".zip")
_PAUSES_SECONDS = (1.0, 2.0)  # These pauses come before the second and the third attempt.
_TIMEOUT_SECONDS = 30.0


@dataclass(frozen=True)
class FoundModule:
    """A SavedModel on this machine.

    Attributes:
        folder: Where it lies.
        bytes: The size of its files.
        sha256: The hash of the names and contents of its files.
        retries: The number of failed attempts before it was fetched.
    """

    folder: Path
    bytes: int
    sha256: str
    retries: int = 0


def find_module(place: str, mirror: str | None = None) -> FoundModule:
    """Find a SavedModel, and fetch it if it is not on this machine.

    Args:
        place: A SavedModel's folder, an archive of one (.tar.gz, .tgz, .tar, .zip), an address
            (``https://tfhub.dev/…`` or that of an archive), or a Kaggle handle
            (``google/mobilenet-v2/tensorFlow2/035-128-feature-vector/2``).
        mirror: An address that is asked instead of tfhub.dev and Kaggle. It gets the path of the
            address, or the Kaggle handle, appended, and must answer with a tar.gz.

    Raises:
        InputError: There is no module, it cannot be fetched, or it is no SavedModel.
    """
    retries = 0
    if is_hub_handle(place):
        folder, retries = _fetch(place, mirror)
    elif Path(place).is_dir():
        folder = Path(place)
    elif Path(place).is_file():
        folder = _unpack(Path(place))
    else:
        raise InputError(
            "A hub module must be a SavedModel's folder, an archive of one, an address "
            "(https://tfhub.dev/…) or a Kaggle handle (owner/model/tensorFlow2/variation/1). "
            f"Received: {place!r}, which is not there. Check the path."
        )
    folder = _holding_saved_model(folder, place)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{path.relative_to(folder).as_posix()}\0{path.stat().st_size}\0".encode())
        with open(path, "rb") as file:
            while piece := file.read(1 << 20):
                digest.update(piece)
    size = sum(path.stat().st_size for path in files)
    return FoundModule(folder, size, digest.hexdigest(), retries)


def hub_cache() -> Path:
    """Return the folder of TF-Hub's cache: ``$TFHUB_CACHE_DIR``, else a temporary folder."""
    named = os.environ.get("TFHUB_CACHE_DIR")
    return Path(named) if named else shared_temporary() / "tfhub_modules"


def _holding_saved_model(folder: Path, place: str) -> Path:
    """Return the folder that holds the SavedModel: this one, or the only one in it."""
    inner = [path for path in folder.iterdir() if path.is_dir()]
    for candidate in (folder, *(inner if len(inner) == 1 else ())):
        if any((candidate / name).is_file() for name in _SAVED_MODEL):
            return candidate
    held = ", ".join(sorted(path.name for path in folder.iterdir())[:8]) or "nothing"
    raise InputError(
        f"A hub module is a SavedModel, which holds {_SAVED_MODEL[0]}. Received: {place!r}, which "
        f"holds {held}. Name the folder in which {_SAVED_MODEL[0]} lies."
    )


def _fetch(handle: str, mirror: str | None) -> tuple[Path, int]:
    """Return a module's folder, fetched now or earlier, and the number of failed attempts."""
    is_address = "://" in handle
    path = urlsplit(handle).path.strip("/") if is_address else handle
    address = f"{mirror.rstrip('/')}/{path}" if mirror else handle
    if is_address or mirror:
        if not address.startswith(("http://", "https://")) and not address.endswith(_ARCHIVES):
            raise InputError(
                "A hub module is fetched from https://, http://, or from an archive at gs://. "
                f"Received: {address!r}. Copy it into a folder, and name that."
            )
        name = hashlib.sha1(address.encode()).hexdigest()  # TF-Hub names its folders in this way.
        cached = hub_cache() / name
        if cached.is_dir() and any(cached.iterdir()):
            return cached, 0  # This spares the import of TF-Hub, which takes seconds.
        fetch: Callable[[str], tuple[str, int]] = _resolve_address
    else:
        base = os.environ.get("KAGGLEHUB_CACHE") or Path.home() / ".cache" / "kagglehub"
        version = "" if handle.rsplit("/", 1)[1].isdecimal() else "/<version>"
        cached = Path(f"{base}/models/{handle}{version}")
        fetch = _resolve_kaggle
    try:
        folder, retries = fetch(address)
        return Path(folder), retries
    # Both libraries pass on errors of any type from their HTTP clients.
    except Exception as error:
        if (cached / _SAVED_MODEL[0]).is_file():
            return cached, 0  # A user put it there, without Kaggle's mark of a complete download.
        is_open = "<version>" in cached.name
        hint = " Kaggle is asked for the newest version: add a number to spare that." * is_open
        raise InputError(
            f"The hub module {handle} could not be fetched. Tried: {address}: "
            f"{first_line(error)}.{hint}\n{describe_network()}Without a network, do one of these: "
            f"put the SavedModel's files into {cached}; name a folder or an archive that holds it "
            "(--backbone hub:PATH); or name a mirror (--set backbone.mirror=https://…)."
        ) from error


def _resolve_address(address: str) -> tuple[str, int]:
    """Let TF-Hub fetch and keep a module, and try again if a connection fails."""
    hub = _import_tensorflow_hub()
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_TIMEOUT_SECONDS)  # TF-Hub sets no timeout and might wait forever.
    try:
        for retries, pause in enumerate(_PAUSES_SECONDS):
            try:
                return hub.resolve(address), retries
            except OSError as error:
                if isinstance(error, HTTPError):
                    error.close()
                    if error.code < 500:
                        raise  # The server has answered, and would give the same answer again.
                time.sleep(pause)
        return hub.resolve(address), len(_PAUSES_SECONDS)
    finally:
        socket.setdefaulttimeout(before)


def _resolve_kaggle(handle: str) -> tuple[str, int]:
    import kagglehub

    # Kaggle's client tries again by itself and compares checksums.
    return kagglehub.model_download(handle), 0


def _import_tensorflow_hub() -> ModuleType:
    with _parse_version_at_hand():
        import tensorflow_hub
    return tensorflow_hub


@contextmanager
def _parse_version_at_hand() -> Iterator[None]:
    """Provide `pkg_resources.parse_version`, which TF-Hub 0.16.1 needs and setuptools dropped."""
    if "pkg_resources" in sys.modules or importlib.util.find_spec("pkg_resources"):
        yield
        return
    stand_in = ModuleType("pkg_resources")
    stand_in.parse_version = parse  # type: ignore[attr-defined]
    sys.modules["pkg_resources"] = stand_in
    try:
        yield
    finally:
        del sys.modules["pkg_resources"]


def _unpack(archive: Path) -> Path:
    """Unpack an archive into TF-Hub's cache, under the hash of its contents."""
    if not archive.name.endswith(_ARCHIVES):
        raise InputError(
            f"An archive of a hub module must end in {', '.join(_ARCHIVES)}. "
            f"Received: {str(archive)!r}. Name the SavedModel's folder, or pack it as tar.gz."
        )
    with open(archive, "rb") as file:
        folder = hub_cache() / hashlib.file_digest(file, "sha256").hexdigest()[:40]
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix="unpacking-", dir=folder.parent))
    try:
        if archive.name.endswith(".zip"):
            with zipfile.ZipFile(archive) as packed:
                packed.extractall(staging)  # zipfile writes no member outside of the folder.
        else:
            with tarfile.open(archive) as packed:
                packed.extractall(staging, filter="data")  # The filter refuses paths outside.
        staging.rename(folder)
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, ValueError, OSError) as error:
        if not folder.is_dir():  # Another process may have been quicker.
            raise InputError(
                f"An archive of a hub module must be whole. Received: {str(archive)!r} "
                f"({first_line(error)}). Fetch it again, or unpack it yourself and name the folder."
            ) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return folder
