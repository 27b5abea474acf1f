"""UFF and UFF4MOF: the default force field of metal-organic frameworks, typed on a known bond graph."""
