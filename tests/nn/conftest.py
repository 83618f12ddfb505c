from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(autouse=True)
def _on_the_device(device: torch.device) -> Iterator[None]:
    """Tensors that do not say where they lie are made on the device of the tests."""
    with device:
        yield
