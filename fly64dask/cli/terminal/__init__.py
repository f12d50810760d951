"""What a person reads in a terminal: tables of rich, bars of a run under way, a matrix that is redrawn."""
