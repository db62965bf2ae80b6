"""Tests of the output of tools that measure devices and backends, from short measurements."""

from __future__ import annotations

import subprocess
import sys
from functools import partial

import pytest
from support.small import load_tool
from support.spreading import QUICKLY

from tfxfer.config.head import HeadConfig
from tfxfer.errors import InputError
from tfxfer.features.cut import find_cut
from tfxfer.phases.memory import out_of_memory
from tfxfer.tasks.heads import build_head

bench, backends = load_tool("bench_devices"), load_tool("compare_backends")
ahead = load_tool("compile_ahead")  # It imports the first of them.
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


@pytest.mark.slow
def test_what_a_run_computes_is_compiled_ahead():
    """The target is this machine's CPU, whose compiler needs no other package."""
    given = ["cpu", "--networks", "TinyNet", "--size", "32", "--batch", "4"]
    done = subprocess.run(
        [sys.executable, ahead.__file__, *given], env=QUICKLY, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    rows = [cells(line) for line in done.stdout.splitlines() if line.startswith("| TinyNet")]
    assert [tuple(row[1:4]) for row in rows] == [
        (part, arithmetic, "1")
        for part in ("prefix", "suffix")
        for arithmetic in ("float32", "mixed_bfloat16", "mixed_float16")
    ]
    assert rows[0][4].startswith("f32 ") and rows[3][4].startswith("f32 ")
    assert all(float(row[5].removesuffix(" MiB")) > 0 for row in rows)


def test_a_compiler_that_is_missing_is_named(monkeypatch):
    monkeypatch.setattr(ahead, "find_spec", lambda package: None)
    with pytest.raises(InputError, match=r"pip install .jax\[tpu\]"):
        ahead.prepare_environment("v5e")
    with pytest.raises(InputError, match=r"pip install .jax\[cuda13\]"):
        ahead.prepare_environment("h100")


def test_products_are_counted_by_their_type():
    program = """
      %a = f16[8,14,14,96]{3,2,1,0} convolution(f16[8,14,14,16] %x, f16[1,1,16,96] %w), window={}
      %b = (bf16[8,64]{1,0}, s8[32]{0}) custom-call(%y), custom_call_target="__cublas$gemm"
      %c = (f16[8,7,7,9]{3,2,1,0}, u8[16]{0}) custom-call(%z), custom_call_target="__cudnn$conv"
      %d = f32[8]{0} custom-call(%y), custom_call_target="TopK"
      ROOT %e = f32[8,10]{1,0} dot(%u, %v), lhs_contracting_dims={1}
      %f = f32[8,10]{1,0} add(%e, %e)
    """
    assert ahead.count_products(program) == {"f16": 2, "bf16": 1, "f32": 1}
