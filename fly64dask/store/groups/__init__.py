"""A Zarr group on disk: its arrays and attributes, written and read with every byte checked."""
