"""Real kernels in throw-away QEMU guests: fetched, booted, asked."""
