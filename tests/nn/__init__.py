"""Tests of crystaltool/nn."""
