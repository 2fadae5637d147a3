"""Processes of ours with memory that the kernel's ksmd scans: started, spoken to, ended."""
