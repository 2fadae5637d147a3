"""What this machine can do, and what keeps KSM from merging: findings, each with its remedy. Nothing is changed.

finding       one thing found, and what it matters for
machine       where everything is read: files below a root, programs, modules
processes     processes, their memory maps, what KSM says of them
scene         all that the checks look at, read once
check_ksm     the kernel's KSM: there, ours to drive, in use
check_tools   KVM, QEMU, libvirt, Ansible, what images are built with, memory and disk
check_merging why ksmd merges little or nothing: its tunables and counters
check_guests  why a process's memory is not merged: not advised, shared, huge pages, pinned
check_tuned   ksmtuned, and whether it sees the guests
examine       all checks in order, judged by purpose
text          findings for people; the JSON document
"""

from __future__ import annotations
