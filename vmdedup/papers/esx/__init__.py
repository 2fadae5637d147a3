"""Experiments of ESX Server. Waldspurger, OSDI 2002."""
