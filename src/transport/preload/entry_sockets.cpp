// SPDX-License-Identifier: Apache-2.0
// socket, bind, listen, connect, accept, shutdown, names and options.
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "transport/preload/entry.hpp"

using namespace xnic::transport::preload;

namespace {

bool is_candidate(int domain, int type, int protocol) {
  return (domain == AF_INET || domain == AF_INET6) && (type & ~(SOCK_NONBLOCK | SOCK_CLOEXEC)) == SOCK_STREAM &&
         (protocol == 0 || protocol == IPPROTO_TCP);
}

void remember_option(File& file, int level, int name, const void* value, socklen_t size) {
  const auto* bytes = static_cast<const char*>(value);
  std::vector<char> copy(bytes, bytes + (value == nullptr ? 0 : size));
  for (SetOption& each : file.options) {
    if (each.level != level || each.name != name) continue;
    each.value = std::move(copy);
    return;
  }
  file.options.push_back({level, name, std::move(copy)});
}

// listen() of a socket that was never bound.
bool offload_unbound(int fd, File& file) {
  sockaddr_storage any{};
  any.ss_family = static_cast<sa_family_t>(file.domain);
  if (!library().policy.offloads(Use::kListen, reinterpret_cast<const sockaddr*>(&any))) {
    leave_to_kernel(file);
    return false;
  }
  return offload(fd, file);
}

}  // namespace

extern "C" {

int socket(int domain, int type, int protocol) noexcept {
  const int fd = real().socket(domain, type, protocol);
  if (fd < 0) return fd;
  if (is_inside()) return make_internal(fd);
  if (!concerns_us()) return fd;
  const Inside inside;
  forget(fd);
  if (is_candidate(domain, type, protocol)) note_fresh(fd, domain, (type & SOCK_NONBLOCK) != 0);
  return fd;
}

int bind(int fd, const sockaddr* address, socklen_t size) noexcept {
  if (File* file = offloaded(fd)) {
    const Inside inside;
    const int result = address == nullptr ? -EFAULT : library().stack()->bind(file->id, address, size);
    if (result == 0) file->bound = true;
    return give(result);
  }
  if (File* file = fresh(fd)) {
    const Inside inside;
    bool to_agent;
    return give(bind_fresh(fd, *file, address, size, to_agent));
  }
  return real().bind(fd, address, size);
}

int listen(int fd, int backlog) noexcept {
  File* file = offloaded(fd);
  if (file == nullptr) {
    file = fresh(fd);
    if (file == nullptr) return real().listen(fd, backlog);
    const Inside inside;
    if (!offload_unbound(fd, *file)) return real().listen(fd, backlog);
  }
  const Inside inside;
  const int result = library().stack()->listen(file->id, backlog);
  if (result == 0) file->bound = false;
  return give(result);
}

int connect(int fd, const sockaddr* address, socklen_t size) {
  if (File* file = offloaded(fd)) {
    const Inside inside;
    if (!back_to_kernel(fd, *file, address)) return give(connect_socket(fd, *file, address, size));
  } else if (File* file = fresh(fd)) {
    const Inside inside;
    if (address != nullptr && size >= sizeof(sockaddr_in) && library().policy.offloads(Use::kConnect, address)) {
      if (offload(fd, *file)) return give(connect_socket(fd, *file, address, size));
    } else {
      const int result = real().connect(fd, address, size);
      // Not one that the kernel found wrong: then it is still as new.
      if (result == 0 || errno == EINPROGRESS || errno == EINTR) leave_to_kernel(*file);
      return result;
    }
  }
  return real().connect(fd, address, size);
}

int accept4(int fd, sockaddr* address, socklen_t* size, int flags) {
  if (File* file = offloaded(fd)) return give(accept_socket(fd, *file, address, size, flags));
  const int made = real().accept4(fd, address, size, flags);
  if (made >= 0 && concerns_us()) forget(made);
  return made;
}

int accept(int fd, sockaddr* address, socklen_t* size) { return accept4(fd, address, size, 0); }

int shutdown(int fd, int how) noexcept {
  if (File* file = offloaded(fd)) {
    const Inside inside;
    return give(library().stack()->shutdown(file->id, how));
  }
  return real().shutdown(fd, how);
}

int getsockname(int fd, sockaddr* address, socklen_t* size) noexcept {
  if (File* file = offloaded(fd)) {
    const Inside inside;
    if (address == nullptr || size == nullptr) return give(-EFAULT);
    if (static_cast<int>(*size) < 0) return give(-EINVAL);
    return give(library().stack()->getsockname(file->id, address, size));
  }
  return real().getsockname(fd, address, size);
}

int getpeername(int fd, sockaddr* address, socklen_t* size) noexcept {
  if (File* file = offloaded(fd)) {
    const Inside inside;
    if (address == nullptr || size == nullptr) return give(-EFAULT);
    if (static_cast<int>(*size) < 0) return give(-EINVAL);
    return give(library().stack()->getpeername(file->id, address, size));
  }
  return real().getpeername(fd, address, size);
}

int getsockopt(int fd, int level, int name, void* value, socklen_t* size) noexcept {
  if (File* file = offloaded(fd)) {
    const Inside inside;
    if (size == nullptr) return give(-EFAULT);
    if (static_cast<int>(*size) < 0) return give(-EINVAL);
    return give(library().stack()->getsockopt(file->id, level, name, value, size));
  }
  return real().getsockopt(fd, level, name, value, size);
}

int setsockopt(int fd, int level, int name, const void* value, socklen_t size) noexcept {
  if (File* file = offloaded(fd)) {
    const Inside inside;
    if (value == nullptr && size != 0) return give(-EFAULT);
    return give(set_option(*file, level, name, value, size));
  }
  const int result = real().setsockopt(fd, level, name, value, size);
  if (result != 0) return result;
  if (File* file = fresh(fd)) {
    const Inside inside;
    remember_option(*file, level, name, value, size);
    if (level == SOL_SOCKET && name == SO_RCVLOWAT) {
      int mark = 1;
      socklen_t length = sizeof mark;
      real().getsockopt(fd, level, name, &mark, &length);
      file->low_water = mark;
    }
  }
  return result;
}

}  // extern "C"
