/* os/linux_bell.c: bells that wake who polls descriptors, on Linux.
 * SPDX-License-Identifier: MIT
 *
 * A bell is a datagram socket with an abstract name (unix(7)): there is no file to leave behind, and the
 * name goes with its last descriptor. A ring is an empty datagram. Names are found within one network
 * namespace only: an owner in another one is not rung, and has its ticks. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "os/linux.h"
#include "os/os.h"

_Static_assert(sizeof(lmp_pollfd) == sizeof(struct pollfd) &&
                   offsetof(lmp_pollfd, want) == offsetof(struct pollfd, events) &&
                   offsetof(lmp_pollfd, got) == offsetof(struct pollfd, revents),
               "a struct pollfd under another name");
_Static_assert(LMP_POLL_READ == POLLIN && LMP_POLL_BAD == POLLNVAL, "the bits of poll");

static socklen_t address_of(const lmp_bell_id *id, struct sockaddr_un *at) {
  memset(at, 0, sizeof *at);
  at->sun_family = AF_UNIX;
  int n =
      snprintf(at->sun_path + 1, sizeof at->sun_path - 1, "luamp-%016llx%016llx-%u-%u",
               (unsigned long long)id->key[0], (unsigned long long)id->key[1], id->number, id->gen);
  return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n);
}

static int bell_socket(void) {
  return socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

int lmp_os_bell_open(const lmp_bell_id *id) {
  struct sockaddr_un at;
  socklen_t len = address_of(id, &at);
  int fd = bell_socket();
  if (fd < 0) return -1;
  if (bind(fd, (const struct sockaddr *)&at, len) == 0) return fd;
  int saved = errno;
  close(fd);
  errno = saved;
  return -1;
}

/* With a socket for this one datagram: a lasting one would count what owners have not read yet against
 * its own buffer, and would have to outlive forks and hosts that close descriptors. */
void lmp_os_bell_ring(const lmp_bell_id *id) {
  struct sockaddr_un at;
  socklen_t len = address_of(id, &at);
  int saved = errno;
  int fd = bell_socket();
  if (fd >= 0) {
    /* No owner, or one whose socket is full of rings: nothing to do. */
    (void)!sendto(fd, "", 0, MSG_NOSIGNAL, (const struct sockaddr *)&at, len);
    close(fd);
  }
  errno = saved;
}

void lmp_os_bell_drain(int fd) {
  char byte;
  while (recv(fd, &byte, sizeof byte, MSG_DONTWAIT) >= 0) {
  }
}

lmp_woke lmp_os_poll(lmp_pollfd *fds, size_t n, uint64_t deadline) {
  struct timespec t = {0, 0};
  if (deadline != LMP_NOWAIT && deadline != LMP_FOREVER) {
    uint64_t now = lmp_os_now();
    t = lmp_linux_timespec(deadline > now ? deadline - now : 0);
  }
  int r = ppoll((struct pollfd *)(void *)fds, n, deadline == LMP_FOREVER ? NULL : &t, NULL);
  if (r > 0) return LMP_WOKEN;
  if (r == 0) return LMP_TIMED_OUT;
  return errno == EINTR ? LMP_SIGNALLED : LMP_CHANGED;
}
