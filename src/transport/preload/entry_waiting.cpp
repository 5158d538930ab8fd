// SPDX-License-Identifier: Apache-2.0
// poll, select and epoll. select is poll in another form, by the kernel's own table (fs/select.c).
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/select.h>
#include <sys/single_threaded.h>

#include <dlfcn.h>

#include <algorithm>
#include <vector>

#include "transport/preload/entry.hpp"
#include "transport/preload/epoll_set.hpp"
#include "transport/preload/waiting.hpp"

using namespace xnic::transport::preload;

namespace {

constexpr uint64_t kNanosPerSecond = 1'000'000'000;
constexpr uint64_t kForever = UINT64_MAX;
constexpr short kIn = POLLRDNORM | POLLRDBAND | POLLIN | POLLHUP | POLLERR;
constexpr short kOut = POLLWRBAND | POLLWRNORM | POLLOUT | POLLERR;
constexpr short kExcept = POLLPRI;

uint64_t ns_of_ms(int ms) { return ms < 0 ? kForever : static_cast<uint64_t>(ms) * 1'000'000; }
uint64_t ns_of(const timespec* time) {
  return time == nullptr ? kForever
                         : static_cast<uint64_t>(time->tv_sec) * kNanosPerSecond + static_cast<uint64_t>(time->tv_nsec);
}

std::vector<pollfd> of_sets(int count, const fd_set* in, const fd_set* out, const fd_set* except) {
  std::vector<pollfd> fds;
  for (int fd = 0; fd < count; ++fd) {
    short events = 0;
    if (in != nullptr && FD_ISSET(fd, in)) events |= kIn;
    if (out != nullptr && FD_ISSET(fd, out)) events |= kOut;
    if (except != nullptr && FD_ISSET(fd, except)) events |= kExcept;
    if (events != 0) fds.push_back({fd, events, 0});
  }
  return fds;
}

int to_sets(const std::vector<pollfd>& fds, fd_set* in, fd_set* out, fd_set* except) {
  for (const pollfd& each : fds)
    if ((each.revents & POLLNVAL) != 0) return -EBADF;
  for (fd_set* set : {in, out, except}) {
    if (set == nullptr) continue;
    for (const pollfd& each : fds) FD_CLR(each.fd, set);
  }
  int bits = 0;
  for (const pollfd& each : fds) {
    const auto note = [&](fd_set* set, short asked) {
      if (set == nullptr || (each.events & asked) != asked || (each.revents & asked) == 0) return;
      FD_SET(each.fd, set);
      ++bits;
    };
    note(in, kIn);
    note(out, kOut);
    note(except, kExcept);
  }
  return bits;
}

int select_sets(std::vector<pollfd>& fds, fd_set* in, fd_set* out, fd_set* except, uint64_t timeout_ns,
                const sigset_t* mask) {
  const int ready = poll_descriptors(fds.data(), fds.size(), timeout_ns, mask);
  return ready < 0 ? ready : to_sets(fds, in, out, except);
}

// The set, when the library has to look at it.
File* set_of(int fd) {
  if (!concerns_us()) return nullptr;
  File* const file = library().files.find(fd);
  if (file == nullptr || file->kind != Kind::kEpoll) return nullptr;
  if (library().stack() != nullptr) return file;
  // Another thread may put an offloaded socket into the set while this one waits.
  if (__libc_single_threaded) return nullptr;
  const Inside inside;
  return library().attach() != nullptr ? file : nullptr;
}

}  // namespace

extern "C" {

int poll(pollfd* fds, nfds_t count, int timeout_ms) {
  if (!any_is_ours(fds, count)) return real().poll(fds, count, timeout_ms);
  return give(poll_descriptors(fds, count, ns_of_ms(timeout_ms), nullptr));
}

int ppoll(pollfd* fds, nfds_t count, const timespec* timeout, const sigset_t* mask) {
  if (!any_is_ours(fds, count)) return real().ppoll(fds, count, timeout, mask);
  return give(poll_descriptors(fds, count, ns_of(timeout), mask));
}

int select(int count, fd_set* in, fd_set* out, fd_set* except, timeval* timeout) {
  if (!is_attached()) return real().select(count, in, out, except, timeout);
  std::vector<pollfd> fds = of_sets(count, in, out, except);
  if (!any_is_ours(fds.data(), fds.size())) return real().select(count, in, out, except, timeout);
  uint64_t timeout_ns = kForever;
  if (timeout != nullptr)
    timeout_ns =
        static_cast<uint64_t>(timeout->tv_sec) * kNanosPerSecond + static_cast<uint64_t>(timeout->tv_usec) * 1000;
  const Deadline until = timeout == nullptr ? Deadline::never() : Deadline::after_ns(timeout_ns);
  const int result = select_sets(fds, in, out, except, timeout_ns, nullptr);
  if (timeout != nullptr) {  // Linux says what is left
    const uint64_t left_ns = until.left_ns();
    *timeout = {static_cast<time_t>(left_ns / kNanosPerSecond),
                static_cast<suseconds_t>(left_ns % kNanosPerSecond / 1000)};
  }
  return give(result);
}

int pselect(int count, fd_set* in, fd_set* out, fd_set* except, const timespec* timeout, const sigset_t* mask) {
  if (!is_attached()) return real().pselect(count, in, out, except, timeout, mask);
  std::vector<pollfd> fds = of_sets(count, in, out, except);
  if (!any_is_ours(fds.data(), fds.size())) return real().pselect(count, in, out, except, timeout, mask);
  return give(select_sets(fds, in, out, except, ns_of(timeout), mask));
}

[[noreturn]] void __chk_fail();
int __poll_chk(pollfd* fds, nfds_t count, int timeout_ms, size_t room) {
  if (room / sizeof *fds < count) __chk_fail();
  return poll(fds, count, timeout_ms);
}
int __ppoll_chk(pollfd* fds, nfds_t count, const timespec* timeout, const sigset_t* mask, size_t room) {
  if (room / sizeof *fds < count) __chk_fail();
  return ppoll(fds, count, timeout, mask);
}

int epoll_create1(int flags) noexcept {
  const int fd = real().epoll_create1(flags);
  if (fd < 0) return fd;
  if (is_inside()) return make_internal(fd);
  if (!concerns_us()) return fd;
  const Inside inside;
  forget(fd);
  note_epoll(fd);
  return fd;
}

int epoll_create(int size) noexcept {
  if (size <= 0) return give(-EINVAL);
  return epoll_create1(0);
}

int epoll_ctl(int set, int operation, int fd, epoll_event* event) noexcept {
  if (!concerns_us()) return real().epoll_ctl(set, operation, fd, event);
  return give(control_epoll(set, operation, fd, event));
}

int epoll_wait(int fd, epoll_event* events, int room, int timeout_ms) {
  if (File* set = set_of(fd)) return give(wait_epoll(*set, events, room, ns_of_ms(timeout_ms), nullptr));
  return real().epoll_wait(fd, events, room, timeout_ms);
}

int epoll_pwait(int fd, epoll_event* events, int room, int timeout_ms, const sigset_t* mask) {
  if (File* set = set_of(fd)) return give(wait_epoll(*set, events, room, ns_of_ms(timeout_ms), mask));
  return real().epoll_pwait(fd, events, room, timeout_ms, mask);
}

int epoll_pwait2(int fd, epoll_event* events, int room, const timespec* timeout, const sigset_t* mask) {
  if (File* set = set_of(fd)) return give(wait_epoll(*set, events, room, ns_of(timeout), mask));
  return real().epoll_pwait2(fd, events, room, timeout, mask);
}

int eventfd(unsigned value, int flags) noexcept {
  static const auto create = reinterpret_cast<int (*)(unsigned, int)>(dlsym(RTLD_NEXT, "eventfd"));
  const int fd = create(value, flags);
  return is_inside() ? make_internal(fd) : fd;
}

}  // extern "C"
