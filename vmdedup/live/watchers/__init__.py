"""Those that put right what a killed run leaves: tunables, guests, folders."""
