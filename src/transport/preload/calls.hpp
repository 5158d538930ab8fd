// SPDX-License-Identifier: Apache-2.0
// The socket calls on offloaded files: what the host library does not do, which is waiting, SIGPIPE and descriptors.
// All return what the system call of the name would, with a negative errno for a failure.
#pragma once

#include <poll.h>
#include <signal.h>
#include <sys/uio.h>

#include "transport/preload/library.hpp"

namespace xnic::transport::preload {

// ---- data
ssize_t receive(int fd, File& file, const iovec* parts, int count, int flags);
ssize_t transmit(int fd, File& file, const iovec* parts, int count, int flags);
// To an offloaded socket from a file, and between a socket and a pipe.
ssize_t send_from_file(int fd, File& file, int from, off64_t* offset, size_t count);
ssize_t splice_to_socket(int pipe, int fd, File& file, size_t count, unsigned flags);
ssize_t splice_from_socket(int fd, File& file, int pipe, size_t count, unsigned flags);

// ---- sockets
int bind_fresh(int fd, File& file, const sockaddr* address, socklen_t size, bool& offloaded);
int connect_socket(int fd, File& file, const sockaddr* address, socklen_t size);
// On an offloaded socket that is only bound, to an address that is the kernel's: it goes back there.
bool back_to_kernel(int fd, File& file, const sockaddr* address);
int accept_socket(int fd, File& file, sockaddr* address, socklen_t* size, int flags);
int set_option(File& file, int level, int name, const void* value, socklen_t size);
int control_socket(int fd, File& file, unsigned long request, void* argument);

// ---- waiting. `any` of the descriptors is offloaded, or an epoll set.
bool any_is_ours(pollfd* fds, nfds_t count);
int poll_descriptors(pollfd* fds, nfds_t count, uint64_t timeout_ns, const sigset_t* mask);

// The call was interrupted: true when it has to go on, as SA_RESTART and the lack of a timeout say.
bool restarts(bool has_timeout);

}  // namespace xnic::transport::preload
