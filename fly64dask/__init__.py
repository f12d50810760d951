"""Dose x view x split matrices of ptychographic reconstructions: study file in, manifest out."""

__version__ = "0.1.0"
