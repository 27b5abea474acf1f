"""What can be measured of a structure beyond a verdict: numbers that travel in its block."""
