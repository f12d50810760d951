"""Commands that handle one scan: files of other programs become stores, stores are looked at and written as files.

The package exports no names, as a command is called as its module is: `cli.main` takes each from its module.
"""

__all__: list[str] = []
