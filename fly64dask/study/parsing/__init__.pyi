from .toml import (
    checked_study as checked_study,
    parse_study as parse_study,
    parse_toml as parse_toml,
)
