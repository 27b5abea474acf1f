"""Tests of crystaltool/models."""
