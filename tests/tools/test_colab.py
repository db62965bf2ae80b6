"""Tests that every cell of the notebook for Colab runs, without Colab and without a network."""

from __future__ import annotations

import ast
import os
import re
import sys
import zipfile
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient
from support.small import small_arguments

from tfxfer.modalities.pictures.fieldguide.folder import write_bird_folder

ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / "tools" / "colab" / "tfxfer.ipynb"


def read_notebook() -> nbformat.NotebookNode:
    return nbformat.read(NOTEBOOK, as_version=4)


def code_cells(notebook: nbformat.NotebookNode) -> dict[str, nbformat.NotebookNode]:
    return {cell.id: cell for cell in notebook.cells if cell.cell_type == "code"}


def fill_in(cell: nbformat.NotebookNode, **fields: object) -> None:
    """Give a cell's form fields other values in its source, as Colab's form does."""
    for name, value in fields.items():
        field = re.compile(rf"^{name} = .*(?=  # @param )", re.M)
        assert len(field.findall(cell.source)) == 1, name
        cell.source = field.sub(lambda _, line=f"{name} = {value!r}": line, cell.source)


def text_of(cell: nbformat.NotebookNode) -> str:
    """Return the text that a cell has printed."""
    return "".join(output.text for output in cell.outputs if output.output_type == "stream")


def data_of(cell: nbformat.NotebookNode, kind: str) -> str:
    """Return the output of a cell with a MIME type."""
    return "".join(output.data.get(kind, "") for output in cell.outputs if "data" in output)


def write_nvidia_smi(folder: Path) -> Path:
    """Write a program that answers like NVIDIA's on a machine with a GPU."""
    folder.mkdir()
    (folder / "nvidia-smi").write_text("#!/bin/sh\necho GPU 0: Tesla T4\n")
    (folder / "nvidia-smi").chmod(0o755)
    return folder


@pytest.fixture(scope="module")
def executed(tmp_path_factory, weights_file):
    """The notebook after a run that only its form fields make small, and the run's folder."""
    folder = tmp_path_factory.mktemp("colab")
    (folder / "tmp").mkdir()
    notebook = read_notebook()
    cells = code_cells(notebook)
    photos = small_arguments(weights_file)
    birds = photos["settings"] | {
        "data.source": str(write_bird_folder(folder / "birds", species=3, pictures=6)),
        "backbone.name": photos["backbone"],
        "backbone.weights": str(photos["weights"]),
        "backbone.alpha": None,
    }
    fill_in(cells["birds"], SETTINGS=birds)
    fill_in(
        cells["plan"],
        BACKBONE=photos["backbone"],
        WEIGHTS=str(photos["weights"]),
        SETTINGS=photos["settings"],
    )
    programs = write_nvidia_smi(folder / "bin"), Path(sys.executable).parent, os.environ["PATH"]
    environment = {name: value for name, value in os.environ.items() if name != "KERAS_BACKEND"} | {
        "PATH": os.pathsep.join(map(str, programs)),
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ["PYTHONPATH"]]),
        "CUDA_VISIBLE_DEVICES": "-1",
        "PIP_NO_INDEX": "1",  # Missing packages cannot be installed.
        "TMPDIR": str(folder / "tmp"),  # TensorBoard looks for other instances there.
        "IPYTHONDIR": str(folder / "ipython"),
    }
    client = NotebookClient(notebook, timeout=200, resources={"metadata": {"path": str(folder)}})
    client.execute(env=environment)
    return cells, folder


@pytest.mark.slow
def test_every_code_cell_runs_and_shows_something(executed):
    cells, _ = executed
    assert [cell.execution_count for cell in cells.values()] == list(range(1, len(cells) + 1))
    for name, cell in cells.items():
        assert cell.outputs, name
        noise = [output for output in cell.outputs if output.get("name") == "stderr"]
        assert not noise, (name, noise)


@pytest.mark.slow
def test_a_gpu_that_cannot_be_used_is_told_of_and_the_cpu_taken(executed):
    printed = text_of(executed[0]["set-up"])
    for row in ("gpu by tensorflow", "gpu by jax"):
        assert re.search(rf"^{row}: .*\n  does not work: .+", printed, re.M), printed
    chosen = printed.splitlines()[-1]
    assert chosen.startswith("Chosen: cpu by tensorflow; tfxfer ")
    assert "keras 3." in chosen and "tensorflow 2." in chosen
    assert "Keras on tensorflow" in text_of(executed[0]["doctor"])


@pytest.mark.slow
def test_the_cells_leave_what_they_say(executed):
    cells, folder = executed
    for name, run in {"birds": "birds", "train-photos": "photos"}.items():
        assert re.search(r"^Test accuracy [01]\.\d{3}, 95 % interval", text_of(cells[name]), re.M)
        assert (folder / "runs" / run / "metrics.json").is_file()
    assert "<iframe" in data_of(cells["tensorboard"], "text/html"), "TensorBoard has started"
    assert data_of(cells["predict"], "image/png")
    assert "no Drive to mount" in text_of(cells["photos"])
    assert "drawn birds stand in" in text_of(cells["photos"])
    assert "nothing wrong, odd or twice was found" in text_of(cells["plan"])
    assert "42 train, 9 validation, 9 test" in text_of(cells["plan"])
    assert (folder / "runs" / "photos" / "export" / "model_float32.tflite").is_file()
    archive = folder / "runs-photos.zip"
    assert str(archive) in text_of(cells["download"])
    assert {"metrics.json", "model.keras", "export/model_float32.tflite"} <= set(
        zipfile.ZipFile(archive).namelist()
    )


def set_up() -> dict:
    """Return the functions and tables of the first cell without its actions."""
    tree = ast.parse(code_cells(read_notebook())["set-up"].source)
    kept = (ast.Import, ast.ImportFrom, ast.FunctionDef)
    tree.body = [
        node
        for node in tree.body
        if isinstance(node, kept)
        or (isinstance(node, ast.Assign) and ast.unparse(node.targets[0]).isupper())
    ]
    names: dict = {}
    exec(compile(tree, str(NOTEBOOK), "exec"), names)
    return names


@pytest.mark.parametrize(
    ("file", "variable", "has_program", "expected"),
    [
        (None, None, False, ["cpu"]),
        (None, None, True, ["cpu", "gpu"]),
        ("dev/accel0", None, False, ["cpu", "tpu"]),
        ("dev/vfio/0", None, False, ["cpu", "tpu"]),
        ("dev/vfio/vfio", None, False, ["cpu"]),  # Any machine that passes devices on has this.
        (None, "TPU_NAME", True, ["cpu", "gpu", "tpu"]),
    ],
)
def test_devices_are_found_by_files_variables_and_programs(
    file, variable, has_program, expected, tmp_path, monkeypatch
):
    for name in ("TPU_NAME", "COLAB_TPU_ADDR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    if has_program:
        write_nvidia_smi(tmp_path / "bin")
    if variable:
        monkeypatch.setenv(variable, "local")
    if file:
        (tmp_path / file).parent.mkdir(parents=True)
        (tmp_path / file).touch()
    assert set_up()["find_devices"](tmp_path) == expected


def test_a_driver_without_a_gpu_is_none(tmp_path, monkeypatch):
    program = write_nvidia_smi(tmp_path / "bin") / "nvidia-smi"
    program.write_text("#!/bin/sh\necho No devices were found\nexit 6\n")
    monkeypatch.setenv("PATH", str(program.parent))
    assert "gpu" not in set_up()["find_devices"](tmp_path)


def test_keras_has_the_last_word_on_a_device(monkeypatch, capsys):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    names = set_up()
    names |= {"SOURCE": "packaging", "TESTED": [("gpu", "jax", [])]}  # It is there and needs none.
    with pytest.raises(RuntimeError, match="Received: 'packaging'"):
        names["choose"](["cpu", "gpu"])
    assert "does not work: Keras sees cpu:0 alone" in capsys.readouterr().out


def test_a_package_that_was_replaced_in_memory_asks_for_a_restart(monkeypatch):
    check_loaded = set_up()["check_loaded"]
    check_loaded()
    monkeypatch.setattr(np, "__version__", "1.26.4")
    with pytest.raises(RuntimeError, match=r"numpy.*Restart session"):
        check_loaded()


def test_the_versions_of_the_notebook_are_those_that_were_tested():
    constraints = (ROOT / "tools" / "constraints.txt").read_text(encoding="utf-8").splitlines()
    tested = {package for _, _, packages in set_up()["TESTED"] for package in packages}
    for package in tested - {"jax[tpu]>=0.7,<0.11.2"}:
        assert re.sub(r"\[.*\]", "", package) in constraints


def test_the_notebook_is_kept_without_outputs():
    nbformat.validate(read_notebook())
    for name, cell in code_cells(read_notebook()).items():
        assert (cell.outputs, cell.execution_count) == ([], None), name
