from .cluster import slurm_cluster as slurm_cluster
from .controller import (
    SubmittedController as SubmittedController,
    cancel_run as cancel_run,
    controller_goes_on as controller_goes_on,
    jobs_line as jobs_line,
    read_submission as read_submission,
)
from .pools import device_kinds as device_kinds
from .site import (
    SlurmFile as SlurmFile,
    is_cluster_file as is_cluster_file,
    read_slurm_file as read_slurm_file,
)
from .submission import preview as preview, submit_run as submit_run
