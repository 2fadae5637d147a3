"""Numbers of x86-64's system calls, and of what is asked of them. Source: syscalls(2), and the manual page of each."""

from __future__ import annotations

from typing import Final

READ: Final = 0
WRITE: Final = 1
OPEN: Final = 2
CLOSE: Final = 3
MMAP: Final = 9
MUNMAP: Final = 11
IOCTL: Final = 16
PREAD: Final = 17
PWRITE: Final = 18
SCHED_YIELD: Final = 24
MADVISE: Final = 28
DUP: Final = 32
NANOSLEEP: Final = 35
EXECVE: Final = 59
WAIT4: Final = 61
KILL: Final = 62
MKDIR: Final = 83
RMDIR: Final = 84
MKNOD: Final = 133
PRCTL: Final = 157
MOUNT: Final = 165
SCHED_SETAFFINITY: Final = 203
SWAPON: Final = 167
SWAPOFF: Final = 168
INIT_MODULE: Final = 175
EXIT_GROUP: Final = 231
MBIND: Final = 237
MOVE_PAGES: Final = 279
PIPE2: Final = 293
CLOSE_RANGE: Final = 436

O_WRONLY: Final = 0o1
O_RDWR: Final = 0o2
O_NOCTTY: Final = 0o400
O_CLOEXEC: Final = 0o2000000

PROT_READ_WRITE: Final = 3
MAP_SHARED: Final = 0x1
MAP_PRIVATE: Final = 0x2
MAP_FIXED: Final = 0x10
MAP_ANONYMOUS: Final = 0x20
MAP_NORESERVE: Final = 0x4000
MAP_FIXED_NOREPLACE: Final = 0x100000

MADV_DONTNEED: Final = 4
MADV_MERGEABLE: Final = 12
MADV_UNMERGEABLE: Final = 13
MADV_HUGEPAGE: Final = 14
MADV_NOHUGEPAGE: Final = 15
MADV_PAGEOUT: Final = 21
MADV_COLLAPSE: Final = 25

MPOL_BIND: Final = 2
MPOL_MF_MOVE: Final = 2
MPOL_MF_MOVE_ALL: Final = 4

PR_SET_MEMORY_MERGE: Final = 67
PR_GET_MEMORY_MERGE: Final = 68

TCSETS: Final = 0x5402
CLONE_PARENT: Final = 0x8000
SIGCHLD: Final = 17
SIGKILL: Final = 9
