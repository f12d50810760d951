"""What can be against a scan: each check yields complaints with numbers and a remedy, and all are raised at once."""
