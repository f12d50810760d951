"""The command line: options, text for people, JSON for scripts, and exit codes."""
