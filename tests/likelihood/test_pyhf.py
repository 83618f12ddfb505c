"""The same measurement by pyhf: fits, errors, profiles and CLs.

Three bins with signal and background; one nuisance parameter scales each bin by (1 + d)^nu, which
is interpolation code 1 of HistFactory for symmetric variations 1 + d and 1 / (1 + d).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import reduce
from operator import add
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from scipy.stats import norm

from madminer.likelihood import HistoLikelihood, Likelihood, fit, profile_log_likelihood
from madminer.likelihood.fit import profile_nuisances

pyhf = pytest.importorskip("pyhf", reason="needs pyhf to compare with")

pytestmark = pytest.mark.filterwarnings("ignore:jsonschema.RefResolver:DeprecationWarning")

MakeFile = Callable[..., Path]
SIGNAL, BACKGROUND = np.array([6.0, 12.0, 9.0]), np.array([60.0, 50.0, 20.0])
SIZES = {"different": np.array([0.08, -0.05, 0.12]), "equal": np.array([0.1, 0.1, 0.1])}
DATA = {"excess": np.array([71.0, 60.0, 24.0]), "deficit": np.array([55.0, 51.0, 17.0])}
LUMINOSITY = 2.0
MUS = np.linspace(0.0, 4.0, 9)


@pytest.fixture(autouse=True)
def _minuit() -> Iterator[None]:
    """Fits of pyhf by MINUIT, which gives errors."""
    before = pyhf.get_backend()
    pyhf.set_backend("numpy", pyhf.optimize.minuit_optimizer(tolerance=1e-4), precision="64b")
    yield
    pyhf.set_backend(*before)


def pyhf_model(sizes: np.ndarray) -> ModuleType:
    """One channel a bin, whose samples share the variation of the bin."""

    def sample(name: str, content: float, d: float) -> dict[str, object]:
        scale = {"name": "s", "type": "normsys", "data": {"hi": 1.0 + d, "lo": 1.0 / (1.0 + d)}}
        strength = {"name": "mu", "type": "normfactor", "data": None}
        modifiers = [scale, strength] if name == "signal" else [scale]
        return {"name": name, "data": [content], "modifiers": modifiers}

    channels = [
        {
            "name": f"bin{k}",
            "samples": [sample("signal", SIGNAL[k], d), sample("background", BACKGROUND[k], d)],
        }
        for k, d in enumerate(sizes)
    ]
    limits = [{"name": "mu", "bounds": [[-5.0, 15.0]], "inits": [1.0]}]
    return pyhf.Model(
        {"channels": channels, "parameters": limits},
        poi_name="mu",
        modifier_settings={"normsys": {"interpcode": "code1"}},
    )


def template(make: MakeFile, bins: slice, sizes: np.ndarray) -> HistoLikelihood:
    contents = np.stack([BACKGROUND, SIGNAL], axis=1)[bins] / LUMINOSITY
    return HistoLikelihood(make(contents, {"s": (1.0 + sizes[bins], 1.0 / (1.0 + sizes[bins]))}))


def as_channels(make: MakeFile, sizes: np.ndarray, counts: np.ndarray) -> Likelihood:
    """One number of events for each bin: the same model."""
    parts = [
        template(make, slice(k, k + 1), sizes).create_negative_log_likelihood(
            [[0.5]], n_observed=float(n), luminosity=LUMINOSITY
        )
        for k, n in enumerate(counts)
    ]
    return reduce(add, parts)


def as_histogram(make: MakeFile, sizes: np.ndarray, counts: np.ndarray) -> Likelihood:
    """A histogram and its total, whose response between nu = 0 and 1 is interpolated apart."""
    return template(make, slice(None), sizes).create_negative_log_likelihood(
        [[0.5], [1.5], [2.5]],
        ["k"],
        hist_bins=[[0.0, 1.0, 2.0, 3.0]],
        mode="histo",
        n_observed=float(counts.sum()),
        x_observed_weights=counts,
        luminosity=LUMINOSITY,
    )


@pytest.fixture(params=["excess", "deficit"])
def counts(request: pytest.FixtureRequest) -> np.ndarray:
    return DATA[request.param]


@pytest.fixture(params=["different", "equal"])
def sizes(request: pytest.FixtureRequest) -> np.ndarray:
    return SIZES[request.param]


@pytest.fixture(params=[as_channels, as_histogram])
def build(request: pytest.FixtureRequest) -> Callable[..., Likelihood]:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def likelihood(
    build: Callable[..., Likelihood],
    template_file: MakeFile,
    sizes: np.ndarray,
    counts: np.ndarray,
) -> Likelihood:
    return build(template_file, sizes, counts)


@pytest.fixture
def model(sizes: np.ndarray) -> ModuleType:
    return pyhf_model(sizes)


def by_name(model: ModuleType, mu: float, s: float) -> list[float]:
    values = {"mu": mu, "s": s}
    return [values[name] for name in model.config.par_order]


def test_values_are_the_same(
    template_file: MakeFile, sizes: np.ndarray, counts: np.ndarray, model: ModuleType
) -> None:
    """All constants included: Poisson probabilities and the density of the constraint."""
    likelihood = as_channels(template_file, sizes, counts)
    data = [*counts, *model.config.auxdata]
    assert likelihood.names == ("mu", "s")
    for mu, s in ((0.0, 0.0), (1.0, 1.0), (2.5, -1.7), (0.3, 2.2)):
        expected = -float(model.logpdf(by_name(model, mu, s), data)[0])
        assert likelihood([mu, s]) == pytest.approx(expected, rel=1e-10)


def test_histograms_differ_by_a_constant(
    template_file: MakeFile, sizes: np.ndarray, counts: np.ndarray
) -> None:
    params = np.array([[0.0, 0.0], [1.0, 1.0], [2.0, -1.0], [0.4, 0.5], [1.5, -0.6]])
    channels, histogram = (
        build(template_file, sizes, counts).values(params) for build in (as_channels, as_histogram)
    )
    difference = histogram - channels
    np.testing.assert_allclose(difference[:3], difference[0], atol=1e-9)  # variations are known
    np.testing.assert_allclose(difference, difference[0], atol=1e-3)


def test_fits_are_the_same(likelihood: Likelihood, counts: np.ndarray, model: ModuleType) -> None:
    data = [*counts, *model.config.auxdata]
    best = pyhf.infer.mle.fit(data, model, return_uncertainties=True)
    order = [model.config.par_order.index(name) for name in likelihood.names]
    result = fit(likelihood, [1.0, 0.0])
    np.testing.assert_allclose(result.values, best[order, 0], atol=1e-3)
    np.testing.assert_allclose(result.errors, best[order, 1], rtol=1e-2)  # with limits in pyhf
    steps = 1e-3 * np.eye(2)

    def nll(params: np.ndarray) -> float:
        return -float(model.logpdf(by_name(model, *params), data)[0])

    hessian = [
        [
            sum(i * j * nll(result.values + i * a + j * b) for i in (1, -1) for j in (1, -1)) / 4e-6
            for a in steps
        ]
        for b in steps
    ]
    np.testing.assert_allclose(result.errors, np.sqrt(np.diag(np.linalg.inv(hessian))), rtol=1e-3)


def test_profiles_are_the_same(
    likelihood: Likelihood, counts: np.ndarray, model: ModuleType
) -> None:
    data = [*counts, *model.config.auxdata]
    expected = np.array(
        [
            float(pyhf.infer.mle.fixed_poi_fit(mu, data, model, return_fitted_val=True)[1])
            for mu in MUS
        ]
    )
    _, _, best, log_r = profile_log_likelihood(likelihood, [0], thetas_eval=MUS[:, np.newaxis])
    assert best == np.argmin(expected)
    np.testing.assert_allclose(-2.0 * log_r, expected - expected.min(), rtol=2e-4, atol=1e-3)
    together = profile_nuisances(likelihood, MUS[:, np.newaxis]).nll
    np.testing.assert_allclose(
        2.0 * (together - together.min()), expected - expected.min(), rtol=2e-4, atol=1e-3
    )


def q_tilde(likelihood: Likelihood, mu: float) -> float:
    """Test statistic of upper limits on mu > 0; Cowan et al., arXiv:1007.1727, eq. 16."""
    best = fit(likelihood, [1.0, 0.0])
    lowest = best.nll
    if best.values[0] > mu:
        return 0.0
    if best.values[0] < 0.0:
        lowest = float(profile_nuisances(likelihood, np.zeros((1, 1))).nll[0])
    tested = float(profile_nuisances(likelihood, np.array([[mu]])).nll[0])
    return max(2.0 * (tested - lowest), 0.0)


def asimov(
    build: Callable[..., Likelihood], make: MakeFile, sizes: np.ndarray, observed: Likelihood
) -> Likelihood:
    """Data as expected without signal, at the nuisance parameter that the data prefer then."""
    s = float(profile_nuisances(observed, np.zeros((1, 1))).params[0, 1])
    expected = build(make, sizes, BACKGROUND * (1.0 + sizes) ** s)
    return Likelihood(expected.channels, np.array([[s]]))


@pytest.mark.parametrize("mu", [1.0, 2.5])
def test_cls_are_the_same(
    build: Callable[..., Likelihood],
    template_file: MakeFile,
    sizes: np.ndarray,
    counts: np.ndarray,
    likelihood: Likelihood,
    model: ModuleType,
    mu: float,
) -> None:
    """Observed and expected, by the asymptotic formulas; arXiv:1007.1727, eqs. 65 and 66."""
    q = q_tilde(likelihood, mu)
    q_asimov = q_tilde(asimov(build, template_file, sizes, likelihood), mu)
    root, spread = np.sqrt(q), np.sqrt(q_asimov)
    distance = root - spread if root <= spread else (q - q_asimov) / (2.0 * spread)
    observed = norm.sf(distance + spread) / norm.sf(distance)
    band = [norm.sf(spread + n) / norm.sf(n) for n in (2.0, 1.0, 0.0, -1.0, -2.0)]

    found, expected = pyhf.infer.hypotest(
        mu,
        [*counts, *model.config.auxdata],
        model,
        par_bounds=[
            [0.0, 15.0] if name == "mu" else [-5.0, 5.0] for name in model.config.par_order
        ],
        test_stat="qtilde",
        return_expected_set=True,
    )
    assert observed == pytest.approx(float(found), abs=1e-3)
    np.testing.assert_allclose(band, np.array(expected, float), atol=1e-3)
