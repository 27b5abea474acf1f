"""Tests of crystaltool/diffusion."""
