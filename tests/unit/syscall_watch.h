/*
 * syscall_watch: the system calls that a stretch of a test makes, counted by ptrace(2).
 *
 * The test goes on in a child, which is traced and marks the edges of each stretch with syscall_mark; what it
 * does beside them is not counted. Nothing of it is seen by the parent but the counts and the exit status,
 * and cmocka's assertions do not work there.
 *
 * Reading the clock is no system call where the kernel's vDSO has it, and is not counted where it is one.
 */
#ifndef MXWAY_TESTS_SYSCALL_WATCH_H
#define MXWAY_TESTS_SYSCALL_WATCH_H

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cmocka_compat.h"

struct syscall_stretch {
  unsigned waits, reads, writes; /* of epoll; of sockets and other descriptors */
  unsigned others;
  long other; /* the number of one of those */
};

enum syscall_watched {
  SYSCALL_WATCHED,
  SYSCALL_NOT_WATCHED, /* ptrace(2) is not allowed here */
};

/* In the child: a stretch begins, or ends. */
static inline void syscall_mark(void) { syscall(SYS_getppid); }

static inline void syscall_count(struct syscall_stretch *stretch, long number) {
  switch (number) {
#ifdef SYS_epoll_wait
  case SYS_epoll_wait:
#endif
#ifdef SYS_epoll_pwait2
  case SYS_epoll_pwait2:
#endif
  case SYS_epoll_pwait:
    stretch->waits++;
    return;
  case SYS_read:
  case SYS_readv:
  case SYS_recvfrom:
  case SYS_recvmsg:
    stretch->reads++;
    return;
  case SYS_write:
  case SYS_writev:
  case SYS_sendto:
  case SYS_sendmsg:
    stretch->writes++;
    return;
#ifdef SYS_clock_gettime
  case SYS_clock_gettime:
#endif
#ifdef SYS_clock_gettime64
  case SYS_clock_gettime64:
#endif
    return;
  default:
    stretch->others++;
    stretch->other = number;
  }
}

/* The number of the system call that the stopped child enters, or -1 where it is not entering one. */
static inline long syscall_entered(pid_t child) {
  struct __ptrace_syscall_info info;
  memset(&info, 0, sizeof(info));
  if (ptrace(PTRACE_GET_SYSCALL_INFO, child, (void *)sizeof(info), &info) <= 0 ||
      info.op != PTRACE_SYSCALL_INFO_ENTRY)
    return -1;
  return (long)info.entry.nr;
}

/* Counts until the child has ended; returns how, as waitpid does. */
static inline int syscall_trace(pid_t child, struct syscall_stretch *stretches, size_t most, size_t *count) {
  int status, given = 0; /* a signal that the child is to get */
  bool is_inside = false;
  while (ptrace(PTRACE_SYSCALL, child, NULL, (void *)(intptr_t)given) == 0 &&
         waitpid(child, &status, 0) == child && WIFSTOPPED(status)) {
    bool is_call = WSTOPSIG(status) == (SIGTRAP | 0x80);
    given = is_call ? 0 : WSTOPSIG(status);
    long number = is_call ? syscall_entered(child) : -1;
    if (number == SYS_getppid) {
      *count += is_inside;
      is_inside = !is_inside;
    } else if (number >= 0 && is_inside && *count < most) {
      syscall_count(&stretches[*count], number);
    }
  }
  return status;
}

/* Lets `act` run in a child and counts each of its stretches, `*count` of them, into `stretches`, which has
 * room for `most`. Fails the test unless `act` returns true. */
static inline enum syscall_watched syscall_watch(bool (*act)(void *context), void *context,
                                                 struct syscall_stretch *stretches, size_t most,
                                                 size_t *count) {
  memset(stretches, 0, most * sizeof(*stretches));
  *count = 0;
  pid_t child = fork();
  assert_return_code(child, errno);
  if (child == 0) {
    if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
      _exit(2);
    raise(SIGSTOP);
    _exit(!act(context));
  }
  int status;
  assert_int_equal(waitpid(child, &status, 0), child);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 2)
    return SYSCALL_NOT_WATCHED;
  assert_true(WIFSTOPPED(status));
  intptr_t options = PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL;
  assert_return_code(ptrace(PTRACE_SETOPTIONS, child, NULL, (void *)options), errno);
  status = syscall_trace(child, stretches, most, count);
  assert_true(WIFEXITED(status));
  assert_int_equal(WEXITSTATUS(status), 0);
  return SYSCALL_WATCHED;
}

#endif
