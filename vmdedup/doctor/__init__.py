"""What this machine can do, and what keeps KSM from merging."""
