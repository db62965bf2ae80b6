"""Tests of the doctor, which names the problems of an installation and what to do."""

from __future__ import annotations

import pytest

import tfxfer
from tfxfer.commands import checks
from tfxfer.commands.main import main
from tfxfer.machine.devices import find_device
from tfxfer.phases.precision import list_candidates


def test_an_installation_that_works_has_no_errors(capsys):
    assert main(["doctor"]) == 0
    printed = capsys.readouterr().out
    for name in ("python", "packages", "backend", "device", "engines", "memory", "cache", "hubs"):
        assert name in printed
    assert ", ".join(list_candidates(find_device())) in printed
    assert "0 errors" in printed


@pytest.mark.parametrize(
    ("name", "value"),
    [("TF_USE_LEGACY_KERAS", "1"), ("KERAS_BACKEND", "torch"), ("TF_ENABLE_ONEDNN_OPTS", "0")],
)
def test_settings_that_harm_are_named(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    (found,) = checks.check_environment()
    assert found.status == "error"
    assert found.found.startswith(f"{name}={value} ") and name in found.fix


def test_a_cache_that_cannot_be_written_is_named(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TFXFER_CACHE", str(tmp_path / "file" / "cache"))
    by_name = {check.name: check for check in checks.check_room()}
    assert by_name["cache"].status == "error"
    assert "TFXFER_CACHE" in by_name["cache"].fix
    monkeypatch.setenv("TFXFER_CACHE", str(tmp_path / "new" / "folder"))
    by_name = {check.name: check for check in checks.check_room()}
    assert by_name["cache"].status in ("ok", "warning")
    assert not (tmp_path / "new").exists()


def test_hosts_that_are_out_of_reach_have_a_way_round(monkeypatch):
    monkeypatch.setattr(checks, "HUBS", {"host.invalid": ("weights", "name a file")})
    (found,) = checks.check_hubs()
    assert (found.status, found.fix) == ("warning", "without a network, name a file")


def test_versions_that_do_not_go_together_are_named(monkeypatch):
    assert list(checks.check_pairs()) == []
    pair = ("keras", ">=3", "numpy", ">=2", "they are tested here")
    monkeypatch.setattr(checks, "BAD_PAIRS", (pair,))
    (found,) = checks.check_pairs()
    assert found.status == "error" and "they are tested here" in found.found


def test_a_check_that_breaks_is_a_finding(monkeypatch):
    def check_nothing():
        raise RuntimeError("libnone.so: cannot open")

    monkeypatch.setattr("tfxfer.commands.doctor.CHECKS", (check_nothing,))
    (found,) = tfxfer.doctor(quiet=True)
    assert found.status == "error"
    assert "nothing" in found.name and "libnone.so" in found.found
