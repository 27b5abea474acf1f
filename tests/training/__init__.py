"""Tests of crystaltool/training."""
