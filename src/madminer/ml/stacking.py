"""Estimators that train together: each runs up to its training loop, and waits for the others.

A call of ``train`` loads and scales data, trains, and finishes its estimator. Here each call has a
thread of its own, of which one runs at a time. Where it comes to the loop it hands over what it
would train; trainings of equal shape then go through the loop as one stack
(`madminer.nn.stacked`), and each call ends with its own result.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar, copy_context
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Thread
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn

from madminer.errors import MadMinerError, TrainingError
from madminer.ml.base import Estimator
from madminer.nn.activations import activation
from madminer.nn.data import Dataset
from madminer.nn.history import TrainingHistory
from madminer.nn.loop import BatchLoss, TrivialAnswer, fit
from madminer.nn.settings import TrainingSettings
from madminer.nn.stacked import Training, fit_stack, stack_key

__all__ = ["stacking_obstacle", "train_stacked"]
