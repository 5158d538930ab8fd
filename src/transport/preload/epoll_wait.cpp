// SPDX-License-Identifier: Apache-2.0
// epoll_wait over both parts of a set. The kernel's part is asked whenever it has entries; where there is room for
// fewer events than there are, the two parts take turns at being first, so that neither starves.
#include <pthread.h>

#include <algorithm>
#include <cerrno>

#include "transport/preload/epoll_set.hpp"
#include "transport/preload/inside.hpp"
#include "transport/preload/real.hpp"
#include "transport/preload/waiting.hpp"

namespace xnic::transport::preload {

namespace {

constexpr uint32_t kAlways = EPOLLERR | EPOLLHUP;
constexpr int kBatch = 64;

struct Hint {
  Watch* watch;
  uint32_t serial;
  File* file;
  uint32_t ready;
};

int take_hints(EpollSet& set, Hint* hints, size_t most) {
  const std::lock_guard guard(library().watch_lock());
  const size_t count = std::min(most, set.ready.size());
  for (size_t i = 0; i < count; ++i) {
    Watch* const watch = set.ready.front();
    set.ready.pop_front();
    watch->queued = false;
    hints[i] = {watch, watch->serial, watch->file, 0};
  }
  return static_cast<int>(count);
}

// The events of the library's part.
int collect(EpollSet& set, epoll_event* events, int room) {
  size_t left;
  {
    const std::lock_guard guard(library().watch_lock());
    left = set.ready.size();
  }
  int found = 0;
  while (left > 0 && found < room) {
    Hint hints[kBatch];
    const int count = take_hints(set, hints, std::min<size_t>({left, kBatch, static_cast<size_t>(room - found)}));
    if (count == 0) break;
    left -= static_cast<size_t>(count);
    for (int i = 0; i < count; ++i) hints[i].ready = ready_of(*hints[i].file);
    const std::lock_guard guard(library().watch_lock());
    for (int i = 0; i < count; ++i) {
      Watch& watch = *hints[i].watch;
      if (watch.serial != hints[i].serial || watch.disarmed) continue;
      const uint32_t reported = hints[i].ready & (watch.events | kAlways);
      if (reported == 0) continue;
      events[found++] = {reported, watch.data};
      if ((watch.events & EPOLLONESHOT) != 0)
        watch.disarmed = true;
      else if ((watch.events & EPOLLET) == 0 && !watch.queued) {
        watch.queued = true;
        set.ready.push_back(&watch);
      }
    }
  }
  return found;
}

// A nested set may be ready in both parts; its event is one.
int without_twice(epoll_event* events, int first, int count) {
  int kept = first;
  for (int i = first; i < count; ++i) {
    const bool known = std::any_of(events, events + first, [&](const epoll_event& each) {
      return each.data.u64 == events[i].data.u64 && each.events == events[i].events;
    });
    if (!known) events[kept++] = events[i];
  }
  return kept;
}

int collect_both(EpollSet& set, epoll_event* events, int room, int& error) {
  const auto of_kernel = [&](int at) {
    if (set.kernel_entries <= 0 || at >= room) return at;
    const int n = real().epoll_wait(set.fd, events + at, room - at, 0);
    if (n < 0) error = errno;
    return n > 0 ? at + n : at;
  };
  if (set.kernel_entries > 0 && (set.turn++ & 1) != 0 && room < kBatch) {
    const int n = of_kernel(0);
    return n + collect(set, events + n, room - n);
  }
  const int n = collect(set, events, room);
  const int all = of_kernel(n);
  return n > 0 ? without_twice(events, n, all) : all;
}

int wait_with_mask(File& of_set, epoll_event* events, int room, uint64_t timeout_ns) {
  EpollSet& set = *of_set.set;
  int found = 0, error = 0;
  const auto look = [&] {
    found = collect_both(set, events, room, error);
    return found > 0 || error != 0;
  };
  File* const files[] = {&of_set};
  const pollfd kernel[] = {{set.fd, POLLIN, 0}};
  const Deadline until = timeout_ns == UINT64_MAX ? Deadline::never() : Deadline::after_ns(timeout_ns);
  // Entries of the kernel's may come while we wait, so it is always waited for.
  switch (wait_for(files, kernel, until, look)) {
    case Waited::kFound:
      return error != 0 ? -error : found;
    case Waited::kTimeout:
      return 0;
    case Waited::kSignal:
      return -EINTR;
  }
  return 0;
}

}  // namespace

int wait_epoll(File& of_set, epoll_event* events, int room, uint64_t timeout_ns, const sigset_t* mask) {
  const Inside inside;
  if (room <= 0) return -EINVAL;
  if (events == nullptr) return -EFAULT;
  sigset_t before;
  if (mask != nullptr) pthread_sigmask(SIG_SETMASK, mask, &before);
  const int result = wait_with_mask(of_set, events, room, timeout_ns);
  if (mask != nullptr) pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return result;
}

}  // namespace xnic::transport::preload
