from .calling import NoAnswerError as NoAnswerError
from .commands import (
    BatchJob as BatchJob,
    cancel_jobs as cancel_jobs,
    how_it_ended as how_it_ended,
    is_job_limit as is_job_limit,
    jobs_of as jobs_of,
    jobs_words as jobs_words,
    queue_status as queue_status,
    refuse_without as refuse_without,
    submit_script as submit_script,
)
from .systems import (
    BatchCommands as BatchCommands,
    cancel_workers as cancel_workers,
    commands_of as commands_of,
    end_workers as end_workers,
)
