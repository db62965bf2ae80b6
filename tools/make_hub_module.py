"""Turn a backbone into a reusable SavedModel that `--backbone hub:DIR` takes.

    python tools/make_hub_module.py --run runs/birds-20261121-120000 --out birds-module
    python tools/make_hub_module.py --backbone MobileNetV2 --weights FILE --out module

The first form takes the fine-tuned backbone of a run, and the second one a published backbone.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tfxfer import run
from tfxfer.errors import exit_code
from tfxfer.machine import runtime


def make_module(arguments: argparse.Namespace) -> None:
    if arguments.run is not None:
        run.check_run(arguments.run, "--run takes")
    runtime.import_tensorflow()

    from tfxfer.backbones.build import build_backbone
    from tfxfer.backbones.levels import add_levels
    from tfxfer.config.presets import load_config
    from tfxfer.modalities.pictures.networks.hub_module import export_hub_module
    from tfxfer.prediction.run_model import load_model

    if arguments.run is not None:
        config = load_config(arguments.run / run.CONFIG)
        backbone = build_backbone(config.backbone)
        # The run is the user's own, so that a program in it can be trusted.
        model = load_model(arguments.run, trust=True)
        trained = model.get_layer(backbone.network.name)
        # Both networks have the same layers, but the weights are in the order of the run's network.
        add_levels(backbone, config.head.levels).network.set_weights(trained.get_weights())
    else:
        chosen = {"backbone.alpha": arguments.alpha, "backbone.image_size_px": arguments.size}
        config = load_config(
            "photos",
            backbone=arguments.backbone,
            weights=arguments.weights,
            settings={key: value for key, value in chosen.items() if value is not None},
        )
        backbone = build_backbone(config.backbone)
    export_hub_module(backbone, arguments.out, arguments.weight_decay)
    size = sum(path.stat().st_size for path in arguments.out.rglob("*") if path.is_file())
    print(f"{arguments.out}: {size / 1e6:.1f} MB, pictures of {backbone.input.shape[0]} px, 0…1")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--run", type=Path, metavar="DIR", help="take the backbone of a run")
    source.add_argument("--backbone", metavar="NAME", help="`tfxfer backbones` lists them")
    parser.add_argument("--weights", metavar="WHAT", help="of --backbone; default imagenet")
    parser.add_argument("--alpha", type=float, help="width, for the MobileNet families")
    parser.add_argument("--size", type=int, metavar="PX", help="default: the network's own")
    parser.add_argument("--weight-decay", type=float, default=0.0, help="a regularization loss")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="a new folder")
    arguments = parser.parse_args()
    return exit_code(lambda: make_module(arguments))


if __name__ == "__main__":
    sys.exit(main())
