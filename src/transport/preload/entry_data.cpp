// SPDX-License-Identifier: Apache-2.0
// read, write, recv, send and their relatives. Calls with a position (pread) need nothing: the real descriptor is a
// socket, and the kernel refuses them as it would.
#include <fcntl.h>
#include <limits.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>

#include "transport/preload/entry.hpp"

using namespace xnic::transport::preload;

namespace {

bool bad_count(int count) { return count < 0 || count > IOV_MAX; }

// read() of no bytes never reaches the socket; recv() of none does.
ssize_t read_into(int fd, File& file, const iovec* parts, int count, int flags) {
  if (bad_count(count)) return -EINVAL;
  size_t wanted = 0;
  for (int i = 0; i < count; ++i) wanted += parts[i].iov_len;
  return wanted == 0 ? 0 : receive(fd, file, parts, count, flags);
}

ssize_t receive_message(int fd, File& file, msghdr* message, int flags) {
  if (message->msg_iovlen > IOV_MAX) return -EMSGSIZE;
  const ssize_t n = receive(fd, file, message->msg_iov, static_cast<int>(message->msg_iovlen), flags);
  if (n < 0) return n;
  message->msg_namelen = 0;
  message->msg_controllen = 0;
  message->msg_flags = (flags & MSG_OOB) != 0 ? MSG_OOB : (flags & MSG_CMSG_CLOEXEC);
  return n;
}

ssize_t send_message(int fd, File& file, const msghdr* message, int flags) {
  if (message->msg_iovlen > IOV_MAX) return -EMSGSIZE;
  return transmit(fd, file, message->msg_iov, static_cast<int>(message->msg_iovlen), flags);
}

// sendto(MSG_FASTOPEN) connects and sends in one.
ssize_t send_fast_open(int fd, File& file, const iovec* parts, int count, int flags, const sockaddr* address,
                       socklen_t size) {
  const int connected = connect_socket(fd, file, address, size);
  if (connected != 0 && connected != -EISCONN) return connected;
  return transmit(fd, file, parts, count, flags & ~MSG_FASTOPEN);
}

// True when a fresh socket goes to the agent by sendto(MSG_FASTOPEN).
bool offload_to(int fd, File& file, const sockaddr* address, socklen_t size) {
  return address != nullptr && size >= sizeof(sockaddr) && library().policy.offloads(Use::kConnect, address) &&
         offload(fd, file);
}

}  // namespace

extern "C" {

ssize_t read(int fd, void* buffer, size_t size) {
  if (File* file = offloaded(fd)) {
    const iovec part{buffer, size};
    return give(read_into(fd, *file, &part, 1, 0));
  }
  return real().read(fd, buffer, size);
}

ssize_t write(int fd, const void* buffer, size_t size) {
  if (File* file = offloaded(fd)) {
    const iovec part{const_cast<void*>(buffer), size};
    return give(transmit(fd, *file, &part, 1, 0));
  }
  return real().write(fd, buffer, size);
}

ssize_t readv(int fd, const iovec* parts, int count) {
  if (File* file = offloaded(fd)) return give(read_into(fd, *file, parts, count, 0));
  return real().readv(fd, parts, count);
}

ssize_t writev(int fd, const iovec* parts, int count) {
  if (File* file = offloaded(fd))
    return give(bad_count(count) ? ssize_t{-EINVAL} : transmit(fd, *file, parts, count, 0));
  return real().writev(fd, parts, count);
}

// With offset -1 these are readv and writev.
ssize_t preadv2(int fd, const iovec* parts, int count, off_t offset, int flags) {
  File* const file = offset == -1 ? offloaded(fd) : nullptr;
  if (file == nullptr) return real().preadv2(fd, parts, count, offset, flags);
  return give(read_into(fd, *file, parts, count, (flags & RWF_NOWAIT) != 0 ? MSG_DONTWAIT : 0));
}
ssize_t preadv64v2(int fd, const iovec* parts, int count, off64_t offset, int flags) {
  return preadv2(fd, parts, count, offset, flags);
}
ssize_t pwritev2(int fd, const iovec* parts, int count, off_t offset, int flags) {
  File* const file = offset == -1 ? offloaded(fd) : nullptr;
  if (file == nullptr) return real().pwritev2(fd, parts, count, offset, flags);
  if (bad_count(count)) return give(ssize_t{-EINVAL});
  return give(transmit(fd, *file, parts, count, (flags & RWF_NOWAIT) != 0 ? MSG_DONTWAIT : 0));
}
ssize_t pwritev64v2(int fd, const iovec* parts, int count, off64_t offset, int flags) {
  return pwritev2(fd, parts, count, offset, flags);
}

ssize_t recv(int fd, void* buffer, size_t size, int flags) {
  if (File* file = offloaded(fd)) {
    const iovec part{buffer, size};
    return give(receive(fd, *file, &part, 1, flags));
  }
  return real().recv(fd, buffer, size, flags);
}

ssize_t recvfrom(int fd, void* buffer, size_t size, int flags, sockaddr* address, socklen_t* address_size) {
  if (File* file = offloaded(fd)) {
    const iovec part{buffer, size};
    const ssize_t n = receive(fd, *file, &part, 1, flags);
    if (n >= 0 && address != nullptr && address_size != nullptr) *address_size = 0;
    return give(n);
  }
  return real().recvfrom(fd, buffer, size, flags, address, address_size);
}

ssize_t recvmsg(int fd, msghdr* message, int flags) {
  if (File* file = offloaded(fd)) return give(receive_message(fd, *file, message, flags));
  const ssize_t n = real().recvmsg(fd, message, flags);
  if (n >= 0 && message->msg_controllen != 0) take_rights(*message);
  return n;
}

int recvmmsg(int fd, mmsghdr* messages, unsigned count, int flags, timespec* timeout) {
  File* const file = offloaded(fd);
  if (file == nullptr) return real().recvmmsg(fd, messages, count, flags, timeout);
  unsigned done = 0;
  while (done < count) {
    const int more = done != 0 && (flags & MSG_WAITFORONE) != 0 ? MSG_DONTWAIT : 0;
    const ssize_t n = receive_message(fd, *file, &messages[done].msg_hdr, (flags & ~MSG_WAITFORONE) | more);
    if (n < 0) return done != 0 ? static_cast<int>(done) : give(static_cast<int>(n));
    messages[done++].msg_len = static_cast<unsigned>(n);
  }
  return static_cast<int>(done);
}

ssize_t send(int fd, const void* buffer, size_t size, int flags) {
  if (File* file = offloaded(fd)) {
    const iovec part{const_cast<void*>(buffer), size};
    return give(transmit(fd, *file, &part, 1, flags));
  }
  return real().send(fd, buffer, size, flags);
}

ssize_t sendto(int fd, const void* buffer, size_t size, int flags, const sockaddr* address, socklen_t address_size) {
  const iovec part{const_cast<void*>(buffer), size};
  const bool fast_open = (flags & MSG_FASTOPEN) != 0;
  File* file = offloaded(fd);
  if (file == nullptr && fast_open && (file = fresh(fd)) != nullptr) {
    const Inside inside;
    if (!offload_to(fd, *file, address, address_size)) file = nullptr;
  }
  if (file == nullptr) return real().sendto(fd, buffer, size, flags, address, address_size);
  if (fast_open) return give(send_fast_open(fd, *file, &part, 1, flags, address, address_size));
  return give(transmit(fd, *file, &part, 1, flags));
}

ssize_t sendmsg(int fd, const msghdr* message, int flags) {
  if (File* file = offloaded(fd)) return give(send_message(fd, *file, message, flags));
  if (message != nullptr && message->msg_controllen != 0) pass_rights(*message);
  return real().sendmsg(fd, message, flags);
}

int sendmmsg(int fd, mmsghdr* messages, unsigned count, int flags) {
  File* const file = offloaded(fd);
  if (file == nullptr) return real().sendmmsg(fd, messages, count, flags);
  unsigned done = 0;
  while (done < count) {
    const ssize_t n = send_message(fd, *file, &messages[done].msg_hdr, flags);
    if (n < 0) return done != 0 ? static_cast<int>(done) : give(static_cast<int>(n));
    messages[done++].msg_len = static_cast<unsigned>(n);
  }
  return static_cast<int>(done);
}

ssize_t sendfile64(int to, int from, off64_t* offset, size_t count) noexcept {
  if (File* file = offloaded(to)) return give(send_from_file(to, *file, from, offset, count));
  if (offloaded(from) != nullptr) return give(ssize_t{-EINVAL});
  return real().sendfile64(to, from, offset, count);
}
ssize_t sendfile(int to, int from, off_t* offset, size_t count) noexcept { return sendfile64(to, from, offset, count); }

ssize_t splice(int from, off64_t* from_offset, int to, off64_t* to_offset, size_t count, unsigned flags) {
  File* const source = offloaded(from);
  File* const target = offloaded(to);
  if (source == nullptr && target == nullptr) return real().splice(from, from_offset, to, to_offset, count, flags);
  if ((source != nullptr && from_offset != nullptr) || (target != nullptr && to_offset != nullptr))
    return give(ssize_t{-ESPIPE});
  if (source != nullptr && target != nullptr) return give(ssize_t{-EINVAL});
  if (target != nullptr) return give(splice_to_socket(from, to, *target, count, flags));
  return give(splice_from_socket(from, *source, to, count, flags));
}

// The names that _FORTIFY_SOURCE gives.
[[noreturn]] void __chk_fail();
ssize_t __read_chk(int fd, void* buffer, size_t size, size_t room) {
  if (size > room) __chk_fail();
  return read(fd, buffer, size);
}
ssize_t __recv_chk(int fd, void* buffer, size_t size, size_t room, int flags) {
  if (size > room) __chk_fail();
  return recv(fd, buffer, size, flags);
}
ssize_t __recvfrom_chk(int fd, void* buffer, size_t size, size_t room, int flags, sockaddr* address,
                       socklen_t* address_size) {
  if (size > room) __chk_fail();
  return recvfrom(fd, buffer, size, flags, address, address_size);
}

}  // extern "C"
