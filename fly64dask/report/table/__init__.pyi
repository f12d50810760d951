from .cells import (
    DIMENSIONS as DIMENSIONS,
    FURTHER_DIMENSIONS as FURTHER_DIMENSIONS,
    INDEX as INDEX,
    RUN as RUN,
    cell_columns as cell_columns,
)
from .files import (
    check_table_name as check_table_name,
    csv_bytes as csv_bytes,
    parquet_bytes as parquet_bytes,
    table_attributes as table_attributes,
    write_table as write_table,
)
from .gathering import (
    TableColumns as TableColumns,
    gathered as gathered,
)
