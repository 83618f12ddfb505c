from __future__ import annotations

import logging

import pytest

from madminer.utils.various import less_logging


def test_messages_are_silent_inside_only(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("madminer.sampling")
    with caplog.at_level(logging.INFO):
        logger.info("before")
        with pytest.raises(ValueError, match="inside"), less_logging():
            logger.info("inside")
            logger.warning("careful")
            logging.getLogger("another").info("foreign")
            raise ValueError("inside")
        logger.info("after")
    assert [record.getMessage() for record in caplog.records] == [
        "before",
        "careful",
        "foreign",
        "after",
    ]
    assert logger.isEnabledFor(logging.ERROR)
