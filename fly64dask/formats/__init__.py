"""Other programs' scan files <-> photon counts, positions and probe in this project's units."""
