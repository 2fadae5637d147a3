"""Folders, files, locks and child processes of ours: made here alone, with a look at whose they are."""
