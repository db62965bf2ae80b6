"""Compare settings of a preset over several seeds; the presets' own values were chosen with it.

    python tools/compare_settings.py --preset photos --data FOLDER --backbone MobileNetV2 \\
        --weights FILE --variants "" "phases.fine-tune.views=1" "phases.fine-tune.mixup=0.2"

A variant is one or more key=value pairs, separated by spaces; "" is the unchanged preset. The runs
share stored features, so that the first run takes longer than the others.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from statistics import fmean

import tfxfer
from tfxfer.config.presets import parse_setting
from tfxfer.records.results import RunResult


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--preset", required=True)
    parser.add_argument("--data")
    parser.add_argument("--backbone")
    parser.add_argument("--weights")
    parser.add_argument("--set", dest="settings", nargs="+", default=[], action="extend")
    parser.add_argument("--variants", nargs="+", default=[""])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    arguments = parser.parse_args()
    common = dict(parse_setting(text) for text in arguments.settings)
    print("validation  test    (by seed)              seconds  variant")
    for variant in arguments.variants:
        settings = common | dict(parse_setting(text) for text in variant.split())
        results = []
        for seed in arguments.seeds:
            with tempfile.TemporaryDirectory() as folder:
                result = tfxfer.train(
                    arguments.preset,
                    data=arguments.data,
                    backbone=arguments.backbone,
                    weights=arguments.weights,
                    settings=settings | {"seed": seed},
                    out=Path(folder) / "run",
                    quiet=True,
                )
            if not isinstance(result, RunResult):
                raise SystemExit("Compare settings of single runs, without data.split.folds.")
            results.append(result)
        tests = [result.test.accuracy for result in results]
        print(
            f"{fmean(result.validation.accuracy for result in results):.4f}      "
            f"{fmean(tests):.4f}  {' '.join(f'{test:.4f}' for test in tests)}  "
            f"{fmean(sum(p.seconds for p in result.phases) for result in results):7.1f}  "
            f"{variant or '(as it is)'}",
            flush=True,
        )


if __name__ == "__main__":
    main()
