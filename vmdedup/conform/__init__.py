"""Does a kernel's ksmd do what a version of Linux does? Scripts on both; differences shrunk, and named if possible."""
