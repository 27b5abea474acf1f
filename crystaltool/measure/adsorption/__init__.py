"""Adsorption of gases in rigid frameworks by grand-canonical Monte Carlo."""
