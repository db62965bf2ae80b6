"""The command ``tfxfer augment-preview``, which draws the views that training sees.

This module imports TensorFlow only when it is called.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from tfxfer.commands.options import check_new
from tfxfer.config.config import Config
from tfxfer.config.phases import FilledPhase, PhaseConfig
from tfxfer.config.presets import add_settings, load_config, parse_setting
from tfxfer.errors import InputError, nearest
from tfxfer.machine import runtime
from tfxfer.modality import InputSpec
from tfxfer.report.console import make_console
from tfxfer.report.sheets import Row, Tile, write_sheet

_SUFFIXES = (".png", ".jpg", ".jpeg")


def write_preview(
    config: Config,
    out: Path,
    console: Console,
    *,
    phase: str | None = None,
    pictures: int = 8,
    views: int = 6,
) -> None:
    """Write a sheet with a row for each of some training pictures: the plain view and others.

    Args:
        config: The config of the run.
        out: The PNG or JPEG file to write.
        console: The terminal to write to.
        phase: The name of the phase whose augmentation is shown; None takes the last phase.
        pictures: The number of rows, which are spread over all training pictures.
        views: The number of changed views of each picture, which have the seeds of the stored
            views 1, 2, ….

    Raises:
        InputError: There is no such phase, or the pictures cannot be read.
    """
    from tfxfer.data.items import spread
    from tfxfer.data.pipeline import make_view_batches
    from tfxfer.features.fingerprint import view_seeds
    from tfxfer.machine.processes import ALONE
    from tfxfer.phases.schedules import fill_in
    from tfxfer.training.job import load_items

    chosen = _find_phase(config, phase)
    augmentation = config.augmentation.under(chosen.augmentation)
    row, spec = config.data.row, _choose_input(config, console)
    data = load_items(config, console, share=ALONE)
    train = data.train
    count = min(pictures, len(train.labels))
    train = spread(train, count)
    identities = train.identities()
    changed = row.augmented_view(spec, augmentation)
    seeds = [view_seeds(identities, config.seed, view) for view in range(1, views + 1)]
    batches = [
        make_view_batches(train, row.plain_view(spec), batch_size=count),
        *(make_view_batches(train, changed, batch_size=count, seeds=each) for each in seeds),
    ]
    columns = [next(each) for each in batches]
    captions = ["as it is", *(f"view {view}" for view in range(1, views + 1))]
    rows = [
        Row(identity.name, tuple(map(Tile, map(row.draw, shown), captions)))
        for identity, shown in zip(identities, zip(*columns, strict=True), strict=True)
    ]
    title = f"{chosen.name}: {augmentation.policy}, {spec.shape[0]} px, seed {config.seed}"
    write_sheet(out, title, rows, most_rows=count)
    resolved = fill_in(chosen, len(data.train.labels), config.augmentation.policy)
    use = _describe_use(resolved)
    console.print(
        f"phase [bold]{chosen.name}[/], policy {augmentation.policy}: {use}", soft_wrap=True
    )
    console.print(f"wrote {escape(str(out))}", soft_wrap=True)


def _find_phase(config: Config, name: str | None) -> PhaseConfig:
    phases = {phase.name: phase for phase in config.phases}
    if name is None:
        return config.phases[-1]
    if name not in phases:
        raise InputError(
            f"--phase must be one of {', '.join(phases)}. Received: {name!r}."
            f"{nearest(name, phases)}"
        )
    return phases[name]


def _choose_input(config: Config, console: Console) -> InputSpec:
    """Return what the network takes of an item, or the usual where that is not known yet."""
    row = config.data.row
    known = row.input_of(config.backbone)
    if known is None:
        console.print(
            f"[yellow]note[/] drawn at {row.usual_input.shape[0]} px: the size of "
            f"{escape(config.backbone.name)} is known when it is loaded "
            "(--set backbone.image_size_px=… names another)"
        )
    return known or row.usual_input


def _describe_use(phase: FilledPhase) -> str:
    """Say which of a sheet's columns a phase trains on."""
    if phase.unfreeze == "all" or phase.views == "stream":
        return "it draws views like these anew in every epoch"
    if phase.views == 1:
        return f"it stores one view, the picture as it is (phases.{phase.name}.views: more)"
    return f"it stores {phase.views} views: the picture as it is, and views 1 to {phase.views - 1}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command line."""
    parser.add_argument("--preset", required=True, metavar="NAME|FILE", help="as for training")
    parser.add_argument("--data", metavar="WHAT", help="as for training")
    add_settings(parser, "any other value, such as augmentation.policy=randaugment")
    parser.add_argument("--phase", metavar="NAME", help="whose augmentation; default: the last")
    parser.add_argument("--pictures", type=int, default=8, metavar="N", help="rows; default 8")
    parser.add_argument("--views", type=int, default=6, metavar="N", help="columns; default 6")
    parser.add_argument("--out", required=True, metavar="FILE", help="a .png or .jpg to write")
    parser.add_argument("--overwrite", action="store_true", help="replace the file")


def call(arguments: argparse.Namespace) -> None:
    """Run the command with parsed arguments."""
    settings = dict(parse_setting(text) for text in arguments.settings)
    config = load_config(arguments.preset, data=arguments.data, settings=settings)
    _find_phase(config, arguments.phase)
    for key in ("pictures", "views"):
        if not 1 <= getattr(arguments, key) <= 64:
            raise InputError(
                f"--{key} must be from 1 to 64. Received: {getattr(arguments, key)}. "
                "Take a smaller sheet."
            )
    out = Path(arguments.out)
    _check_out(out, arguments.overwrite)
    console = make_console()
    with console.status("Starting TensorFlow"):
        runtime.import_tensorflow()
    write_preview(
        config,
        out,
        console,
        phase=arguments.phase,
        pictures=arguments.pictures,
        views=arguments.views,
    )


def _check_out(out: Path, overwrite: bool) -> None:
    if out.suffix.lower() not in _SUFFIXES:
        raise InputError(
            f"--out must end in {', '.join(_SUFFIXES)}. Received: {str(out)!r}. "
            "Name it sheet.png, say."
        )
    if not out.parent.is_dir():
        raise InputError(
            f"--out must lie in a folder that exists. Received: {str(out)!r}. "
            "Make the folder first."
        )
    check_new("--out", out, overwrite)
