from __future__ import annotations

import logging

import pytest

from madminer.utils.various import less_logging


def speak() -> None:
    logging.getLogger("madminer.sampling").info("inside")
    logging.getLogger("madminer.sampling").warning("careful")
    logging.getLogger("another").info("foreign")


def test_messages_are_silent_inside_only(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        with less_logging():
            speak()
        speak()
    messages = [record.getMessage() for record in caplog.records]
    assert messages == ["careful", "foreign", "inside", "careful", "foreign"]


def test_errors_end_the_silence(caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        with less_logging():
            raise ValueError("inside")

    with caplog.at_level(logging.INFO):
        with pytest.raises(ValueError, match="inside"):
            fail()
        speak()
    assert caplog.records[0].getMessage() == "inside"
