"""KSM scripts: what processes do with their memory and when ksmd scans, on the emulator or a kernel."""
