"""Many runs of one scenario: a grid of what varies, each run in a process of its own, here or on other machines."""
