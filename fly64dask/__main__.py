"""`python -m fly64dask` -> the command line."""

from fly64dask.cli.main import main

if __name__ == "__main__":
    main()
