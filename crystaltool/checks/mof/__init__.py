"""Checks of metal-organic frameworks: MOFChecker's rules, written anew; see `registry`."""

from crystaltool.checks.mof.registry import judge_crystal, mof_valid

__all__ = ["judge_crystal", "mof_valid"]
