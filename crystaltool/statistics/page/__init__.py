"""The page of `crystaltool stats --html`: one file that asks no network."""
