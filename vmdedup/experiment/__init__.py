"""Experiments: a scenario, the run of it, and what is measured meanwhile.

scenario  what is to be run, validated            load     TOML, flags and defaults into a scenario
run       host + ksmd + guests into a Result      clock/   lockstep and wall
sampler   one row of every counter now            builtin/ the scenarios that come with the program
"""

from __future__ import annotations
