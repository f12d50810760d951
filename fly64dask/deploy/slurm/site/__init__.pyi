from .site_file import (
    SlurmFile as SlurmFile,
    System as System,
    is_cluster_file as is_cluster_file,
    parse_slurm_file as parse_slurm_file,
    read_slurm_file as read_slurm_file,
)
from .tables import (
    Controller as Controller,
    Environment as Environment,
    Network as Network,
    Patience as Patience,
    Workers as Workers,
)
from .values import (
    in_bytes as in_bytes,
    in_seconds as in_seconds,
)
