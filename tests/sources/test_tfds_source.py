"""Tests of TensorFlow Datasets: prepared ones are read, and others need a network."""

from __future__ import annotations

import io
import shutil
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
import requests
import tensorflow as tf
import tensorflow_datasets as tfds
from support.feature_runs import small_run
from support.settings import data_config
from support.small import COLOURS, draw_picture

from tfxfer.backbones.blocks import resolve_unfreeze
from tfxfer.config.phases import ResolvedPhase
from tfxfer.errors import InputError
from tfxfer.features.batches import Batching
from tfxfer.features.feed import make_phase_data
from tfxfer.kinds import TASKS
from tfxfer.modalities.pictures.decode import decode_picture
from tfxfer.sources.sources import list_items
from tfxfer.training.load import load_data

pytestmark = pytest.mark.slow


def examples(count: int, offset: int):
    for index in range(count):
        label = index % len(COLOURS)
        buffer = io.BytesIO()
        draw_picture(list(COLOURS)[label], offset + index).save(buffer, "PNG")
        yield index, {"image": buffer.getvalue(), "label": label}


def store(folder, splits, label=None, shards=None, **more):
    features = tfds.features.FeaturesDict(
        {
            "image": tfds.features.Image(shape=(None, None, 3), encoding_format="png"),
            "label": label or tfds.features.ClassLabel(names=list(COLOURS)),
            **more,
        }
    )
    tfds.dataset_builders.store_as_tfds_dataset(
        name="colours",
        version="1.0.0",
        features=features,
        split_datasets=splits,
        data_dir=folder,
        config="default",
        disable_shuffling=shards is None,
        download_config=tfds.download.DownloadConfig(num_shards=shards),
    )


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    """A prepared data set with the splits train and test."""
    folder = tmp_path_factory.mktemp("tfds")
    tfds.disable_progress_bar()
    train, test = list(examples(60, 0)), list(examples(15, 1000))
    store(folder, {"train": train, "test": test})
    return folder


@pytest.fixture(scope="module")
def looks(tmp_path_factory):
    """A cache that remembers what was seen of each picture."""
    return tmp_path_factory.mktemp("looks")


def test_a_prepared_data_set_is_read_and_its_missing_split_cut(data_dir):
    config = data_config(source="tfds:colours", data_dir=str(data_dir))
    data = load_data(config, seed=0)
    assert data.classes == tuple(COLOURS)
    assert [len(s.labels) for s in (data.train, data.validation, data.test)] == [51, 9, 15]
    for split in (data.train, data.validation, data.test):
        read = [(bytes(x), int(y)) for x, y in split.encoded().as_numpy_iterator()]
        np.testing.assert_array_equal([label for _, label in read], split.labels.numbers)
        assert all(picture.startswith(b"\x89PNG") for picture, _ in read)
    train, validation = (
        {bytes(x) for x, _ in split.encoded().as_numpy_iterator()}
        for split in (data.train, data.validation)
    )
    assert not train & validation
    assert len(train | validation) == 60


@pytest.mark.parametrize("by", ["random", "hash"])
def test_folds_and_shots_of_a_data_set_have_the_labels_of_their_pictures(data_dir, looks, by):
    held_out = []
    for fold in (1, 2, 3):
        settings = {"folds": 3, "fold": fold, "shots": 5, "by": by}
        config = data_config(source="tfds:colours", data_dir=str(data_dir), **settings)
        data = load_data(config, seed=0, cache=looks)
        for part in (data.train, data.validation):
            assert [int(label) for _, label in part.encoded()] == part.labels.numbers.tolist()
        assert np.bincount(data.train.labels.numbers).tolist() == [5, 5, 5]
        held_out += [identity.name for identity in data.validation.identities()]
    assert len(held_out) == len(set(held_out)) == 60


def test_a_seed_shuffles_the_same_way_again(data_dir, looks):
    config = data_config(source="tfds:colours", data_dir=str(data_dir))
    train = load_data(config, seed=0, cache=looks).train
    orders = [[int(y) for _, y in train.encoded(s).as_numpy_iterator()] for s in (1, 1, 2)]
    assert orders[0] == orders[1] != orders[2]
    assert sorted(orders[0]) == sorted(train.labels.numbers)


def test_a_cut_of_a_cut_keeps_to_the_first(data_dir, looks):
    config = data_config(source="tfds:colours", data_dir=str(data_dir))
    train = load_data(config, seed=0, cache=looks).train
    chosen = train.choose(np.array([5, 1, 30]))
    everything = [bytes(x) for x, _ in train.encoded().as_numpy_iterator()]
    few = [bytes(x) for x, _ in chosen.encoded().as_numpy_iterator()]
    assert few == [everything[index] for index in (1, 5, 30)]


@pytest.mark.parametrize(("unfreeze", "views"), [("all", 1), (3, "stream"), (3, 1)])
def test_cut_splits_are_trained_on(
    data_dir, looks, small_backbone, small_head, tmp_path, unfreeze, views
):
    """A filtered data set does not know its length, but a phase's batches do."""
    config = data_config(source="tfds:colours", data_dir=str(data_dir))
    pictures = load_data(config, seed=0, cache=looks)
    run = small_run(small_backbone, small_head, tmp_path)
    unfreeze = resolve_unfreeze(unfreeze, small_backbone.blocks)
    phase = ResolvedPhase(name="p", unfreeze=unfreeze, epochs=1, learning_rate=1e-3, views=views,
                          mixup=0.0)  # fmt: skip
    data = make_phase_data(run, pictures, phases=[phase], batching=Batching(8))
    training = data.make_training().take(data.steps_per_epoch)
    batches = list(training.as_numpy_iterator())
    assert len(batches) == data.steps_per_epoch == int(training.cardinality())
    assert sum(len(labels) for _, labels in batches) == 48
    assert sum(map(len, data.validation())) == 9


def test_an_unknown_name_is_an_error_with_the_nearest():
    with pytest.raises(InputError, match="Did you mean 'oxford_flowers102'"):
        load_data(data_config(source="tfds:oxford_flowers_102"), seed=0)


def test_without_a_network_the_error_says_what_works(tmp_path, monkeypatch):
    asked = []

    def refuse(url, **_):
        asked.append(url)
        raise requests.ConnectionError("there is no network")

    # The downloader tries an unreachable host for minutes, and must not be begun with.
    monkeypatch.setattr(requests, "get", refuse)
    monkeypatch.setenv("https_proxy", "http://name:secret@proxy.invalid:3128")
    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", pytest.fail)
    with pytest.raises(InputError, match="could not be downloaded") as caught:
        load_data(data_config(source="tfds:oxford_flowers102", data_dir=str(tmp_path)), seed=0)
    assert len(asked) == 1, "the first host that cannot be reached ends it"
    message = str(caught.value)
    assert str(tmp_path) in message
    assert "data.reading.data_dir=" in message
    assert "--preset birds" in message
    assert "The proxy proxy.invalid:3128 was asked" in message and "secret" not in message


class Served(tfds.core.GeneratorBasedBuilder):
    """A data set of a user's own, whose address is known to nobody before it is downloaded."""

    VERSION = tfds.core.Version("1.0.0")
    pkg_dir_path = Path(__file__).parent
    address = ""

    def _info(self):
        classes = tfds.features.ClassLabel(names=list(COLOURS))
        features = {"image": tfds.features.Image(), "label": classes}
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(features), supervised_keys=("image", "label")
        )

    def _split_generators(self, dl_manager):
        folder = dl_manager.download_and_extract(self.address) / "photos"
        return {"train": self._generate_examples(folder)}

    def _generate_examples(self, folder):
        for file in sorted(folder.glob("*/*.jpg")):
            yield str(file), {"image": file, "label": file.parent.name}


def test_a_download_that_broke_off_is_said_and_goes_well_the_next_time(
    picture_folder, tmp_path, monkeypatch
):
    archive = Path(shutil.make_archive(tmp_path / "photos", "gztar", picture_folder.parent))
    content = archive.read_bytes()
    given = [content[: len(content) // 2], content]

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(given[0])

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        Thread(target=server.serve_forever).start()
        monkeypatch.setattr(Served, "address", f"http://127.0.0.1:{server.server_port}/a.tar.gz")
        config = data_config(source="tfds:served", data_dir=str(tmp_path / "tfds"))
        with pytest.raises(
            InputError, match=r"IncompleteRead.*\nIf the connection broke, say the s"
        ):
            load_data(config, seed=0)
        given.pop(0)
        assert sum(len(split.labels) for split in load_data(config, seed=0).splits.values()) == 60
        server.shutdown()


def test_a_data_set_without_class_labels_is_refused(tmp_path):
    unlabelled = [(key, {"image": e["image"], "label": b"x"}) for key, e in examples(3, 0)]
    store(tmp_path, {"train": unlabelled}, label=tfds.features.Text())
    with pytest.raises(InputError, match="one picture and one class label"):
        load_data(data_config(source="tfds:colours", data_dir=str(tmp_path)), seed=0)


def pictures_of(split):
    return [bytes(picture) for picture, _ in split.encoded().as_numpy_iterator()]


def test_expressions_choose_splits_and_names_stay(data_dir, looks):
    config = data_config(source="tfds:colours", data_dir=str(data_dir))
    whole = load_data(config, seed=0, cache=looks)
    settings = {"source": "tfds:colours", "data_dir": str(data_dir), "validation": "train[80%:]"}
    config = data_config(**settings, train="train[:80%]", test="test")
    data = load_data(config, seed=0, cache=looks)
    assert [len(s.labels) for s in (data.train, data.validation, data.test)] == [48, 12, 15]
    named = {}
    for split in (whole.train, whole.validation, whole.test):
        named |= dict(zip(split.identities(), pictures_of(split), strict=True))
    for split in (data.train, data.validation, data.test):
        # The same picture has the same identity, whichever expression chose it.
        assert [named[identity] for identity in split.identities()] == pictures_of(split)
    settings |= {"train": "train[:40%]+test[:50%]", "test": "test[50%:]"}
    mixed = load_data(data_config(**settings), seed=0, cache=looks)
    for split in (mixed.train, mixed.test):
        assert [named[identity] for identity in split.identities()] == pictures_of(split)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"train": "trian[:80%]"}, "Did you mean 'train'"),
        ({"train": "train[:80%"}, "must be an expression over the splits train, test"),
        ({"train": "train[:80%]", "test": "train[70%:]"}, "which share 6"),
        ({"label_key": "lable"}, "Did you mean 'label'"),
    ],
)
def test_an_expression_that_does_not_fit_is_refused(data_dir, changes, expected):
    config = data_config(source="tfds:colours", data_dir=str(data_dir), **changes)
    with pytest.raises(InputError, match="Received: ") as caught:
        load_data(config, seed=0)
    assert expected in str(caught.value)


def test_a_sequence_of_class_labels_gives_rows(tmp_path):
    sets = ([0], [0, 2], [], [1, 2])
    rows = [(k, {"image": e["image"], "label": sets[k % 4]}) for k, e in examples(24, 0)]
    label = tfds.features.Sequence(tfds.features.ClassLabel(names=list(COLOURS)))
    store(tmp_path, {"photos": rows}, label=label)
    settings = {"source": "tfds:colours", "data_dir": str(tmp_path)}
    with pytest.raises(InputError, match="needs a split `train`, or data"):
        load_data(data_config(**settings), seed=0)
    data = load_data(data_config(**settings, train="photos"), seed=0)
    expected = {e["image"]: np.isin(range(3), sets[k % 4]) for k, (_, e) in enumerate(rows)}
    for split in (data.train, data.validation, data.test):
        for picture, row in split.encoded().as_numpy_iterator():
            np.testing.assert_array_equal(row, expected[bytes(picture)])


@pytest.mark.parametrize("shards", [1, 5])
def test_whole_splits_give_what_tfds_load_gives_in_its_order(tmp_path, shards):
    """The bytes agree for one file and for several, which TensorFlow Datasets reads in turns."""
    splits = {"train": list(examples(60, 0)), "test": list(examples(15, 1000))}
    store(tmp_path, splits, shards=shards)
    listed = list_items(data_config(source="tfds:colours", data_dir=str(tmp_path)), TASKS).splits
    for name in splits:
        options = {"split": name, "data_dir": tmp_path}
        skip = {"image": tfds.decode.SkipDecoding()}
        plain = tfds.load("colours", decoders=skip, **options).as_numpy_iterator()
        expected = [(bytes(each["image"]), int(each["label"])) for each in plain]
        ours = [(bytes(x), int(y)) for x, y in listed[name].encoded().as_numpy_iterator()]
        assert ours == expected
        assert [label for _, label in expected] == listed[name].labels.numbers.tolist()
    decoded = tfds.load("colours", split="test", data_dir=tmp_path)
    for each, (encoded, _) in zip(decoded, ours, strict=True):
        np.testing.assert_array_equal(decode_picture(tf.constant(encoded)), each["image"])


def test_two_pictures_of_one_example_are_told_apart(tmp_path):
    """Otherwise the stored features of one picture would be taken for the other's."""
    image = tfds.features.Image(shape=(None, None, 3), encoding_format="png")
    rows = [(k, e | {"mask": e["image"]}) for k, e in examples(24, 0)]
    store(tmp_path, {"train": rows}, mask=image)
    settings = {"source": "tfds:colours", "data_dir": str(tmp_path), "label_key": "label"}
    image, mask = (
        load_data(data_config(**settings, picture_key=key), 0).train.identities()
        for key in ("image", "mask")
    )
    assert [each.name for each in image] == [each.name for each in mask]
    assert not {each.stamp for each in image} & {each.stamp for each in mask}


def test_plain_numbers_take_names_from_the_config(tmp_path):
    label = tfds.features.Scalar(np.int64)
    store(tmp_path, {"train": list(examples(24, 0))}, label=label)
    config = data_config(source="tfds:colours", data_dir=str(tmp_path), picture_key="image",
                        label_key="label", class_names=tuple(COLOURS))  # fmt: skip
    assert load_data(config, seed=0).classes == tuple(COLOURS)
