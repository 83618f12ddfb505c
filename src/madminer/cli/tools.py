"""Single steps without an analysis file: ``madminer combine``, ``evaluate`` and ``validate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from madminer.cli.terminal import is_quiet
from madminer.errors import OptionError
from madminer.io.atomic import prepare_target, refuse_same_file

FAILED, UNDECIDED = 1, 3
"""Exit statuses; 2 is that of a wrong command line."""


def combine(
    files: Annotated[list[Path], typer.Argument(metavar="EVENTS.h5", help="Event files.")],
    out: Annotated[Path, typer.Option(metavar="FILE.h5", help="The event file to write.")],
    k_factors: Annotated[
        list[float] | None,
        typer.Option("--k-factor", metavar="K", help="Factor on the weights of each file."),
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Seed of the order.")] = 1,
) -> None:
    """Combine event files of one setup into one, in random order.

    Their cross sections add up, as those of different processes do.

    Example  madminer combine a.h5 b.h5 --out events.h5 --k-factor 1.2 --k-factor 1
    """
    from madminer.sampling import combine_and_shuffle

    combine_and_shuffle([str(file) for file in files], out, k_factors or None, seed=seed)
    if not is_quiet():
        typer.echo(f"Wrote {out}. Look at it with: madminer inspect {out}")


def evaluate(
    model: Annotated[
        Path, typer.Argument(metavar="MODEL", help="Estimator or ensemble, as it was saved.")
    ],
    x: Annotated[Path, typer.Argument(metavar="X.npy", help="Observables of events.")],
    out: Annotated[Path, typer.Option(metavar="FILE.npy", help="File for the result.")],
    theta: Annotated[
        str | None,
        typer.Option(metavar="A,B,...", help="Parameter point, for estimators of ratios."),
    ] = None,
) -> None:
    """Evaluate an estimator on events: scores, log likelihood ratios or log likelihoods.

    A score estimator gives scores, shape (n, parameters); the others log r (not -2 log r) to their
    reference, or log p, of each event, shape (n,).

    Example  madminer evaluate models/sally x.npy --out scores.npy
             madminer evaluate models/alices x.npy --theta 0.1,-0.2 --out log_r.npy
    """
    import numpy as np

    from madminer.io.atomic import atomic_path
    from madminer.ml import Ensemble, ScoreEstimator, load_estimator

    estimator: Any = load_estimator(model)
    kind = estimator.estimators[0] if isinstance(estimator, Ensemble) else estimator
    if isinstance(kind, ScoreEstimator):
        if theta is not None:
            raise OptionError("A score estimator knows its point: leave --theta out.")
        found = estimator.evaluate_score(x=str(x))
    else:
        if theta is None:
            raise OptionError(f"A {type(kind).__name__} needs --theta, a parameter point.")
        point = _point(theta)
        if isinstance(point, str):
            raise OptionError(f"--theta must be numbers with commas, as 0.1,-0.2; got {theta!r}.")
        found = _at(estimator, kind, str(x), [point])
    values = np.asarray(found[0] if isinstance(found, tuple) else found)
    with atomic_path(out) as temporary:
        np.save(temporary, np.squeeze(values, axis=0) if values.shape[:1] == (1,) else values)
    if not is_quiet():
        typer.echo(f"Wrote {out}, shape {values.shape}.")


def _at(estimator: Any, kind: Any, x: str, theta: list[list[float]]) -> Any:
    from madminer.ml import LikelihoodEstimator, ParameterizedRatioEstimator

    if isinstance(kind, LikelihoodEstimator):
        return estimator.evaluate_log_likelihood(x=x, theta=theta)
    if isinstance(kind, ParameterizedRatioEstimator):
        return estimator.evaluate_log_likelihood_ratio(x=x, theta=theta)
    raise OptionError(f"A {type(kind).__name__} needs two points: evaluate it in Python.")


def validate(
    model: Annotated[
        Path, typer.Argument(metavar="MODEL", help="Estimator or ensemble, as its save() wrote it.")
    ],
    events: Annotated[
        Path,
        typer.Argument(
            metavar="EVENTS",
            help="Event file; its test events, which no training saw, must belong to the same "
            "setup and observables.",
        ),
    ],
    reference: Annotated[
        str | None,
        typer.Option(
            metavar="POINT",
            help="Where scores were trained, and the denominator of ratios: the name of a "
            "benchmark, or numbers such as 0,0.",
            show_default="that of the training, which score estimators know",
        ),
    ] = None,
    theta: Annotated[
        list[str] | None,
        typer.Option(
            metavar="POINT",
            help="Where ratios are tested, once for each point: name or numbers. Choose the ends "
            "of the region in which you set limits.",
            show_default="1.5 standard deviations of the training along each parameter",
        ),
    ] = None,
    partition: Annotated[
        str,
        typer.Option(
            metavar="PART", help="Which events: test, validation, train, or all of another file."
        ),
    ] = "test",
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a page with all figures here.")
    ] = None,
    json: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write all numbers here.")
    ] = None,
    no_classifier: Annotated[
        bool,
        typer.Option(
            "--no-classifier", help="Train no classifier to tell reweighted from true events."
        ),
    ] = False,
) -> None:
    """Find out whether the scores or likelihood ratios of a trained model can be trusted.

    The simulator knows the joint score and ratio of each test event. Their means tell whether the
    model is calibrated, where it is wrong, and which information is guaranteed.

    Example  madminer validate models/sally events.h5
             madminer validate models/alices events.h5 --reference sm --html a.html
    Status   0 if all checks passed; 1 if one failed, or after an error; 3 if
             none failed, but there are not enough events to tell for some
    """
    for target in filter(None, (html, json)):
        refuse_same_file(target, events, "event file")
        prepare_target(target)
    # imported here: networks would slow down the other commands
    from madminer.validation import validate as validate_estimator

    result = validate_estimator(
        model,
        events,
        None if reference is None else _point(reference),
        [_point(text) for text in theta] if theta else None,
        partition=partition,
        classifier=not no_classifier,
    )
    console = Console()
    console.print(result)
    console.print(Text(result.conclusion))
    if html is not None:
        result.write_html(html)
    if json is not None:
        result.write_json(json)
    if not result.passed:
        raise typer.Exit(FAILED if result.failed else UNDECIDED)


def _point(text: str) -> str | list[float]:
    """Numbers separated by commas, else the name of a benchmark.

    Examples:
        >>> _point("0.5,-1"), _point("sm")
        ([0.5, -1.0], 'sm')
    """
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        return text
