from .named import (
    NamedRecipe as NamedRecipe,
    check_recipes as check_recipes,
    with_half_sets as with_half_sets,
    with_shared_settings as with_shared_settings,
)
from .recipe import (
    PATIENCE as PATIENCE,
    Algorithm as Algorithm,
    Checkpoints as Checkpoints,
    Limits as Limits,
    Recipe as Recipe,
    without_counts as without_counts,
)
from .remedy import (
    GUARDED_MAX_EPOCHS as GUARDED_MAX_EPOCHS,
    MENDS as MENDS,
    REMEDY_KINDS as REMEDY_KINDS,
    Remedy as Remedy,
    RemedyKind as RemedyKind,
    overridden_by_guard as overridden_by_guard,
    remedied_recipe as remedied_recipe,
)
