// SPDX-License-Identifier: Apache-2.0
// poll(2) over offloaded sockets, epoll sets with an offloaded part, and descriptors of the kernel.
#include <pthread.h>

#include <cerrno>
#include <vector>

#include "transport/preload/calls.hpp"
#include "transport/preload/inside.hpp"
#include "transport/preload/real.hpp"
#include "transport/preload/waiting.hpp"

namespace xnic::transport::preload {

namespace {

bool is_ours(const File* file) {
  return file != nullptr && (file->kind == Kind::kOffloaded || file->kind == Kind::kEpoll);
}

class Poll {
 public:
  Poll(pollfd* fds, nfds_t count) : fds_(fds), kernel_(fds, fds + count) {
    for (pollfd& each : kernel_) {
      File* const file = each.fd < 0 ? nullptr : library().files.find(each.fd);
      ours_.push_back(is_ours(file) ? file : nullptr);
      if (ours_.back() != nullptr) files_.push_back(file);
      // The kernel is asked about sets, too: for their kernel part.
      if (file != nullptr && file->kind == Kind::kOffloaded) each.fd = -1;
      any_kernel_ |= each.fd >= 0;
    }
  }

  // True: an event, or an error.
  bool look() {
    found_ = 0;
    if (any_kernel_ && real().poll(kernel_.data(), kernel_.size(), 0) < 0) {
      found_ = -errno;
      return true;
    }
    for (size_t i = 0; i < kernel_.size(); ++i) {
      int events = kernel_[i].fd >= 0 ? kernel_[i].revents : 0;
      if (ours_[i] != nullptr)
        events |= static_cast<int>(ready_of(*ours_[i])) & (fds_[i].events | POLLERR | POLLHUP | POLLNVAL);
      fds_[i].revents = static_cast<short>(events);
      found_ += events != 0;
    }
    return found_ != 0;
  }

  int wait(uint64_t timeout_ns) {
    const Deadline until = timeout_ns == UINT64_MAX ? Deadline::never() : Deadline::after_ns(timeout_ns);
    const std::vector<pollfd> asleep = any_kernel_ ? kernel_ : std::vector<pollfd>();
    if (wait_for(files_, asleep, until, [&] { return look(); }) == Waited::kSignal) return -EINTR;
    return found_;
  }

 private:
  pollfd* fds_;
  std::vector<pollfd> kernel_;
  std::vector<File*> ours_;   // by position
  std::vector<File*> files_;  // those that are
  bool any_kernel_ = false;
  int found_ = 0;
};

}  // namespace

bool any_is_ours(pollfd* fds, nfds_t count) {
  if (thread_state.depth != 0 || !library_ready() || library().stack() == nullptr) return false;
  for (nfds_t i = 0; i < count; ++i)
    if (fds[i].fd >= 0 && is_ours(library().files.find(fds[i].fd))) return true;
  return false;
}

int poll_descriptors(pollfd* fds, nfds_t count, uint64_t timeout_ns, const sigset_t* mask) {
  const Inside inside;
  Poll poll(fds, count);
  sigset_t before;
  if (mask != nullptr) pthread_sigmask(SIG_SETMASK, mask, &before);
  const int result = poll.wait(timeout_ns);
  if (mask != nullptr) pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return result;
}

}  // namespace xnic::transport::preload
