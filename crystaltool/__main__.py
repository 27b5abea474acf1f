"""`python -m crystaltool`."""

from crystaltool.cli.main import main

if __name__ == "__main__":
    main()
