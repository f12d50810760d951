from .toml import (
    parse_study as parse_study,
    parse_toml as parse_toml,
)
