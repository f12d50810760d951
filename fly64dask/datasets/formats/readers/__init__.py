"""One module for each family of formats: what its files say, as parts of a scan."""
