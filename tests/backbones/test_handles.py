"""Hub modules are found in folders and archives, fetched, and kept."""

from __future__ import annotations

import hashlib
import tarfile
import threading
import zipfile
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tfxfer.backbones import handles
from tfxfer.backbones.handles import find_module
from tfxfer.errors import InputError


@pytest.fixture
def module(tmp_path) -> Path:
    """A folder that looks like a SavedModel; no test here loads it."""
    folder = tmp_path / "module"
    (folder / "variables").mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(b"graph" * 100)
    (folder / "variables" / "variables.index").write_bytes(b"index")
    return folder


@pytest.fixture(autouse=True)
def hub_cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path / "hub"))
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path / "kaggle"))
    return tmp_path / "hub"


def pack(folder: Path, path: Path) -> Path:
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            for file in folder.rglob("*"):
                archive.write(file, file.relative_to(folder))
    else:
        with tarfile.open(path, "w:gz") as archive:
            archive.add(folder, arcname=".")
    return path


@pytest.fixture
def server(module, tmp_path):
    """A server that answers with the module, after as many failures as a test asks for."""
    packed = pack(module, tmp_path / "served.tar.gz").read_bytes()

    class Handler(BaseHTTPRequestHandler):
        failures: list[int] = []  # noqa: RUF012
        asked: list[str] = []  # noqa: RUF012

        def do_GET(self):
            self.asked.append(self.path)
            if self.failures:
                self.send_error(self.failures.pop(0))
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(packed)))
            self.end_headers()
            self.wfile.write(packed)

        def log_message(self, *arguments):
            pass

    Handler.failures, Handler.asked = [], []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    Handler.address = f"http://127.0.0.1:{server.server_port}"
    yield Handler
    server.shutdown()
    server.server_close()


def test_a_folder_is_taken_where_it_lies(module):
    found = find_module(str(module))
    assert (found.folder, found.bytes) == (module, 505)
    (module / "saved_model.pb").write_bytes(b"other" * 100)
    assert find_module(str(module)).sha256 != found.sha256


@pytest.mark.parametrize("name", ["module.tar.gz", "module.zip"])
def test_an_archive_is_unpacked_once(module, tmp_path, hub_cache, name):
    packed = pack(module, tmp_path / name)
    found = find_module(str(packed))
    assert found.sha256 == find_module(str(module)).sha256
    assert found.folder.parent == hub_cache
    (found.folder / "mark").touch()
    assert (find_module(str(packed)).folder / "mark").exists()


def test_a_folder_around_the_saved_model_is_looked_into(module, tmp_path):
    with tarfile.open(tmp_path / "module.tgz", "w:gz") as archive:
        archive.add(module, arcname="some_module")
    assert find_module(str(tmp_path / "module.tgz")).folder.name == "some_module"


def test_an_archive_that_leads_outside_is_refused(module, tmp_path, hub_cache):
    with tarfile.open(tmp_path / "bad.tar", "w") as archive:
        archive.add(module / "saved_model.pb", arcname="../../escaped.pb")
    with pytest.raises(InputError, match=r"must be whole. Received: .*bad.tar"):
        find_module(str(tmp_path / "bad.tar"))
    assert not list(tmp_path.rglob("escaped.pb"))
    assert not list(hub_cache.iterdir())


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda path: path, "which is not there. Check the path"),
        (lambda path: path.mkdir(), "holds nothing"),
        (lambda path: path.write_text("x"), "must end in .tar.gz"),
    ],
)
def test_what_is_no_module_is_named(tmp_path, make, expected):
    make(tmp_path / "it")
    with pytest.raises(InputError, match=expected):
        find_module(str(tmp_path / "it"))


def test_a_broken_archive_is_named(tmp_path):
    (tmp_path / "cut.tar.gz").write_bytes(b"\x1f\x8b\x08 no archive")
    with pytest.raises(InputError, match=r"must be whole. Received: .*cut.tar.gz"):
        find_module(str(tmp_path / "cut.tar.gz"))


@pytest.mark.slow  # It imports tensorflow_hub, and with it tf_keras.
def test_a_mirror_is_asked_again_after_failures_and_only_once_after_success(
    server, module, monkeypatch
):
    monkeypatch.setattr(handles, "_PAUSES_SECONDS", (0.01, 0.01))
    server.failures += [503, 503]
    handle = "https://tfhub.dev/someone/features/1"
    found = find_module(handle, server.address + "/mirror/")
    assert found.sha256 == find_module(str(module)).sha256
    assert server.asked == ["/mirror/someone/features/1?tf-hub-format=compressed"] * 3
    again = find_module(handle, server.address + "/mirror/")
    assert found.retries == 2
    assert again == replace(found, retries=0)
    assert len(server.asked) == 3
    # The mirror is asked for a Kaggle handle in the same way.
    kaggle = "someone/features/tensorFlow2/small/1"
    assert find_module(kaggle, server.address).sha256 == found.sha256
    assert server.asked[-1] == f"/{kaggle}?tf-hub-format=compressed"


@pytest.mark.slow
def test_an_answer_is_not_asked_for_again(server, hub_cache):
    server.failures += [404]
    with pytest.raises(InputError, match=r"could not be fetched.*404") as caught:
        find_module(f"{server.address}/none/1")
    assert len(server.asked) == 1
    name = hashlib.sha1(f"{server.address}/none/1".encode()).hexdigest()
    assert f"put the SavedModel's files into {hub_cache / name}" in str(caught.value)


@pytest.mark.slow
def test_without_a_network_the_folder_to_fill_is_named_and_works(module, hub_cache, monkeypatch):
    monkeypatch.setattr(handles, "_PAUSES_SECONDS", (0.01, 0.01))
    handle = "http://127.0.0.1:9/someone/features/1"  # No server listens there.
    with pytest.raises(InputError, match="put the SavedModel's files into") as caught:
        find_module(handle)
    folder = Path(str(caught.value).split("files into ")[1].split(";")[0])
    folder.parent.mkdir(parents=True, exist_ok=True)
    module.rename(folder)
    assert find_module(handle).folder == folder


@pytest.mark.slow  # Kaggle's client asks the network first.
def test_a_kaggle_module_that_was_put_into_the_cache_is_taken(module, tmp_path):
    handle = "someone/features/tensorFlow2/small/1"
    with pytest.raises(InputError, match="put the SavedModel's files into") as caught:
        find_module(handle)
    folder = Path(str(caught.value).split("files into ")[1].split(";")[0])
    assert folder == tmp_path / "kaggle" / "models" / handle
    folder.parent.mkdir(parents=True, exist_ok=True)
    module.rename(folder)
    assert find_module(handle).folder == folder


def test_other_addresses_are_refused():
    with pytest.raises(InputError, match=r"archive at gs://. Received: 's3://bucket/module'"):
        find_module("s3://bucket/module")
