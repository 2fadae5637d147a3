"""KSM scripts on the kernel: worker processes as their address spaces, and the emulated twin beside them."""
