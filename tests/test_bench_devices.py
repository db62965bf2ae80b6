"""What the tools that measure devices and backends print, from real measurements of a moment."""

from __future__ import annotations

from functools import partial

import pytest
from conftest import load_tool

from tfxfer.config import HeadConfig
from tfxfer.features.split import find_cut
from tfxfer.heads import build_head
from tfxfer.phases.memory import out_of_memory

bench, backends = load_tool("bench_devices"), load_tool("compare_backends")
SECONDS = 0.05


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_until_gives_one_item_and_stops_at_its_time():
    assert list(bench.until(0.0, iter("abc"))) == ["a"]
    assert list(bench.until(60.0, iter("abc"))) == ["a", "b", "c"]


def test_a_network_has_a_row_for_each_measure(small_backbone, picture_folder, capsys):
    head = build_head(HeadConfig(), bench.CLASSES, 0)
    given = (small_backbone, head, find_cut(small_backbone, head, 1))
    paths = [str(path) for path in sorted(picture_folder.glob("*/*.jpg"))]

    def fail():
        raise out_of_memory(32, 16)

    measures = [
        ("prefix", "tensorflow", partial(bench.time_prefix, *given, "tensorflow", paths, SECONDS)),
        ("suffix", "float32", partial(bench.time_suffix, *given, "float32", 8, SECONDS)),
        ("suffix", "mixed_float16", fail),
        ("suffix", "mixed_bfloat16", lambda: (1234.5, None)),
    ]
    bench.measure_network("MobileNet", measures)
    prefix, trained, failed, last = map(cells, capsys.readouterr().out.splitlines())
    assert prefix[:3] == ["MobileNet", "prefix", "tensorflow, float32"]
    assert 0 <= int(prefix[5].removesuffix("%")) <= 100
    assert prefix[4] == trained[4] == "1.00"
    assert trained[5] == "–"
    assert "must fit in memory" in failed[3]
    assert failed[4:] == ["–", "–"]
    rate = float(trained[3].replace(",", ""))
    assert rate > 0
    assert last[3] == "1,234"
    assert float(last[4]) == pytest.approx(1234.5 / rate, abs=0.01, rel=0.01)


def test_what_a_process_fails_with_is_shown():
    with pytest.raises(SystemExit, match=r"(?s)no such preset.*code 3"):
        backends.run(["-c", "import sys; print('no such preset', file=sys.stderr); sys.exit(3)"])
