"""One process that puts right what a killed run leaves: programs, guests, tunables, files, folders.

program.py is that process, guardian.py the owner's end of it, before.py what is on disk in case all are killed at once.
"""
