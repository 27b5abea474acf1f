"""Checks of metal-organic frameworks: MOFChecker's rules, written anew; their table is `checks.registry.MOF_RULES`."""
