"""What exists on Unix alone: the double of Windows lacks it, and tests that need it are found."""

import os
import signal
from types import ModuleType

LACKING: dict[ModuleType, frozenset[str]] = {
    os: frozenset(
        [
            "O_DIRECTORY",
            "O_NOFOLLOW",
            "O_NONBLOCK",
            "O_CLOEXEC",
            "chown",
            "fchmod",
            "fchown",
            "fork",
            "forkpty",
            "geteuid",
            "getgid",
            "getloadavg",
            "getpgid",
            "getuid",
            "killpg",
            "mkfifo",
            "nice",
            "openpty",
            "posix_spawn",
            "pread",
            "pwrite",
            "register_at_fork",
            "sched_getaffinity",
            "sched_setaffinity",
            "setpgid",
            "setsid",
            "sysconf",
            "ttyname",
            "uname",
            "wait",
            "wait3",
            "wait4",
            "P_PID",
            "WEXITED",
            "WNOHANG",
            "WNOWAIT",
            "pidfd_open",
            "waitid",
        ]
    ),
    signal: frozenset(
        [
            "SIGALRM",
            "SIGCHLD",
            "SIGCONT",
            "SIGHUP",
            "SIGKILL",
            "SIGPIPE",
            "SIGQUIT",
            "SIGSTOP",
            "SIGTSTP",
            "SIGUSR1",
            "SIGUSR2",
            "SIG_BLOCK",
            "SIG_SETMASK",
            "SIG_UNBLOCK",
            "alarm",
            "pause",
            "pthread_kill",
            "pthread_sigmask",
            "setitimer",
            "sigwait",
        ]
    ),
}
MISSING = {"fcntl", "resource", "pwd", "grp", "termios"}
