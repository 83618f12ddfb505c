"""``madminer combine`` and ``madminer evaluate``: single steps without an analysis file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from madminer.cli.verbosity import is_quiet
from madminer.errors import OptionError


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
        found = _at(estimator, kind, str(x), [_numbers(theta)])
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


def _numbers(text: str) -> list[float]:
    try:
        return [float(number) for number in text.split(",")]
    except ValueError as error:
        raise OptionError(
            f"--theta must be numbers with commas, as 0.1,-0.2; got {text!r}."
        ) from error
