// SPDX-License-Identifier: Apache-2.0
// Registration and the ready list. Watches are used again and never given back to the allocator, so that epoll_wait can
// ask the host library about them without the watch lock: `serial` tells it afterwards whether the Watch is still the
// same.
#include "transport/preload/epoll_set.hpp"

#include <poll.h>

#include <algorithm>
#include <cerrno>

#include "transport/preload/inside.hpp"
#include "transport/preload/real.hpp"
#include "transport/preload/waiting.hpp"

namespace xnic::transport::preload {

namespace {

constexpr uint32_t kAlways = EPOLLERR | EPOLLHUP;
constexpr uint32_t kModes = EPOLLET | EPOLLONESHOT | EPOLLEXCLUSIVE | EPOLLWAKEUP;
constexpr uint32_t kWithExclusive = EPOLLIN | EPOLLOUT | kAlways | EPOLLET | EPOLLEXCLUSIVE | EPOLLWAKEUP;

std::vector<Watch*>& unused_watches() {
  static std::vector<Watch*>* const unused = new std::vector<Watch*>;
  return *unused;
}

Watch* find_watch(const EpollSet& set, const File* file, int fd) {
  for (Watch* watch : file->watches)
    if (watch->set == &set && watch->fd == fd) return watch;
  return nullptr;
}

void drop(Watch& watch) {
  ++watch.serial;
  if (watch.queued) std::erase(watch.set->ready, &watch);
  std::erase(watch.set->watches, &watch);
  std::erase(watch.file->watches, &watch);
  watch.queued = false;
  unused_watches().push_back(&watch);
}

Watch* make_watch(EpollSet& set, File* file, int fd, const epoll_event& event) {
  std::vector<Watch*>& unused = unused_watches();
  Watch* watch;
  if (unused.empty()) {
    watch = new Watch;
  } else {
    watch = unused.back();
    unused.pop_back();
  }
  ++watch->serial;
  watch->set = &set;
  watch->file = file;
  watch->fd = fd;
  watch->in_kernel = watch->queued = watch->disarmed = false;
  watch->events = event.events;
  watch->data = event.data;
  file->watches.push_back(watch);
  set.watches.push_back(watch);
  return watch;
}

// Puts what is ready already into the list. Without the lock.
void look_at(File& file) {
  const uint32_t ready = ready_of(file);
  if (ready == 0) return;
  const std::lock_guard guard(library().watch_lock());
  for (Watch* watch : file.watches) note_event(*watch, ready);
}

bool reports(const Watch& watch, uint32_t ready) {
  return !watch.in_kernel && !watch.disarmed && (ready & ((watch.events & ~kModes) | kAlways)) != 0;
}

// The library's part of epoll_ctl, once the kernel can have nothing against it.
int control_watch(EpollSet& set, int operation, int fd, File* file, const epoll_event* event) {
  {
    const std::lock_guard guard(library().watch_lock());
    Watch* watch = find_watch(set, file, fd);
    switch (operation) {
      case EPOLL_CTL_ADD:
        if (watch != nullptr) return -EEXIST;
        if ((event->events & EPOLLEXCLUSIVE) != 0 && (event->events & ~kWithExclusive) != 0) return -EINVAL;
        make_watch(set, file, fd, *event);
        break;
      case EPOLL_CTL_MOD:
        if (watch == nullptr) return (event->events & EPOLLEXCLUSIVE) != 0 ? -EINVAL : -ENOENT;
        if (((event->events | watch->events) & EPOLLEXCLUSIVE) != 0) return -EINVAL;
        watch->events = event->events;
        watch->data = event->data;
        watch->disarmed = false;
        break;
      case EPOLL_CTL_DEL:
        if (watch == nullptr) return -ENOENT;
        drop(*watch);
        return 0;
      default:
        return -EINVAL;
    }
  }
  look_at(*file);
  return 0;
}

// The kernel's part, with a record of it where a file may become the library's.
int control_kernel(EpollSet& set, int operation, int fd, File* file, epoll_event* event) {
  if (real().epoll_ctl(set.fd, operation, fd, event) < 0) return -errno;
  if (operation == EPOLL_CTL_ADD) ++set.kernel_entries;
  if (operation == EPOLL_CTL_DEL) --set.kernel_entries;
  if (file == nullptr || (file->kind != Kind::kFresh && file->kind != Kind::kEpoll)) return 0;
  {
    const std::lock_guard guard(library().watch_lock());
    if (operation == EPOLL_CTL_ADD) {
      make_watch(set, file, fd, *event)->in_kernel = file->kind == Kind::kFresh;
    } else if (Watch* watch = find_watch(set, file, fd)) {
      if (operation == EPOLL_CTL_DEL) {
        drop(*watch);
        return 0;
      }
      watch->events = event->events;
      watch->data = event->data;
      watch->disarmed = false;
    }
  }
  if (file->kind == Kind::kEpoll) look_at(*file);
  return 0;
}

}  // namespace

void note_epoll(int fd) {
  if (fd < 0) return;
  File* const file = library().files.make(fd, Kind::kEpoll);
  auto* set = new EpollSet;
  set->fd = fd;
  set->file = file;
  file->set = set;
}

int control_epoll(int set_fd, int operation, int fd, epoll_event* event) {
  const Inside inside;
  FileTable& files = library().files;
  File* const target = files.find(fd);
  File* of_set = files.find(set_fd);
  const bool ours = target != nullptr && target->kind == Kind::kOffloaded;
  if (of_set == nullptr && ours) {
    // A set that came from another program; ENOENT says that it is one.
    epoll_event nothing{};
    if (real().epoll_ctl(set_fd, EPOLL_CTL_MOD, fd, &nothing) < 0 && errno != ENOENT) return -errno;
    note_epoll(set_fd);
    of_set = files.find(set_fd);
    ++of_set->set->kernel_entries;  // it may have some
  }
  if (of_set == nullptr || of_set->kind != Kind::kEpoll)
    return real().epoll_ctl(set_fd, operation, fd, event) < 0 ? -errno : 0;
  if (!ours) return control_kernel(*of_set->set, operation, fd, target, event);
  if (event == nullptr && operation != EPOLL_CTL_DEL) return -EFAULT;
  return control_watch(*of_set->set, operation, fd, target, event);
}

void note_event(Watch& watch, uint32_t events) {
  if (!reports(watch, events)) return;
  EpollSet& set = *watch.set;
  if (!watch.queued) {
    watch.queued = true;
    set.ready.push_back(&watch);
  }
  // Whoever waits for the set, or has it in a set of its own.
  announce(*set.file, POLLIN | POLLRDNORM);
}

void drop_watches(File& file) {
  while (!file.watches.empty()) drop(*file.watches.back());
}

void drop_set(File& file) {
  while (!file.set->watches.empty()) drop(*file.set->watches.back());
  delete file.set;
  file.set = nullptr;
}

void watches_to_library(File& file) {
  {
    const std::lock_guard guard(library().watch_lock());
    for (Watch* watch : file.watches) {
      if (!watch->in_kernel) continue;
      real().epoll_ctl(watch->set->fd, EPOLL_CTL_DEL, watch->fd, nullptr);
      --watch->set->kernel_entries;
      watch->in_kernel = false;
    }
  }
  look_at(file);
}

void watches_to_kernel(File& file) {
  const std::lock_guard guard(library().watch_lock());
  for (size_t i = file.watches.size(); i-- > 0;) {
    Watch* const watch = file.watches[i];
    if (!watch->in_kernel) {
      epoll_event event{watch->events, watch->data};
      if (real().epoll_ctl(watch->set->fd, EPOLL_CTL_ADD, watch->fd, &event) == 0) ++watch->set->kernel_entries;
    }
    drop(*watch);
  }
}

bool set_is_ready(File& of_set) {
  struct Hint {
    Watch* watch;
    uint32_t serial;
    File* file;
  };
  std::vector<Hint> hints;
  {
    const std::lock_guard guard(library().watch_lock());
    if (of_set.set == nullptr) return false;
    for (Watch* watch : of_set.set->ready) hints.push_back({watch, watch->serial, watch->file});
  }
  for (const Hint& hint : hints) {
    const uint32_t ready = ready_of(*hint.file);
    const std::lock_guard guard(library().watch_lock());
    if (hint.watch->serial == hint.serial && reports(*hint.watch, ready)) return true;
  }
  return false;
}

}  // namespace xnic::transport::preload
