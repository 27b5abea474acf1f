"""What a set of structures is like: one pass, flat memory, figures beside those of another set, a page to look at."""
