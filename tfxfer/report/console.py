"""Plans and results as lines and tables in a terminal."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tfxfer.records.evaluations import Evaluation
from tfxfer.records.plans import PhasePlan, Plan
from tfxfer.records.results import CRITERIA, FoldsResult, PhaseResult, RunResult
from tfxfer.run import EXPORT, FOLDS, METRICS, MODEL, TENSORBOARD

_LOG_COLUMNS = 140  # Lines that go to a file or a pipe have this width.


def make_console(is_quiet: bool = False) -> Console:
    """Return the console of a run; a quiet one prints nothing, one without a terminal wraps late.

    A notebook gets plain lines as a file does: Rich's own output for notebooks needs ipywidgets and
    tears the lines of a run apart.
    """
    is_terminal = False if Console().is_jupyter else None  # Given None, Rich finds out by itself.
    console = Console(
        quiet=is_quiet, highlight=False, force_jupyter=False, force_terminal=is_terminal
    )
    if not console.is_terminal:
        console.width = max(console.width, _LOG_COLUMNS)
    return console


def print_plan(console: Console, plan: Plan, with_blocks: bool) -> None:
    """Show what a run is going to do, on request with a row for each block."""
    counts = ", ".join(f"{count:,} {split}" for split, count in plan.counts.items())
    smallest = min(plan.class_counts, key=plan.class_counts.__getitem__)
    largest = max(plan.class_counts, key=plan.class_counts.__getitem__)
    low, high = plan.class_counts[smallest], plan.class_counts[largest]
    spread = f"{low} each" if low == high else f"{low} ({smallest}) to {high} ({largest})"
    table = Table.grid(padding=(0, 2))
    table.add_row("[bold]data[/]", escape(plan.source))
    table.add_row("", f"{len(plan.class_counts)} classes, {counts}; training pictures a class: "
                  f"{escape(spread)}")  # fmt: skip
    table.add_row(
        "[bold]backbone[/]",
        f"{plan.backbone}, weights {escape(plan.weights)}, {plan.image_size_px} px, "
        f"{plan.parameters:,} parameters in {len(plan.blocks)} blocks",
    )
    table.add_row("[bold]engine[/]", plan.engine)
    console.print(table)
    console.print(_phases_table(plan))
    if with_blocks:
        console.print(_blocks_table(plan))
    for note in plan.notes:
        console.print(f"[yellow]note[/] {escape(note)}")


def print_phase(console: Console, phase: PhaseResult) -> None:
    """Show in two lines how a phase ended and what its time was spent on."""
    if not phase.has_improved:
        outcome = "nothing was better than before the phase; the weights of then were put back"
    elif phase.solver == "logistic":
        outcome = "fitted by logistic regression"
    else:
        outcome = f"best epoch {phase.best_epoch} of {phase.epochs}"
    figures = f"validation {CRITERIA[phase.chosen_by]} {phase.val_score:.3f}"
    if phase.chosen_by != "accuracy":
        figures += f", accuracy {phase.val_accuracy:.3f}"
    console.print(
        f"[green]✓[/] [bold]{phase.name}[/] {phase.seconds:.0f} s, "
        f"{phase.trainable_parameters:,} trainable parameters, "
        f"{figures} ({outcome})"
    )
    suffix_seconds = phase.seconds - phase.input_seconds - phase.prefix_seconds
    console.print(
        f"  time: input {phase.input_seconds:.0f} s, prefix {phase.prefix_seconds:.0f} s, "
        f"suffix {suffix_seconds:.0f} s ({phase.precision}); most of it: {phase.bottleneck}"
    )


def print_result(console: Console, result: RunResult) -> None:
    """Show the table of metrics and the paths of the run's files."""
    table = Table(*_evaluation_cells(result.test))
    for evaluation in (result.validation, result.test):
        table.add_row(*_evaluation_cells(evaluation).values())
    console.print(table)
    stages = {phase.name: phase.seconds for phase in result.phases} | result.stages
    times = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in stages.items())
    console.print(f"time {result.seconds:.0f} s ({times})")
    worst = sorted(result.test.per_class_f1.items(), key=lambda item: item[1])[:3]
    console.print("weakest classes " + ", ".join(f"{escape(n)} (F1 {f:.2f})" for n, f in worst))
    if result.calibration:
        before, after = result.calibration.test
        console.print(
            f"calibrated by temperature {result.calibration.temperature:.2f}: expected calibration "
            f"error on test {before:.3f} → {after:.3f}"
        )
    if result.quarantined:
        console.print(
            f"[yellow]note[/] {len(result.quarantined)} unreadable pictures were left out"
        )
    path = escape(str(result.path))
    console.print(f"metrics      {path}/{METRICS}", soft_wrap=True)
    console.print(f"Keras model  {path}/{MODEL}", soft_wrap=True)
    console.print(
        f"SavedModel   {path}/{EXPORT} (loaded in plain TensorFlow: largest difference "
        f"{result.exported.max_difference:.1g} over {result.exported.pictures_compared} pictures)",
        soft_wrap=True,
    )
    console.print(f"curves       tensorboard --logdir {path}/{TENSORBOARD}", soft_wrap=True)


def print_folds(console: Console, result: FoldsResult) -> None:
    """Show each fold's figures, their mean and spread, and the path of their file."""
    table = Table("fold", f"{result.split} pictures", "accuracy", "macro F1", "time")
    for fold in result.folds:
        figures = (f"{fold.accuracy:.3f}", f"{fold.macro_f1:.3f}", f"{fold.seconds:.0f} s")
        table.add_row(str(fold.fold), f"{fold.pictures:,}", *figures)
    table.add_section()
    table.add_row(
        "mean ± sd",
        "",
        f"[bold]{result.accuracy_mean:.3f}[/] ± {result.accuracy_sd:.3f}",
        f"{result.macro_f1_mean:.3f} ± {result.macro_f1_sd:.3f}",
        f"{result.seconds:.0f} s",
    )
    console.print(table)
    low, high = result.pooled_interval
    total = sum(fold.pictures for fold in result.folds)
    console.print(
        f"all {total:,} pictures together: accuracy {result.pooled_accuracy:.3f}, 95 % interval "
        f"{low:.3f}…{high:.3f}"
    )
    if result.split == "validation":
        console.print(
            "[yellow]note[/] the data have a test split, so that the folds are validation splits, "
            "which chose the epochs: these figures flatter. Each fold's metrics have the test's"
        )
    console.print(f"folds        {escape(str(result.path))}/{FOLDS}", soft_wrap=True)


def _evaluation_cells(evaluation: Evaluation) -> dict[str, str]:
    """Return a split's figures by the names of the columns; with several labels, mAP is first."""
    low, high = evaluation.accuracy_interval
    interval = f"{low:.3f}…{high:.3f}"
    cells = {"split": evaluation.split, "pictures": f"{evaluation.pictures:,}"}
    if evaluation.mean_average_precision is not None:
        return cells | {
            "mAP": f"[bold]{evaluation.mean_average_precision:.3f}[/]",
            "macro F1": f"{evaluation.macro_f1:.3f}",
            "micro F1": f"{evaluation.micro_f1:.3f}",
            "all labels right": f"{evaluation.accuracy:.3f}",
            "95 % interval of that": interval,
        }
    cells |= {
        "accuracy": f"[bold]{evaluation.accuracy:.3f}[/]",
        "95 % interval": interval,
        "macro F1": f"{evaluation.macro_f1:.3f}",
        "macro recall": f"{evaluation.macro_recall:.3f}",
    }
    if evaluation.top5_accuracy is not None:
        cells["top-5"] = f"{evaluation.top5_accuracy:.3f}"
    return cells


def _phases_table(plan: Plan) -> Table:
    is_timed = plan.phases[0].seconds is not None
    table = Table(
        "phase", "unfrozen blocks", "trainable", "frozen layers", "epochs", "steps", "rate"
    )
    if is_timed:
        table.add_column("at most")
    for phase in plan.phases:
        count = len(phase.unfrozen)
        unfrozen = f"{count} of {len(plan.blocks)}, from {phase.unfrozen[0]}" if count else "none"
        cells = [
            phase.name,
            unfrozen,
            f"{phase.trainable_parameters:,}",
            _describe_frozen(phase),
            *(
                ("–", "logistic regression", "–")
                if phase.solver == "logistic"
                else (str(phase.epochs), str(phase.steps), f"{phase.learning_rate:g}")
            ),
        ]
        table.add_row(*cells, *([_duration(phase.seconds)] if phase.seconds is not None else []))
    return table


def _describe_frozen(phase: PhasePlan) -> str:
    """Say in a few words how often the frozen layers run."""
    if phase.cut == "pictures":
        return "none"
    if not phase.views:
        return "run in every epoch"
    size = phase.stored_bytes / 1e6
    views = "view" if phase.views == 1 else "views"
    return f"run once: {phase.views} {views}, {size:,.0f} MB"


def _blocks_table(plan: Plan) -> Table:
    table = Table("block", "parameters", *[phase.name for phase in plan.phases])
    for name, parameters in plan.blocks:
        marks = ["[green]trained[/]" if name in p.unfrozen else "frozen" for p in plan.phases]
        table.add_row(name, f"{parameters:,}", *marks)
    table.add_row("head", "", *["[green]trained[/]" for _ in plan.phases])
    return table


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.1f} min"
