"""Commands about one machine: what it can do, and how it works for a run on another one.

The package exports no names, as a command is called as its module is: `cli.main` takes each from its module.
"""

__all__: list[str] = []
