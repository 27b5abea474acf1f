"""Tests of crystaltool/models/mofdiff."""
