"""Exceptions raised on purpose; each is also the built-in that a caller would expect.

Every message says what was expected, what came and what to do.
"""

from __future__ import annotations


class MadMinerError(Exception):
    """Base of every error raised on purpose by this package."""


class SetupError(MadMinerError, RuntimeError, ValueError):
    """Parameters, benchmarks or systematics do not form a valid analysis."""


class MorphingError(SetupError):
    """The benchmarks cannot serve as a morphing basis, or there is no morphing."""


class ExpressionError(MadMinerError, ValueError):
    """An observable, cut, efficiency or transform is refused, or its function fails."""


class ShapeError(MadMinerError, ValueError):
    """An array has the wrong shape; the message states expected and received."""


class OptionError(MadMinerError, ValueError):
    """An option lies outside what the function accepts."""


class UnknownNameError(MadMinerError, LookupError, ValueError):
    """A benchmark, parameter or observable of this name does not exist."""


class DataError(MadMinerError, ValueError):
    """Data contain NaN, infinities or values that the task cannot handle."""


class NegativeWeightError(DataError):
    """Negative weights appear where they have no meaning."""


class NoEventsError(MadMinerError, RuntimeError):
    """No event is left for the task."""


class FileFormatError(MadMinerError, ValueError):
    """A file is truncated or not of the expected layout."""


class FileChangedError(FileFormatError):
    """A file was written to, or replaced, while it was in use."""


class MissingFileError(MadMinerError, FileNotFoundError):
    """A file that should be read does not exist."""


class MissingWeightsError(FileFormatError):
    """A file lacks the event weights of a benchmark."""


class OutputError(MadMinerError, OSError):
    """Results cannot be written to the given place."""


class SimulatorError(MadMinerError, RuntimeError):
    """Another program, such as MadGraph or Delphes, fails; the message ends with its log."""


class TrainingError(MadMinerError, RuntimeError):
    """Training cannot start or has diverged."""


class NotTrainedError(MadMinerError, ValueError):
    """An estimator is asked for a prediction before it was trained or loaded."""


class NotAvailableError(MadMinerError, NotImplementedError):
    """An estimator of this kind does not provide a quantity; the message names one that does."""


class FitError(MadMinerError, RuntimeError):
    """A fit did not converge; its numbers must not be used."""


class EnsembleError(MadMinerError, RuntimeError):
    """Estimators do not form an ensemble: types or sizes differ, or there are too few."""


class WorkerError(MadMinerError, RuntimeError):
    """Another process of an executor is gone, takes no work, or cannot be given it."""


class MissingDependencyError(MadMinerError, ImportError):
    """An optional package is needed; the message names the extra to install."""


class UnavailableNameError(MadMinerError, ModuleNotFoundError):
    """A module or name of another version is imported; the message says what to use instead."""


class UnavailableAttributeError(MadMinerError, AttributeError):
    """The same of an attribute or method."""


class ClosureError(MadMinerError, RuntimeError):
    """A closure test failed: the results of this run must not be trusted."""


class EvidenceError(MadMinerError, RuntimeError):
    """In strict mode: a result may be wrong; the message is that of the warning."""
