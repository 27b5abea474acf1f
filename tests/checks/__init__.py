"""Tests of crystaltool/checks."""
