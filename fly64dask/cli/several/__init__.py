"""Commands that handle whole run directories beside each other: list, clean and merge them.

The package exports no names, as a command is called as its module is: `cli.main` takes each from its module.
"""

__all__: list[str] = []
