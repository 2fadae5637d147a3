"""Scenarios: what is to be run, from TOML and flags to checked sections, and its guests one by one."""
