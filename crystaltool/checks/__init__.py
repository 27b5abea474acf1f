"""Checks on structures: one file a check, each a pure function of a CIF block; `registry` lists them."""
