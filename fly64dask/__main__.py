"""`python -m fly64dask` -> the command line."""

from fly64dask.cli import main

if __name__ == "__main__":
    main()
