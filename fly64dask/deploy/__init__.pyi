from .access import (
    LOOPBACK_ONLY as LOOPBACK_ONLY,
    Access as Access,
    joinable as joinable,
    tunnel_command as tunnel_command,
)
from .certificate_folder import remove_certificates as remove_certificates
from .doctor import examine as examine
from .joining import work_for as work_for
from .local import (
    Placement as Placement,
    connect as connect,
    n_local_cores as n_local_cores,
    refuse_unguarded_script as refuse_unguarded_script,
)
from .worker_checks import check_workers as check_workers
from .worker_server import load_workers as load_workers
