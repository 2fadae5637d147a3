"""What all published experiments are made with: benches, runs, published figures, verdicts."""
