"""The version of this package and of those parts of it that compute numbers, written here alone."""

__version__ = "0.2.0"
# Raise one by one where this package gives other numbers for the same cell. Each record holds them. A cell runs again
# if its engine's are older, and is measured again if its metrics are. Half sets count in recipes that stop by them.
RECONSTRUCTION, HALF_SETS, METRICS = "fly64dask reconstruction", "fly64dask half sets", "fly64dask metrics"
EDITIONS = {RECONSTRUCTION: 1, HALF_SETS: 2, METRICS: 1}
