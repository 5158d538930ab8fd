// SPDX-License-Identifier: Apache-2.0
// Receiving and sending with the meaning of blocking. A call that has moved some bytes and then meets an error, the
// end, a timeout or a signal says how many; so it never asks the host library again unless there is something to get,
// and the error stays for the next call (as tcp_recvmsg() does, net/ipv4/tcp.c).
#include <fcntl.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <vector>

#include "transport/preload/calls.hpp"
#include "transport/preload/inside.hpp"
#include "transport/preload/real.hpp"
#include "transport/preload/waiting.hpp"

namespace xnic::transport::preload {

namespace {

constexpr uint32_t kOver = POLLERR | POLLHUP | POLLRDHUP | POLLNVAL;
constexpr size_t kPiece = 65536;
// Flags that TCP's send ignores. MSG_ZEROCOPY is one of them on a socket without SO_ZEROCOPY, which the agent refuses.
constexpr int kWithoutMeaning = MSG_WAITALL | MSG_PEEK | MSG_ERRQUEUE | MSG_TRUNC | MSG_CTRUNC | MSG_ZEROCOPY;

size_t total_bytes(const iovec* parts, int count) {
  size_t total = 0;
  for (int i = 0; i < count; ++i) total += parts[i].iov_len;
  return total;
}

// What is left of an iovec after its first bytes.
class Rest {
 public:
  Rest(const iovec* parts, int count) : parts_(parts), count_(count) {}
  void skip(size_t bytes) {
    if (bytes != 0 && own_.empty()) {
      own_.assign(parts_, parts_ + count_);
      parts_ = own_.data();
    }
    size_t at = static_cast<size_t>(parts_ - own_.data());
    while (bytes > 0) {
      iovec& part = own_[at];
      const size_t step = std::min(bytes, part.iov_len);
      part.iov_base = static_cast<char*>(part.iov_base) + step;
      part.iov_len -= step;
      bytes -= step;
      if (part.iov_len == 0) ++at, --count_;
    }
    if (!own_.empty()) parts_ = own_.data() + at;
  }
  const iovec* parts() const { return parts_; }
  int count() const { return count_; }

 private:
  const iovec* parts_;
  int count_;
  std::vector<iovec> own_;
};

// SO_RCVTIMEO or SO_SNDTIMEO.
Deadline deadline_of(File& file, int option) {
  timeval timeout{};
  socklen_t size = sizeof timeout;
  if (library().stack()->getsockopt(file.id, SOL_SOCKET, option, &timeout, &size) < 0) return Deadline::never();
  if (timeout.tv_sec == 0 && timeout.tv_usec == 0) return Deadline::never();
  return Deadline::after_ns(static_cast<uint64_t>(timeout.tv_sec) * 1'000'000'000 +
                            static_cast<uint64_t>(timeout.tv_usec) * 1000);
}

// Waits until `look` holds. 0, -EAGAIN for a timeout, or -EINTR. `until` is read from the socket on the first wait.
template <class Look>
int block(File& file, int option, std::unique_ptr<Deadline>& until, Look&& look) {
  if (!until) until = std::make_unique<Deadline>(deadline_of(file, option));
  File* const files[] = {&file};
  for (;;) {
    const unsigned before = thread_state.handled;
    thread_state.no_restart = false;
    switch (wait_for(files, {}, *until, look)) {
      case Waited::kFound:
        return 0;
      case Waited::kTimeout:
        return -EAGAIN;
      case Waited::kSignal:
        if (before == thread_state.handled || !restarts(!until->is_never())) return -EINTR;
    }
  }
}

}  // namespace

bool restarts(bool has_timeout) { return !has_timeout && !thread_state.no_restart; }

ssize_t receive(int fd, File& file, const iovec* parts, int count, int flags) {
  const Inside inside;
  host::Stack& stack = *library().stack();
  const size_t wanted = total_bytes(parts, count);
  if (wanted == 0 && (flags & MSG_OOB) == 0) {
    // Nothing is read, but the call waits for something, and fails, as any other.
    char byte;
    const iovec look{&byte, 1};
    return std::min<ssize_t>(receive(fd, file, &look, 1, flags | MSG_PEEK), 0);
  }
  const bool all = (flags & MSG_WAITALL) != 0;
  const bool peeks = (flags & MSG_PEEK) != 0;
  const size_t target = all ? wanted : std::min<size_t>(wanted, static_cast<size_t>(std::max<int>(file.low_water, 1)));
  bool waits = (flags & (MSG_DONTWAIT | MSG_OOB | MSG_ERRQUEUE)) == 0 && !file.nonblocking;
  Rest rest(parts, count);
  std::unique_ptr<Deadline> until;
  size_t done = 0;
  for (;;) {
    const ssize_t n = stack.recv(file.id, rest.parts(), rest.count(), flags & ~MSG_WAITALL);
    if (n < 0 && n != -EAGAIN) return n;
    if (n == 0) return static_cast<ssize_t>(done);
    const size_t got = n > 0 ? static_cast<size_t>(n) : 0;
    const size_t total = peeks ? got : done + got;
    if (total >= target || (flags & MSG_OOB) != 0) return static_cast<ssize_t>(total);
    if (waits) waits = !nonblocking_now(fd, file);
    if (!waits) return total != 0 ? static_cast<ssize_t>(total) : -EAGAIN;
    if (!peeks) {
      rest.skip(got);
      done += got;
    }
    const auto more = static_cast<int64_t>(peeks ? got : 0);
    const int error = block(file, SO_RCVTIMEO, until, [&] {
      return stack.readable_bytes(file.id) > more || (stack.ready(file.id) & kOver) != 0;
    });
    if (error != 0) return total != 0 ? static_cast<ssize_t>(total) : error;
    if (total != 0 && stack.readable_bytes(file.id) <= more) return static_cast<ssize_t>(total);
  }
}

ssize_t transmit(int fd, File& file, const iovec* parts, int count, int flags) {
  const Inside inside;
  host::Stack& stack = *library().stack();
  const size_t wanted = total_bytes(parts, count);
  bool waits = (flags & MSG_DONTWAIT) == 0 && !file.nonblocking;
  flags &= ~kWithoutMeaning;
  Rest rest(parts, count);
  std::unique_ptr<Deadline> until;
  size_t done = 0;
  for (;;) {
    const ssize_t n = stack.send(file.id, rest.parts(), rest.count(), flags);
    if (n < 0 && n != -EAGAIN) {
      if (done != 0) return static_cast<ssize_t>(done);
      if (n == -EPIPE && (flags & MSG_NOSIGNAL) == 0) ::raise(SIGPIPE);
      return n;
    }
    if (n > 0) {
      done += static_cast<size_t>(n);
      rest.skip(static_cast<size_t>(n));
    }
    if (done == wanted && n >= 0) return static_cast<ssize_t>(done);
    if (waits) waits = !nonblocking_now(fd, file);
    if (!waits && n > 0) continue;  // as much as there is room for
    if (!waits) return done != 0 ? static_cast<ssize_t>(done) : -EAGAIN;
    const int error = block(file, SO_SNDTIMEO, until,
                            [&] { return (stack.ready(file.id) & (POLLOUT | POLLERR | POLLHUP | POLLNVAL)) != 0; });
    if (error != 0) return done != 0 ? static_cast<ssize_t>(done) : error;
    if (done != 0 && (stack.ready(file.id) & (POLLERR | POLLHUP)) != 0) return static_cast<ssize_t>(done);
  }
}

ssize_t send_from_file(int fd, File& file, int from, off64_t* offset, size_t count) {
  if (offset != nullptr && *offset < 0) return -EINVAL;
  const off64_t start = offset != nullptr ? *offset : lseek64(from, 0, SEEK_CUR);
  if (start < 0) return -errno;
  std::unique_ptr<char[]> piece(new char[std::min(count, kPiece)]);
  off64_t at = start;
  ssize_t result = 0;
  while (count > 0) {
    const ssize_t n = pread64(from, piece.get(), std::min(count, kPiece), at);
    if (n <= 0) {
      result = n < 0 ? -errno : 0;
      break;
    }
    const iovec part{piece.get(), static_cast<size_t>(n)};
    const ssize_t sent = transmit(fd, file, &part, 1, static_cast<size_t>(n) < count ? MSG_MORE : 0);
    if (sent < 0) {
      result = sent;
      break;
    }
    at += sent;
    count -= static_cast<size_t>(sent);
    if (sent < n) break;
  }
  if (offset != nullptr)
    *offset = at;
  else
    lseek64(from, at, SEEK_SET);
  return at != start ? at - start : result;
}

ssize_t splice_to_socket(int pipe, int fd, File& file, size_t count, unsigned flags) {
  // What is in the pipe is looked at through a second one, so that nothing is taken that the socket does not take.
  int look[2];
  if (pipe2(look, O_CLOEXEC) < 0) return -errno;
  ssize_t result = real().tee(pipe, look[1], std::min(count, kPiece), flags & SPLICE_F_NONBLOCK);
  if (result < 0) result = -errno;
  if (result > 0) {
    std::unique_ptr<char[]> piece(new char[static_cast<size_t>(result)]);
    const ssize_t n = real().read(look[0], piece.get(), static_cast<size_t>(result));
    const iovec part{piece.get(), static_cast<size_t>(std::max<ssize_t>(n, 0))};
    result = transmit(fd, file, &part, 1, (flags & SPLICE_F_MORE) != 0 ? MSG_MORE : 0);
    if (result > 0 && real().read(pipe, piece.get(), static_cast<size_t>(result)) != result) result = -EIO;
  }
  real().close(look[0]);
  real().close(look[1]);
  return result;
}

ssize_t splice_from_socket(int fd, File& file, int pipe, size_t count, unsigned flags) {
  std::unique_ptr<char[]> piece(new char[std::min(count, kPiece)]);
  const iovec part{piece.get(), std::min(count, kPiece)};
  const int wait = (flags & SPLICE_F_NONBLOCK) != 0 ? MSG_DONTWAIT : 0;
  const ssize_t n = receive(fd, file, &part, 1, MSG_PEEK | wait);
  if (n <= 0) return n;
  const ssize_t written = real().write(pipe, piece.get(), static_cast<size_t>(n));
  if (written <= 0) return written < 0 ? -errno : 0;
  const iovec taken{piece.get(), static_cast<size_t>(written)};
  return receive(fd, file, &taken, 1, MSG_DONTWAIT);
}

}  // namespace xnic::transport::preload
