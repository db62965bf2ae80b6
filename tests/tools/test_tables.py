"""Tests that tables of measurements are written by the tools that measure them."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import pytest
from support.small import ROOT, load_tool

tables = load_tool("tables")
TWO_PHASE = load_tool("bench_two_phase")
TABLES = {
    name: (path, command, rows)
    for path in tables.list_documents()
    for name, command, rows in tables.list_tables(path)
}
# A figure has a unit, or is a score or a ratio.
FIGURE = re.compile(
    r"\b\d[\d,.]* ?(s|ms|min|MB|MiB|GiB|times|pictures a second)\b|\b0\.\d{3}\b|\d → \d"
)


def document(tmp_path: Path, table: str) -> Path:
    path = tmp_path / "page.md"
    path.write_text(
        f"above\n\n<!-- measured: tools/x.py A --write x -->\n{table}<!-- end -->\n\nx\n"
    )
    return path


def test_a_row_replaces_the_one_of_its_name_and_others_stay(tmp_path):
    path = document(tmp_path, "| | time |\n|---|---|\n| a | 1 s |\n| b | 2 s |\n")
    tables.write_table(path, "x", [["", "seconds"], ["b", "3 s"], ["c", "4 s"]])
    assert path.read_text() == (
        "above\n\n<!-- measured: tools/x.py A --write x -->\n"
        "| | seconds |\n|---|---|\n| a | 1 s |\n| b | 3 s |\n| c | 4 s |\n<!-- end -->\n\nx\n"
    )


def test_a_table_of_another_width_is_replaced(tmp_path):
    path = document(tmp_path, "| | time |\n|---|---|\n| a | 1 s |\n")
    tables.write_table(path, "x", [["n", "p", "q"], ["b", "3 s", ""]])
    (found,) = tables.list_tables(path)
    assert found == ("x", "tools/x.py A", [["n", "p", "q"], ["b", "3 s", ""]])


def test_of_a_whole_table_no_earlier_row_stays(tmp_path):
    path = document(tmp_path, "| | time |\n|---|---|\n| a | 1 s |\n| b | 2 s |\n")
    tables.write_table(path, "x", [["", "time"], ["c", "4 s"], ["b", "3 s"]], is_whole=True)
    (found,) = tables.list_tables(path)
    assert found == ("x", "tools/x.py A", [["", "time"], ["c", "4 s"], ["b", "3 s"]])


@pytest.mark.parametrize(("name", "row"), [("y", ["b", "3 s"]), ("x", ["b"])])
def test_what_does_not_fit_a_table_is_refused(tmp_path, name, row):
    path = document(tmp_path, "| | time |\n|---|---|\n| a | 1 s |\n")
    before = path.read_text()
    with pytest.raises(ValueError, match="Received: name="):
        tables.write_table(path, name, [["", "time"], row])
    assert path.read_text() == before


def test_a_wrong_name_ends_a_tool_before_it_measures(capsys):
    parser = argparse.ArgumentParser()
    tables.add_write(parser, "speeds", "recipes")
    assert parser.parse_args(["--write", "speeds-amx", "recipes"]).write == [
        "speeds-amx",
        "recipes",
    ]
    for name, said in (("formats", "must begin with"), ("speeds-none", "must have a table")):
        with pytest.raises(SystemExit):
            parser.parse_args(["--write", name])
        assert said in capsys.readouterr().err


def test_a_table_that_is_written_as_it_was_stays_as_it_is(tmp_path):
    for path in tables.list_documents():
        copy = tmp_path / path.name
        copy.write_text(path.read_text(encoding="utf-8"), encoding="utf-8")
        for name, _, rows in tables.list_tables(path):
            tables.write_table(copy, name, rows)
        assert copy.read_text(encoding="utf-8") == path.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", sorted(TABLES))
def test_a_table_names_a_tool_that_writes_it(name):
    _, command, rows = TABLES[name]
    tool, *given = command.split()
    source = (ROOT / tool).read_text(encoding="utf-8")
    kinds = re.findall(r'"(\w+)"', re.search(r"add_write\(parser, (.*?)\)", source)[1])
    assert name.partition("-")[0] in kinds
    assert not [word for word in given if word.startswith("--") and f'"{word}"' not in source]
    assert len(rows) > 1


def test_every_table_of_figures_is_written_by_a_tool():
    for path in tables.list_documents():
        text = re.sub(r"<!-- measured: .*?<!-- end -->", "", path.read_text("utf-8"), flags=re.S)
        for table in re.findall(r"(?:^\|.*\n)+", text, re.M):
            cells = [cell for row in tables.read_rows(table)[1:] for cell in row[1:]]
            assert not list(filter(FIGURE.search, cells)), f"{path.name}: {table}"


def test_a_document_has_the_table_that_its_figures_give():
    def result(seconds, head_seconds, *tests, peak):
        points = [{"seconds": head_seconds, "test": tests[0]}, {"seconds": 0, "test": tests[-1]}]
        return {"seconds": seconds, "points": points, "head": 0, "peak_memory_bytes": peak * 2**30}

    figures = {
        "tfxfer, seed 0": result(95, 18, 0.89, 0.93, peak=2.7),
        "tfxfer, seed 1": result(99, 18, 0.89, 0.935, peak=2.7),
        "tfxfer, seed 2": result(91, 18, 0.89, 0.93, peak=2.7),
        "careful": result(240, 31, 0.874, 0.927, peak=1.7),
        "standard": result(720, 330, 0.871, 0.871, peak=1.9),
    }
    assert TWO_PHASE.list_recipes(figures, (0, 1, 2)) == TABLES["recipes"][2]


def test_the_other_tools_give_the_columns_of_their_tables():
    speeds = {
        "prefix": {"ResNet50": {"keras": 24.4, "engine": 201.0}},
        "epoch": {"blocks": 4, "whole": 39.5, "cut": 8.4},
    }
    head, network, epoch = TWO_PHASE.list_speeds(speeds)
    assert [head, network, epoch] == [TABLES["speeds-amx"][2][row] for row in (0, 3, 4)]
    balance = load_tool("bench_imbalance").list_rows({"none": [0.86, 0.862], "sampling": [0.873]})
    assert balance == [TABLES["balance-head"][2][row] for row in (0, 1, 3)]
    assert load_tool("bench_search").list_rows(183, 1223) == TABLES["search"][2]
    scale = {"pictures": 50_000, "seconds": 129.1, "peak_memory_bytes": 1.2 * 2**30}
    assert load_tool("bench_scale").list_rows([scale]) == TABLES["scale"][2]
    presets = load_tool("time_presets")
    assert list(presets.HEADER) == TABLES["presets"][2][0]
    assert presets.list_cells("malaria", 2100)[2:] == TABLES["presets"][2][-1][2:]
    assert list(load_tool("bench_formats").HEADER) == TABLES["formats"][2][0]
    settings = load_tool("compare_settings")
    assert settings.list_means([], [])[0] == TABLES["means-photographs"][2][0]
    assert settings.list_seeds([], [], "0, 1, 2")[0] == TABLES["seeds-birds"][2][0]
    assert [settings.say_seconds(seconds) for seconds in (22, 180)] == ["22 s", "3 min"]
