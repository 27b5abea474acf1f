"""Force fields behind one interface, and the minimiser that keeps a space group."""
