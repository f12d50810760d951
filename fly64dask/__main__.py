"""The command line as `python -m fly64dask`."""

from fly64dask.cli.main import main

if __name__ == "__main__":
    main()
