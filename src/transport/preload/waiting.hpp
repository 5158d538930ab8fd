// SPDX-License-Identifier: Apache-2.0
// Waiting for offloaded sockets, alone or together with descriptors of the kernel.
//
// A thread that waits looks for a while (spins), then registers a Sleeper with every file it waits for, looks once
// more, and sleeps in ppoll(2) on: the host library's descriptor (something came from the agent), its own eventfd
// (another thread took what came, or a signal handler ran), and whatever the program waits for in the kernel. Since a
// Sleeper is registered before the last look, and whoever takes messages announces their events, no wake-up is lost.
#pragma once

#include <poll.h>
#include <sys/epoll.h>

#include <cstdint>
#include <ctime>
#include <span>
#include <vector>

#include "transport/preload/library.hpp"

namespace xnic::transport::preload {

// A point in time that may be never.
class Deadline {
 public:
  static Deadline never() { return Deadline(UINT64_MAX); }
  static Deadline after_ns(uint64_t ns);
  static Deadline after_ms(int ms) { return ms < 0 ? never() : after_ns(static_cast<uint64_t>(ms) * 1'000'000); }
  bool is_never() const { return at_ns_ == UINT64_MAX; }
  uint64_t left_ns() const;  // 0: it has passed; never: UINT64_MAX

 private:
  explicit Deadline(uint64_t at_ns) : at_ns_(at_ns) {}
  uint64_t at_ns_;
};
uint64_t monotonic_ns();

struct Sleeper {
  int wake = -1;  // eventfd
};

// Lets the thread be woken by files and sets for as long as it lives.
class Sleep {
 public:
  explicit Sleep(std::span<File* const> files);
  ~Sleep();
  Sleep(const Sleep&) = delete;
  Sleep& operator=(const Sleep&) = delete;

  enum class End { kWoken, kSignal };
  // Sleeps until something happens, at most until `until`. `kernel`: descriptors to wait for, too; their revents are
  // not to be read. kSignal: a handler has run.
  End sleep(std::span<const pollfd> kernel, const Deadline& until);

 private:
  Sleeper sleeper_;
  std::vector<File*> files_;
  std::vector<pollfd> polled_;
  unsigned handled_;
};

// For all waits: looks until it finds, sleeps in between. `Look` returns true when the wait is over.
enum class Waited { kFound, kTimeout, kSignal };
template <class Look>
Waited wait_for(std::span<File* const> files, std::span<const pollfd> kernel, const Deadline& until, Look&& look);

// ---- under the watch lock

// Tells watches and sleepers of `file` that `events` have come about.
void announce(File& file, uint32_t events);
// In a child: the threads that slept are not here.
void forget_sleepers();

// ---- without it

// The poll(2) bits of an offloaded socket or of the offloaded part of an epoll set.
uint32_t ready_of(File& file);

bool deferred_signal();

template <class Look>
Waited wait_for(std::span<File* const> files, std::span<const pollfd> kernel, const Deadline& until, Look&& look) {
  host::Stack& stack = *library().stack();
  const uint64_t spin_until = monotonic_ns() + uint64_t{library().spin_us()} * 1000;
  do {
    if (look()) return Waited::kFound;
    if (until.left_ns() == 0) return Waited::kTimeout;
    stack.pump();
  } while (!deferred_signal() && monotonic_ns() < spin_until);
  Sleep sleep(files);
  for (;;) {
    stack.pump();
    if (look()) return Waited::kFound;
    if (until.left_ns() == 0) return Waited::kTimeout;
    if (sleep.sleep(kernel, until) == Sleep::End::kSignal) return look() ? Waited::kFound : Waited::kSignal;
  }
}

}  // namespace xnic::transport::preload
