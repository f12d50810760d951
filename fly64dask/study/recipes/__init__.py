"""Recipes: the settings of an engine, which of them go together, several of one study, and remedies.

`Recipe` checks itself, `NamedRecipe` is one of several in a study, and `remedied_recipe` applies a `Remedy` to one.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
