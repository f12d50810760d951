from .groups import (
    Command as Command,
    SectionedCommand as SectionedCommand,
    example as example,
    options_as as options_as,
)
from .output import (
    EXIT_BAD_INPUT as EXIT_BAD_INPUT,
    EXIT_FAILED_CELL as EXIT_FAILED_CELL,
    from_here as from_here,
    print_json as print_json,
    rows_json as rows_json,
    without_links as without_links,
)
from .shared import (
    ClusterOptions as ClusterOptions,
    DoseType as DoseType,
    cluster_options as cluster_options,
    filter_options as filter_options,
    filter_words as filter_words,
    json_option as json_option,
    out_option as out_option,
    recipe_options as recipe_options,
    run_argument as run_argument,
    runs_argument as runs_argument,
    study_argument as study_argument,
)
