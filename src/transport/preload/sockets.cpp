// SPDX-License-Identifier: Apache-2.0
// bind, connect, accept, options and ioctls of offloaded sockets.
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/ioctl.h>

#include <linux/sockios.h>

#include <cerrno>

#include "transport/preload/calls.hpp"
#include "transport/preload/inside.hpp"
#include "transport/preload/real.hpp"
#include "transport/preload/waiting.hpp"

namespace xnic::transport::preload {

int bind_fresh(int fd, File& file, const sockaddr* address, socklen_t size, bool& offloaded) {
  offloaded = false;
  if (address == nullptr || size < sizeof(sockaddr_in) || !library().policy.offloads(Use::kListen, address)) {
    const int result = real().bind(fd, address, size) < 0 ? -errno : 0;
    // A wrong address leaves the socket as it was.
    if (result == 0) leave_to_kernel(file);
    return result;
  }
  offloaded = offload(fd, file);
  if (!offloaded) return real().bind(fd, address, size) < 0 ? -errno : 0;
  const int result = library().stack()->bind(file.id, address, size);
  file.bound = result == 0;
  return result;
}

bool back_to_kernel(int fd, File& file, const sockaddr* address) {
  if (!file.bound || address == nullptr || address->sa_family == AF_UNSPEC) return false;
  if (library().policy.offloads(Use::kConnect, address)) return false;
  sockaddr_storage own{};
  socklen_t size = sizeof own;
  host::Stack& stack = *library().stack();
  if (stack.getsockname(file.id, reinterpret_cast<sockaddr*>(&own), &size) < 0) return false;
  if (real().bind(fd, reinterpret_cast<const sockaddr*>(&own), size) < 0) return false;
  const host::SocketId id = file.id;
  stack.set_cookie(id, nullptr);
  leave_to_kernel(file);
  stack.close(id);
  return true;
}

int connect_socket(int fd, File& file, const sockaddr* address, socklen_t size) {
  const Inside inside;
  if (address == nullptr) return -EFAULT;
  host::Stack& stack = *library().stack();
  file.bound = false;
  const int result = stack.connect(file.id, address, size);
  const bool under_way = result == -EINPROGRESS || result == -EALREADY;
  if (!under_way || file.nonblocking || nonblocking_now(fd, file)) return result;
  timeval timeout{};
  socklen_t length = sizeof timeout;
  stack.getsockopt(file.id, SOL_SOCKET, SO_SNDTIMEO, &timeout, &length);
  const uint64_t ns =
      static_cast<uint64_t>(timeout.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(timeout.tv_usec) * 1000;
  const Deadline until = ns == 0 ? Deadline::never() : Deadline::after_ns(ns);
  File* const files[] = {&file};
  for (;;) {
    thread_state.no_restart = false;
    const Waited waited = wait_for(
        files, {}, until, [&] { return (stack.ready(file.id) & (POLLOUT | POLLERR | POLLHUP | POLLNVAL)) != 0; });
    if (waited == Waited::kTimeout) return result;
    if (waited == Waited::kSignal && !restarts(ns != 0)) return -EINTR;
    if (waited == Waited::kFound) break;
  }
  int error = 0;
  length = sizeof error;
  stack.getsockopt(file.id, SOL_SOCKET, SO_ERROR, &error, &length);
  if (error != 0) {
    stack.connect(file.id, address, size);  // takes note that the failure was told
    return -error;
  }
  const int told = stack.connect(file.id, address, size);
  return told == -EISCONN ? 0 : told;
}

int accept_socket(int fd, File& file, sockaddr* address, socklen_t* size, int flags) {
  const Inside inside;
  if ((flags & ~(SOCK_NONBLOCK | SOCK_CLOEXEC)) != 0) return -EINVAL;
  host::Stack& stack = *library().stack();
  sockaddr_storage from{};
  socklen_t from_size = sizeof from;
  int64_t id;
  timeval timeout{};
  socklen_t length = sizeof timeout;
  for (;;) {
    id = stack.accept(file.id, reinterpret_cast<sockaddr*>(&from), &from_size);
    if (id != -EAGAIN) break;
    if (file.nonblocking || nonblocking_now(fd, file)) return -EAGAIN;
    stack.getsockopt(file.id, SOL_SOCKET, SO_RCVTIMEO, &timeout, &length);
    const uint64_t ns =
        static_cast<uint64_t>(timeout.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(timeout.tv_usec) * 1000;
    File* const files[] = {&file};
    thread_state.no_restart = false;
    const Waited waited = wait_for(files, {}, ns == 0 ? Deadline::never() : Deadline::after_ns(ns),
                                   [&] { return stack.ready(file.id) != 0; });
    if (waited == Waited::kTimeout) return -EAGAIN;
    if (waited == Waited::kSignal && !restarts(ns != 0)) return -EINTR;
  }
  if (id < 0) return static_cast<int>(id);
  const auto taken = static_cast<host::SocketId>(id);
  // The kernel gives the connection up, too, when it cannot say whose it is.
  const bool wants = address != nullptr;
  if (wants && (size == nullptr || static_cast<int>(*size) < 0)) {
    stack.close(taken);
    return size == nullptr ? -EFAULT : -EINVAL;
  }
  const int made = descriptor_for(taken, file.domain, flags);
  if (made < 0) {
    const int error = errno;
    stack.close(taken);
    return -error;
  }
  if (wants) {
    __builtin_memcpy(address, &from, *size < from_size ? *size : from_size);
    *size = from_size;
  }
  return made;
}

int set_option(File& file, int level, int name, const void* value, socklen_t size) {
  const int result = library().stack()->setsockopt(file.id, level, name, value, size);
  if (result == 0 && level == SOL_SOCKET && name == SO_RCVLOWAT) {
    int mark = 1;
    socklen_t length = sizeof mark;
    library().stack()->getsockopt(file.id, level, name, &mark, &length);
    file.low_water = mark;
  }
  return result;
}

int control_socket(int fd, File& file, unsigned long request, void* argument) {
  host::Stack& stack = *library().stack();
  int64_t value;
  switch (request) {
    case FIONREAD:   // and SIOCINQ
      stack.pump();  // all that has come counts
      value = stack.readable_bytes(file.id);
      break;
    case SIOCOUTQ:
    case SIOCOUTQNSD:
      value = stack.unsent_bytes(file.id);
      break;
    case SIOCATMARK:
      value = stack.at_mark(file.id);
      break;
    default: {
      const int result = real().ioctl(fd, request, argument);
      if (result < 0) return -errno;
      if (request == FIONBIO) nonblocking_now(fd, file);
      return result;
    }
  }
  if (value < 0) return static_cast<int>(value);
  *static_cast<int*>(argument) = static_cast<int>(value);
  return 0;
}

}  // namespace xnic::transport::preload
