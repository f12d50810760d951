from .files import (
    new_study as new_study,
    new_study_of_scan as new_study_of_scan,
)
from .template_files import TEMPLATES as TEMPLATES
