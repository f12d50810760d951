"""One module for each group of commands; `cli` joins them."""
