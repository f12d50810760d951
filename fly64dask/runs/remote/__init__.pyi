from .attempts import Copied as Copied
from .pull import pull_from as pull_from, pull_run as pull_run
from .push import push_run as push_run, push_to as push_to
