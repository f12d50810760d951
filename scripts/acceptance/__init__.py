"""Acceptance studies: published results on dose and overlap, held against what this program gives."""
