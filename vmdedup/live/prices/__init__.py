"""What the kernel's ksmd takes on this host: full scans timed, and the price list that follows."""
