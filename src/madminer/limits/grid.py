"""Grids of parameter points, and log likelihood ratios and p-values on them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from madminer.checks import whole
from madminer.errors import DataError, ShapeError
from madminer.stats import log_ratio_to_best, p_values_from_log_r, regular_grid
from madminer.tables import Table, tables_html
from madminer.typing import FloatArray

__all__ = ["LimitGrid", "limit_grid", "parameters_at_border", "regular_grid"]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class LimitGrid:
    r"""Log likelihood ratios and asymptotic p-values on a grid of parameter points.

    All logarithms are natural ones of the likelihood (log, not -2 log).

    Args:
        theta_grid: Parameter points, shape ``(n, p)``.
        log_r: Log likelihood ratio to the best grid point, shape ``(n,)``: not positive.
        p_values: Asymptotic p-values, shape ``(n,)``.
        i_best: Index of the best grid point.
        llr_kin: Kinematic log likelihood up to a constant, shape ``(n,)``.
        log_p_rate: Log Poisson probability of the number of events, shape ``(n,)``.
        n_observed: Number of events, real for Asimov data.
        dof: Degrees of freedom of the p-values.
    """

    theta_grid: FloatArray
    log_r: FloatArray
    p_values: FloatArray
    i_best: int
    llr_kin: FloatArray
    log_p_rate: FloatArray
    n_observed: float
    dof: int

    @property
    def best_theta(self) -> FloatArray:
        """The best grid point, shape ``(p,)``."""
        theta: FloatArray = self.theta_grid[self.i_best]
        return theta

    def share_within(self, confidence_level: float) -> float:
        """Share of the grid points that are not excluded at a confidence level.

        Args:
            confidence_level: Between 0 and 1.
        """
        excluded = self.p_values < 1.0 - confidence_level
        return 1.0 - float(np.mean(excluded))

    def _numbers(self) -> dict[str, str]:
        return {
            "grid points": str(len(self.theta_grid)),
            "best fit": shown_point(self.best_theta),
            **{
                f"within {100 * cl:.0f} % CL": f"{100 * self.share_within(cl):.3g} % of points"
                for cl in (0.68, 0.95)
            },
            "events": f"{self.n_observed:{'.4g' if self.n_observed < 1000.0 else ',.0f'}}",
            "degrees of freedom": str(self.dof),
        }

    def __repr__(self) -> str:
        return f"LimitGrid({', '.join(f'{k} {v}' for k, v in self._numbers().items())})"

    def _repr_html_(self) -> str:
        return tables_html([Table(("", ""), list(self._numbers().items()), "Limits")])


def shown_point(theta: FloatArray) -> str:
    """A parameter point as messages show it.

    Examples:
        >>> shown_point(np.array([0.1 + 0.2, -1.0]))
        '(0.3, -1)'
    """
    return f"({', '.join(f'{value:.4g}' for value in theta)})"


def limit_grid(
    theta_grid: FloatArray,
    llr_kin: FloatArray,
    log_p_rate: FloatArray,
    n_observed: float,
    dof: int | None = None,
) -> LimitGrid:
    r"""Combine kinematics and rate to p-values.

    .. math:: \log r = l - \max l, \quad l = \mathrm{llr}_\mathrm{kin} + \log p_\mathrm{rate},
              \qquad p = F_>^{\chi^2}(-2 \log r)

    Args:
        theta_grid: Parameter points, shape ``(n, p)``.
        llr_kin: Kinematic log likelihood up to a constant, shape ``(n,)``.
        log_p_rate: Log Poisson probability of the number of events, shape ``(n,)``.
        n_observed: Number of events.
        dof: Degrees of freedom; None for the number p of parameters.

    Returns:
        The result.

    Raises:
        ShapeError: If the numbers of points differ.
        DataError: If a log likelihood is not a number, or the likelihood vanishes everywhere.

    Examples:
        >>> grid = limit_grid(np.array([[0.0], [1.0]]), np.array([-1.0, -3.0]), np.zeros(2), 10.0)
        >>> grid.log_r, grid.p_values.round(4)
        (array([ 0., -2.]), array([1.    , 0.0455]))
    """
    n = len(theta_grid)
    if theta_grid.ndim != 2 or llr_kin.shape != (n,) or log_p_rate.shape != (n,):
        raise ShapeError(
            "Expected thetas (n, p) and log likelihoods (n,), got "
            f"{theta_grid.shape}, {llr_kin.shape} and {log_p_rate.shape}."
        )
    if np.any(np.isnan(llr_kin)) or np.any(np.isnan(log_p_rate)):
        raise DataError("A log likelihood is not a number at some grid points.")
    log_r, i_best = log_ratio_to_best(llr_kin + log_p_rate)
    degrees = theta_grid.shape[1] if dof is None else whole(dof, "dof", 1)
    return LimitGrid(
        theta_grid=theta_grid,
        log_r=log_r,
        p_values=p_values_from_log_r(log_r, degrees),
        i_best=i_best,
        llr_kin=llr_kin,
        log_p_rate=log_p_rate,
        n_observed=float(n_observed),
        dof=degrees,
    )


def parameters_at_border(grid: LimitGrid) -> list[int]:
    """Parameters whose best value is the smallest or largest of the grid.

    Args:
        grid: The grid; parameters with fewer than three values have no border.

    Examples:
        >>> thetas = regular_grid([(0.0, 1.0), (0.0, 1.0)], 3)
        >>> best_at = np.where((thetas == [0.5, 1.0]).all(axis=1), 0.0, -1.0)
        >>> parameters_at_border(limit_grid(thetas, best_at, np.zeros(9), 1.0))
        [1]
    """
    return [
        i
        for i, values in enumerate(grid.theta_grid.T)
        if len(np.unique(values)) > 2 and values[grid.i_best] in (values.min(), values.max())
    ]
