"""Tests of the free memory of a machine or a container."""

from __future__ import annotations

import gc
import os
import subprocess
import sys

import psutil
import pytest

from tfxfer.machine import runtime

pytestmark = pytest.mark.slow


@pytest.fixture
def container(tmp_path, monkeypatch):
    """A function that writes a container's limits."""
    monkeypatch.setattr(runtime, "_CGROUP", tmp_path)

    def write(limit, used, cached=None):
        (tmp_path / "memory.max").write_text(f"{limit}\n")
        (tmp_path / "memory.current").write_text(f"{used}\n")
        if cached is not None:
            (tmp_path / "memory.stat").write_text(
                f"anon 5\nactive_file 7\ninactive_file {cached}\n"
            )

    return write


def test_a_container_s_limit_counts_and_files_that_were_read_do_not(container):
    assert runtime.available_memory_bytes() <= psutil.virtual_memory().total, "no container"
    container(10_000, 4_000)
    assert runtime.available_memory_bytes() == 6_000
    container(10_000, 9_000, cached=8_000)
    assert runtime.available_memory_bytes() == 9_000
    container(10_000, 11_000)
    assert runtime.available_memory_bytes() <= 7_000
    container("max", 4_000)
    assert runtime.available_memory_bytes() > 10_000


def test_memory_is_never_less_than_nothing(container):
    container(10_000, 12_000, cached=1_000)
    assert runtime.available_memory_bytes() == 0


@pytest.mark.parametrize("state", ["enable", "disable"])
def test_garbage_collection_is_left_as_it_was(state):
    was_enabled = gc.isenabled()
    try:
        getattr(gc, state)()
        with runtime._nothing_collected():
            assert not gc.isenabled()
            before = gc.get_freeze_count()
            made = [[] for _ in range(1000)]
        assert gc.isenabled() == (state == "enable")
        assert gc.get_freeze_count() >= before + len(made)
    finally:
        (gc.enable if was_enabled else gc.disable)()


def test_what_tensorflow_makes_when_it_is_imported_is_not_collected():
    program = (
        "import gc; from tfxfer.machine import runtime; runtime.import_tensorflow(); "
        "import sys; assert 'tensorflow' in sys.modules; "
        "print(gc.isenabled(), gc.get_freeze_count() > 100_000)"
    )
    command = [sys.executable, "-c", program]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert printed.split() == ["True", "True"]


FORKING = """
import os, sys
from tfxfer.errors import InputError
from tfxfer.machine import runtime
runtime.import_tensorflow()
import tensorflow as tf
def import_in_child():
    child = os.fork()
    if child:
        _, status = os.waitpid(child, 0)
        return os.waitstatus_to_exitcode(status)
    try:
        runtime.import_tensorflow()
        os._exit(10)
    except InputError as error:
        os._exit(20 if "get_context('spawn')" in str(error) else 30)
print(import_in_child())
tf.constant(1) + 1
print(import_in_child())
runtime.import_tensorflow()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a system that forks")
def test_a_process_forked_while_tensorflow_runs_is_refused():
    """Where TensorFlow was imported and has not run yet, a forked process may run it."""
    done = subprocess.run(
        [sys.executable, "-u", "-c", FORKING], timeout=120, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["10", "20"]
