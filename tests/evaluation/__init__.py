"""Tests of crystaltool/evaluation."""
