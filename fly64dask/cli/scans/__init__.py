"""Commands that handle one scan: files of other programs become stores, stores are looked at and written as files."""
