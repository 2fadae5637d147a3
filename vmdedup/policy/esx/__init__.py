"""ESX Server's content-based page sharing: hints, shared frames, random choice. Source: waldspurger2002."""
