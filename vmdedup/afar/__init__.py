"""Work on other machines, by dask.distributed: who is there, and whether they have the same vmdedup."""
