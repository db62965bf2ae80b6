"""Compare the time of each augmentation policy with that of "standard", on the same photographs.

    python tools/bench_augment.py --data FOLDER

It times the work that frozen layers wait for: reading, decoding, changing and batching. Rounds of
all policies alternate, and the ratio is that of their medians.
"""

from __future__ import annotations

import argparse
import time
from statistics import median

import numpy as np

from tfxfer.config.data import DataConfig
from tfxfer.machine import runtime
from tfxfer.modalities.pictures.settings import POLICIES, AugmentationConfig
from tfxfer.modalities.pictures.view import augmented_view

BATCH = 32


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", required=True, help="a folder of class folders")
    parser.add_argument("--pictures", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--size-px", type=int, default=224)
    arguments = parser.parse_args()
    runtime.import_tensorflow()
    from tfxfer.data.pipeline import make_view_batches
    from tfxfer.training.load import load_data

    train = load_data(DataConfig(source=arguments.data), seed=0).train
    count = min(arguments.pictures, len(train.labels))
    pictures = train.choose(np.linspace(0, len(train.labels) - 1, count).astype(int))
    configs = {policy: AugmentationConfig(policy=policy) for policy in POLICIES}
    configs["standard, erasing"] = AugmentationConfig(erasing=1.0)

    def measure(config: AugmentationConfig, number: int) -> float:
        seeds = np.stack([np.arange(count), np.full(count, number)], axis=1).astype(np.int64)
        views = make_view_batches(
            pictures, augmented_view(arguments.size_px, config), batch_size=BATCH, seeds=seeds
        )
        start = time.monotonic()
        for _ in views:
            pass
        return time.monotonic() - start

    for config in configs.values():  # This traces the functions and brings the files into memory.
        measure(config, 0)
    seconds: dict[str, list[float]] = {name: [] for name in configs}
    for number in range(1, arguments.rounds + 1):
        for name, config in configs.items():
            seconds[name].append(measure(config, number))
    standard = median(seconds["standard"])
    print(f"{count} pictures, {arguments.size_px} px, median of {arguments.rounds} rounds")
    for name, values in seconds.items():
        rate, ratio = count / median(values), median(values) / standard
        print(f"{name:18} {rate:6.0f} pictures a second, {ratio:.2f} times standard's time")


if __name__ == "__main__":
    main()
