"""A TensorFlow Datasets builder that renders the embedded pictures and downloads nothing."""

from __future__ import annotations

import contextlib
import dataclasses
import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds

from tfxfer.modalities.pictures.fieldguide.parallel import GROUPS, render_all

IMAGE_SIZE_PX = 128
# These numbers are part of every picture's seed, so that no two streams share a picture.
_GROUP_STREAMS = {"target": 1, "source": 2}
_SPLIT_STREAMS = {"train": 1, "validation": 2, "test": 3, "folder": 4}


@dataclasses.dataclass(eq=False)
class FieldguideConfig(tfds.core.BuilderConfig):
    """The species, and the number of pictures of each in a split.

    `group` is "target" (12 species) or "source" (the species for pretraining);
    `pictures_per_species` maps "train", "validation" and "test" to a count.
    """

    group: str = "target"
    pictures_per_species: Mapping[str, int] = dataclasses.field(default_factory=dict)


class FieldguideBirds(tfds.core.GeneratorBasedBuilder):
    """Invented bird species: `image` uint8 [128, 128, 3] 0…255 and `label` int64."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "Twelve target and 160 source species."}  # noqa: RUF012
    BUILDER_CONFIGS = [  # noqa: RUF012
        FieldguideConfig(
            name="target",
            description="Twelve species to learn, some of them hard to tell apart.",
            pictures_per_species={"train": 40, "validation": 10, "test": 40},
        ),
        FieldguideConfig(
            name="source",
            description="The species that the embedded backbone was pretrained on.",
            group="source",
            pictures_per_species={"train": 120, "validation": 10},
        ),
    ]

    def _info(self) -> tfds.core.DatasetInfo:
        names = [species.name for species in GROUPS[self.builder_config.group]]
        return tfds.core.DatasetInfo(
            builder=self,
            description=(
                "Pictures of birds that do not exist, drawn by tfxfer in the manner of a field "
                "guide. A species is a fixed set of traits; pose, place, light, occlusion and "
                "picture quality vary."
            ),
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(
                        shape=(IMAGE_SIZE_PX, IMAGE_SIZE_PX, 3), encoding_format="jpeg"
                    ),
                    "label": tfds.features.ClassLabel(names=names),
                }
            ),
            supervised_keys=("image", "label"),
            homepage="",
            citation="@misc{tfxfer_fieldguide, title={tfxfer fieldguide: invented birds}}",
            license="Apache-2.0",
            disable_shuffling=False,
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator[tuple[str, dict]]]:
        del dl_manager  # Nothing is downloaded.
        group = self.builder_config.group
        places = [
            (split, index, picture)
            for split, count in self.builder_config.pictures_per_species.items()
            for index in range(len(GROUPS[group]))
            for picture in range(count)
        ]
        # All splits are rendered together, so that the rendering processes start only once.
        orders = [(group, place[1], picture_seed(group, *place)) for place in places]
        examples: dict[str, list[tuple[str, dict]]] = {}
        for place, image in zip(places, render_all(orders, IMAGE_SIZE_PX), strict=True):
            split, index, picture = place
            name = GROUPS[group][index].name
            example = {"image": image, "label": name}
            examples.setdefault(split, []).append((f"{name}_{picture:05d}", example))
        return {split: iter(listed) for split, listed in examples.items()}

    def _generate_examples(self, examples: Iterator[tuple[str, dict]]) -> Iterator:
        return examples  # TFDS requires this method; the method above makes the splits.


def picture_seed(group: str, split: str, species_index: int, picture: int) -> list[int]:
    """Return the seed of one picture, which does not depend on what else is rendered."""
    return [_GROUP_STREAMS[group], _SPLIT_STREAMS[split], species_index, picture]


def prepare_fieldguide(
    data_dir: str | Path | None, config: str | FieldguideConfig = "target"
) -> FieldguideBirds:
    """Render the data set quietly below `data_dir`, or TFDS's own folder, unless it is there."""
    place = None if data_dir is None else str(data_dir)
    builder = FieldguideBirds(config=config, data_dir=place)
    options = tfds.download.DownloadConfig(try_download_gcs=False)
    # TFDS prints its progress, which is hidden here; errors are still raised.
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        try:
            builder.download_and_prepare(download_config=options)
        except FileExistsError:  # Another process was quicker.
            builder = FieldguideBirds(config=config, data_dir=place)
    return builder
