"""Recipes: the settings of an engine, which of them go together, several of one study, and remedies."""
