from .atomic import (
    publish_bytes as publish_bytes,
    publish_link as publish_link,
    publish_text as publish_text,
    published_directory as published_directory,
    remove_leftover_files as remove_leftover_files,
    remove_leftovers as remove_leftovers,
    replaced_file as replaced_file,
    retire_directory as retire_directory,
)
from .disk_errors import (
    ROOM_REMEDY as ROOM_REMEDY,
    has_room as has_room,
    require_space as require_space,
    storing as storing,
)
from .documents import (
    LongDocument as LongDocument,
    document_schema as document_schema,
    document_text as document_text,
    read_document as read_document,
    write_document as write_document,
)
from .groups.array_source import (
    ArraySource as ArraySource,
    mask_array as mask_array,
    object_arrays as object_arrays,
    opr_weights_array as opr_weights_array,
    positions_array as positions_array,
    probe_array as probe_array,
    refined_positions_array as refined_positions_array,
    whole_array as whole_array,
)
from .groups.attributes import (
    ExposureAttributes as ExposureAttributes,
    GroupAttributes as GroupAttributes,
    IngestedScan as IngestedScan,
    ReconstructionAttributes as ReconstructionAttributes,
    ScanAttributes as ScanAttributes,
    TruthAttributes as TruthAttributes,
    ViewAttributes as ViewAttributes,
)
from .groups.hierarchy import (
    PARENT_METADATA as PARENT_METADATA,
    damaged_parents as damaged_parents,
    write_parent_groups as write_parent_groups,
)
from .groups.lazy_dataset import open_dataset as open_dataset
from .groups.metadata import METADATA_NAME as METADATA_NAME, read_attributes as read_attributes
from .groups.patterns import (
    CHUNK_EXPOSURES as CHUNK_EXPOSURES,
    count_dtype as count_dtype,
    counts_array as counts_array,
    expected_counts_array as expected_counts_array,
    exposures_in_chunk as exposures_in_chunk,
    mean_pattern_array as mean_pattern_array,
    photons_array as photons_array,
)
from .groups.reader import Group as Group, open_group as open_group
from .groups.writer import (
    write_arrays as write_arrays,
    write_attributes as write_attributes,
    write_group as write_group,
    write_group_archive as write_group_archive,
)
from .journal import note as note, started as started, starts_in_vain as starts_in_vain
from .layout import (
    LOG_NAME as LOG_NAME,
    RECONSTRUCTION_NAME as RECONSTRUCTION_NAME,
    RECORD_NAME as RECORD_NAME,
    RECORDS_PATTERN as RECORDS_PATTERN,
    SPACING_PREFIX as SPACING_PREFIX,
    RunLayout as RunLayout,
    is_name_in_run as is_name_in_run,
)
from .lease import (
    LEASE_S as LEASE_S,
    LOCK_KEY as LOCK_KEY,
    Lease as Lease,
    held_place as held_place,
    holder_at as holder_at,
)
from .lock import (
    HeldError as HeldError,
    held_file as held_file,
    held_run as held_run,
    holder_of as holder_of,
    is_held as is_held,
    unchanging_run as unchanging_run,
)
from .objects import (
    ObjectFacts as ObjectFacts,
    ObjectPlace as ObjectPlace,
    is_url as is_url,
    open_place as open_place,
    tag_of as tag_of,
)
