"""The whole chain on the embedded process or on a sample from a file, as one command."""

from __future__ import annotations

from madminer.demo.chain import DemoResult, run_demo
from madminer.demo.settings import DemoSettings

__all__ = ["DemoResult", "DemoSettings", "run_demo"]
