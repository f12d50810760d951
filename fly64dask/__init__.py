"""Dose x view x split matrices of ptychographic reconstructions: study file in, manifest out."""

import logging

__version__ = "0.1.0"

# Who uses the package decides where its log goes; without this, Python prints it.
logging.getLogger(__name__).addHandler(logging.NullHandler())
