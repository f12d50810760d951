"""The command line: options, text for people, JSON for scripts, and exit codes.

The package exports no names: programs start at `fly64dask.cli.main:main`, and a command is called as its module is, of
which a package can only have one. What the commands do is in the Python API of the other packages.
"""

__all__: list[str] = []
