"""crystaltool: generate inorganic crystals and metal-organic frameworks, from the shell or from Python."""

__version__ = "0.1.0"
