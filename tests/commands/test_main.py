"""Tests of `tfxfer cache`, which shows and removes stored features."""

from __future__ import annotations

import numpy as np

from tfxfer.cache.digest import digest
from tfxfer.commands.main import main
from tfxfer.features.store import cache, shards


def test_the_cache_is_shown_and_cleared(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TFXFER_CACHE", str(tmp_path))
    about = {"network": "resnet50", "cut": "conv4_block6", "source": "photos", "changes": "seed 3"}
    kind = shards.Kind(digest("key"), (1000,), about)
    with shards.write_shard(tmp_path, kind, ["a", "b"], "float32") as append:
        append(np.zeros((2, 1000), np.float32))
    assert main(["cache"]) == 0
    printed = capsys.readouterr().out
    for expected in (*about.values(), " 2 ", "0.0 MB", str(tmp_path)):
        assert expected in printed, expected
    assert main(["cache", "--clear"]) == 0
    assert "freed" in capsys.readouterr().out
    assert cache.list_stored(tmp_path) == []


def test_another_folder_can_be_named(tmp_path, capsys):
    assert main(["cache", "--dir", str(tmp_path / "nothing")]) == 0
    assert "0.0 MB in" in capsys.readouterr().out
