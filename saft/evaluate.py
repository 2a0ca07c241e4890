"""`saft evaluate` and `saft evaluate-language`: what the command line says becomes what `evaluation` is asked."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from saft_core.errors import InvalidConfig
from saft_core.process import limit_threads


def evaluate(
    base: Annotated[str, typer.Option(help="As SAFT_BASE; else the embedded one.")] = "",
    device: Annotated[str, typer.Option(help="As SAFT_DEVICE.")] = "auto",
    data: Annotated[Path | None, typer.Option(help="The folder of data sets; else the bundled pictures.")] = None,
    datasets: Annotated[str, typer.Option(help="Names, with commas; else those of the paper.")] = "",
    methods: Annotated[str, typer.Option(help="Names, with commas; else all.")] = "",
    tables: Annotated[str, typer.Option(help="The paper's, by number.")] = "1,2,3,4,5,8,10,11,12",
    figures: Annotated[str, typer.Option(help="The paper's, by number.")] = "1,3,4,5,6",
    seeds: Annotated[str, typer.Option(help="Each draws other shots.")] = "1,2,3",
    shots: Annotated[int, typer.Option(min=1, help="Training images a class.")] = 16,
    epochs: Annotated[int | None, typer.Option(min=1, help="Not stated by the paper; else by base and method.")] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Not stated by the paper.")] = 32,
    augment: Annotated[Literal["none", "crop", "crop_flip"], typer.Option(help="Not stated by the paper.")] = "none",
    density: Annotated[float, typer.Option(help="Share of the parameters that SAFT selects.")] = 0.001,
    weight_decay: Annotated[float, typer.Option(help="Where a method's own paper states none.")] = 0.1,
    preset: Annotated[
        Literal["paper"], typer.Option(help="The learning rate that each method's paper states.")
    ] = "paper",
    tune: Annotated[
        bool, typer.Option("--tune", help="Instead: the best of three rates a method, on held shots.")
    ] = False,
    out: Annotated[Path, typer.Option(help="A folder; what is in it is not made again.")] = Path("saft-evaluation"),
) -> None:
    """Make the paper's tables and figures. It may be stopped at any time, and goes on with what is missing."""
    del preset  # the only one; what it names is what there is without --tune
    limit_threads()
    from evaluation.command import Asked  # noqa: PLC0415 (imports torch)
    from evaluation.command import evaluate as run  # noqa: PLC0415
    from evaluation.conditions import Conditions  # noqa: PLC0415

    conditions = Conditions(
        shots=shots,
        seeds=_numbers(seeds),
        epochs=epochs,
        batch_size=batch_size,
        augment=augment,
        density=density,
        weight_decay=weight_decay,
        tune=tune,
    )
    asked = Asked(
        base, device, data, _names(datasets), _names(methods), _names(tables), _names(figures), conditions, out
    )
    report = run(asked, say=typer.echo)
    typer.echo(f"\n{report.read_text('utf-8')}\nwritten to {report.parent}")


def evaluate_language(
    model: Annotated[str, typer.Argument(help="On the hub of Hugging Face, or a folder: T5, DeBERTa and the like.")],
    data: Annotated[Path, typer.Option(help="The folder with BOSS's data sets.")],
    device: Annotated[str, typer.Option(help="As SAFT_DEVICE.")] = "auto",
    tasks: Annotated[str, typer.Option(help="With commas.")] = "SA,TD,NLI,NER,EQA",
    methods: Annotated[str, typer.Option(help="With commas.")] = "as it is,full fine-tuning,LoRA,SAFT",
    seeds: Annotated[str, typer.Option(help="Each takes the samples in another order.")] = "1,2,3",
    learning_rate: Annotated[float, typer.Option(help="Of every method; none was searched for.")] = 1e-4,
    density: Annotated[float, typer.Option(help="Share of the parameters that SAFT selects.")] = 0.001,
    epochs: Annotated[int, typer.Option(min=1)] = 3,
    batch_size: Annotated[int, typer.Option(min=1)] = 32,
    train_samples: Annotated[int, typer.Option(min=0, help="Of each file; 0 takes all.")] = 0,
    test_samples: Annotated[int, typer.Option(min=0, help="Of each file; 0 takes all.")] = 0,
) -> None:
    """SAFT, full fine-tuning and LoRA on a language model: BOSS's tasks, tested on data of other origin too."""
    limit_threads()
    from evaluation.language.command import run  # noqa: PLC0415 (imports torch)
    from saft_core.clip.loading import pick_device  # noqa: PLC0415

    report = run(
        model,
        data,
        tasks=_names(tasks),
        methods=_names(methods),
        seeds=_numbers(seeds),
        learning_rate=learning_rate,
        density=density,
        epochs=epochs,
        batch_size=batch_size,
        train_samples=train_samples,
        test_samples=test_samples,
        device=str(pick_device(device)),
    )
    typer.echo(report.markdown())


def _names(given: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in given.split(",") if name.strip())


def _numbers(given: str) -> tuple[int, ...]:
    """Raises InvalidConfig for what is no number."""
    names = _names(given)
    if not names or not all(name.isdecimal() for name in names):
        raise InvalidConfig(f"--seeds {given!r}: whole numbers with commas between, such as 1,2,3")
    return tuple(map(int, names))
