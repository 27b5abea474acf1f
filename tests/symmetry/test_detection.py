"""The tolerance of the detector that is in force is said where it is not the one asked for."""

from __future__ import annotations

import logging

import pytest

from crystaltool.asymunit import expand
from crystaltool.io.remarks import NOTE
from crystaltool.symmetry import detection
from tests.forcefield.units import RUTILE


def test_another_tolerance_is_said_without_being_asked(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A detector that halves every tolerance without a word, as moyopy does now and then."""
    ask = detection._ask
    crystal = expand(RUTILE)
    caplog.set_level(logging.INFO, "crystaltool")
    assert detection.detect(crystal, 0.01).number == 136 and not caplog.records
    monkeypatch.setattr(detection, "_ask", lambda cell, symprec: ask(cell, 0.5 * symprec))
    assert detection.detect(crystal, 0.01).number == 136
    (record,) = caplog.records
    assert record.levelno == NOTE == detection._NOTE
    assert "space group 136 was found at a tolerance of 0.005 A, not 0.01 A" in record.getMessage()
    assert "its operations hold within" in record.getMessage()
