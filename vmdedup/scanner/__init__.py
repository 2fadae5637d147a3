"""Who scans a host's memory, whichever it is: one protocol, one process for each, started again when killed."""
