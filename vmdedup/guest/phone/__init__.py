"""Phones: one system, one zygote, many apps that come and go."""
