// SPDX-License-Identifier: Apache-2.0
#include "transport/preload/waiting.hpp"

#include <sys/eventfd.h>
#include <sys/single_threaded.h>

#include <algorithm>
#include <atomic>
#include <cerrno>

#include "transport/preload/epoll_set.hpp"
#include "transport/preload/inside.hpp"
#include "transport/preload/internal.hpp"
#include "transport/preload/real.hpp"

namespace xnic::transport::preload {

uint64_t monotonic_ns() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

Deadline Deadline::after_ns(uint64_t ns) {
  const uint64_t now = monotonic_ns();
  return Deadline(ns > UINT64_MAX - 1 - now ? UINT64_MAX : now + ns);
}

uint64_t Deadline::left_ns() const {
  if (is_never()) return UINT64_MAX;
  const uint64_t now = monotonic_ns();
  return now >= at_ns_ ? 0 : at_ns_ - now;
}

bool deferred_signal() { return thread_state.deferred != 0; }

namespace {

// A thread that asks the agent something sleeps inside the host library, and when it wakes the bell rings for nobody
// any more; so among threads nobody sleeps for long without a look.
constexpr uint64_t kLongestAmongThreadsNs = 10'000'000;

// Threads that sleep at this moment. Waking takes back the word to the agent that somebody sleeps; whoever wakes first
// gives it again for the others.
std::atomic<int> sleeping = 0;

class Asleep {
 public:
  Asleep() { ++sleeping; }
  ~Asleep() {
    if (--sleeping == 0) return;
    host::Stack& stack = *library().stack();
    while (!stack.prepare_sleep()) stack.pump();
  }
};

// Eventfds that no thread sleeps on. Under the watch lock.
std::vector<int>& spare_eventfds() {
  static std::vector<int>* const spare = new std::vector<int>;
  return *spare;
}

void wake(const Sleeper& sleeper) {
  // A thread that announces never sleeps itself; a woken one that was awake looks once more than needed.
  const uint64_t one = 1;
  if (real().write(sleeper.wake, &one, sizeof one) < 0) return;  // it is full: awake already
}

}  // namespace

Sleep::Sleep(std::span<File* const> files) : files_(files.begin(), files.end()), handled_(thread_state.handled) {
  const std::lock_guard guard(library().watch_lock());
  std::vector<int>& spare = spare_eventfds();
  if (spare.empty()) {
    sleeper_.wake = make_internal(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  } else {
    sleeper_.wake = spare.back();
    spare.pop_back();
  }
  for (File* file : files_) file->sleepers.push_back(&sleeper_);
}

Sleep::~Sleep() {
  const std::lock_guard guard(library().watch_lock());
  for (File* file : files_) std::erase(file->sleepers, &sleeper_);
  uint64_t count;
  while (real().read(sleeper_.wake, &count, sizeof count) > 0) {
  }
  spare_eventfds().push_back(sleeper_.wake);
}

Sleep::End Sleep::sleep(std::span<const pollfd> kernel, const Deadline& until) {
  host::Stack& stack = *library().stack();
  const Asleep asleep;
  if (!stack.prepare_sleep()) return End::kWoken;
  polled_.assign(kernel.begin(), kernel.end());
  polled_.push_back({stack.wait_fd(), POLLIN, 0});
  polled_.push_back({sleeper_.wake, POLLIN, 0});
  uint64_t left_ns = until.left_ns();
  const int limit_ms = stack.sleep_limit_ms();
  if (limit_ms >= 0) left_ns = std::min(left_ns, static_cast<uint64_t>(limit_ms) * 1'000'000);
  if (__libc_single_threaded == 0) left_ns = std::min(left_ns, kLongestAmongThreadsNs);
  const timespec left{static_cast<time_t>(left_ns / 1'000'000'000), static_cast<long>(left_ns % 1'000'000'000)};
  int error = 0;
  {
    thread_state.sleeper = sleeper_.wake;
    const Outside outside;
    if (thread_state.handled == handled_ &&
        real().ppoll(polled_.data(), polled_.size(), left_ns == UINT64_MAX ? nullptr : &left, nullptr) < 0)
      error = errno;
    thread_state.sleeper = -1;
  }
  stack.woken();
  uint64_t count;
  if (real().read(sleeper_.wake, &count, sizeof count) < 0) count = 0;
  if (thread_state.handled != handled_) return End::kSignal;
  if (error == EINTR) {  // a handler that was installed behind our back
    thread_state.no_restart = true;
    return End::kSignal;
  }
  return End::kWoken;
}

void announce(File& file, uint32_t events) {
  for (const Sleeper* sleeper : file.sleepers) wake(*sleeper);
  for (Watch* watch : file.watches) note_event(*watch, events);
}

void forget_sleepers() {
  sleeping = 0;
  FileTable& files = library().files;
  for (int fd = 0; fd <= files.highest(); ++fd)
    if (File* file = files.find(fd)) file->sleepers.clear();
  // Shared with the parent: not to be used here.
  for (const int fd : spare_eventfds()) close_internal(fd);
  spare_eventfds().clear();
}

uint32_t ready_of(File& file) {
  if (file.kind == Kind::kOffloaded) return library().stack()->ready(file.id);
  if (file.kind == Kind::kEpoll && set_is_ready(file)) return POLLIN | POLLRDNORM;
  return 0;
}

}  // namespace xnic::transport::preload
