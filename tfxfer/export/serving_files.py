"""The files of a model server besides the model: complete version folders, and settings."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

MODELS_CONFIG, BATCHING, COMPOSE = "models.config", "batching.config", "docker-compose.yml"
# Requests that come within this time are run together; it is short beside a picture's own time.
_BATCH_TIMEOUT_MICROS = 2000
# A batch has at most so many pictures: larger ones gain nothing on a CPU, and each picture waits
# for the whole batch.
_MAX_BATCH = 32
# So many batches may wait for each core. Further requests are refused, because otherwise none would
# be answered in time.
_WAITING_BATCHES = 100

_COMPOSE_TEXT = """\
# docker compose up    (in this folder; TFSERVING_IMAGE names another image)
services:
  {name}:
    image: ${{TFSERVING_IMAGE:-tensorflow/serving:latest}}
    command:
      - --model_config_file=/models/{name}/{models}
      - --enable_batching=true
      - --batching_parameters_file=/models/{name}/{batching}
    ports:
      - "8500:8500"  # gRPC
      - "8501:8501"  # REST
    volumes:
      - .:/models/{name}:ro
    restart: unless-stopped
"""


@contextmanager
def new_version(base: Path) -> Iterator[tuple[Path, Path]]:
    """Give a folder to write a model to, which gets its name in `base` when it is complete.

    A model server loads every folder whose name is a number as soon as it appears. So the model is
    written to a folder of another name, which is renamed at the end.

    Returns:
        The folder to write to, and its later path, whose number follows the largest present one.
    """
    base.mkdir(parents=True, exist_ok=True)
    numbers = [int(path.name) for path in base.iterdir() if path.name.isdecimal()]
    target = base / str(max(numbers, default=0) + 1)
    staging = Path(tempfile.mkdtemp(prefix=".version-", dir=base))
    staging.chmod(0o755)  # With mkdtemp's 0700, a model server of another user could not read it.
    try:
        yield staging, target
        staging.rename(target)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise


def write_serving_files(base: Path, name: str) -> None:
    """Write the settings of TensorFlow Serving for the models below a folder.

    ``models.config`` names the model, ``batching.config`` fits this machine's cores, and
    ``docker-compose.yml`` starts the server with both. Existing files are left alone, because
    people edit them.
    """
    config = model_server_config_pb2.ModelServerConfig()
    model = config.model_config_list.config.add()
    model.name, model.base_path, model.model_platform = name, f"/models/{name}", "tensorflow"
    cores = os.cpu_count() or 1
    batching = {
        "max_batch_size": _MAX_BATCH,
        "batch_timeout_micros": _BATCH_TIMEOUT_MICROS,
        "num_batch_threads": cores,
        "max_enqueued_batches": cores * _WAITING_BATCHES,
    }
    texts = {
        MODELS_CONFIG: text_format.MessageToString(config),
        BATCHING: "".join(f"{key} {{ value: {value} }}\n" for key, value in batching.items()),
        COMPOSE: _COMPOSE_TEXT.format(name=name, models=MODELS_CONFIG, batching=BATCHING),
    }
    for file, text in texts.items():
        if not (base / file).exists():
            (base / file).write_text(text, encoding="utf-8")
