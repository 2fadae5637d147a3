"""What it takes to give emulated guests real memory, under the kernel's own ksmd."""
