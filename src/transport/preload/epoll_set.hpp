// SPDX-License-Identifier: Apache-2.0
// The offloaded part of an epoll set. The set itself stays a kernel epoll: descriptors of the kernel are registered
// there and nowhere else. For each offloaded socket (and each nested set) there is a Watch; a Watch with news stands in
// the set's ready list. As in the kernel, an entry of the list is a hint: whether there is something to report is asked
// when it is taken, and a level-triggered one that had something goes back into the list.
#pragma once

#include <signal.h>
#include <sys/epoll.h>

#include <cstdint>
#include <deque>
#include <vector>

#include "transport/preload/file.hpp"

namespace xnic::transport::preload {

struct Watch {
  EpollSet* set = nullptr;
  File* file = nullptr;
  int fd = -1;             // that it was registered by
  bool in_kernel = false;  // the file is fresh: the kernel watches it until it is offloaded
  bool queued = false;
  bool disarmed = false;  // EPOLLONESHOT, reported
  uint32_t serial = 0;    // changes when the Watch is for something else
  uint32_t events = 0;    // as asked for, with the modes
  epoll_data_t data{};
};

// All under the watch lock, but for `fd`, `file` and `kernel_entries`.
struct EpollSet {
  int fd = -1;
  File* file = nullptr;
  std::atomic<int> kernel_entries = 0;  // at least so many; 0: the kernel need not be asked
  std::atomic<int> turn = 0;            // who is first when there is room for few
  std::deque<Watch*> ready;
  std::vector<Watch*> watches;
};

// The descriptor is an epoll set from now on.
void note_epoll(int fd);
int control_epoll(int set_fd, int operation, int fd, epoll_event* event);
// timeout_ns: UINT64_MAX is for ever. `mask` may be null.
int wait_epoll(File& set, epoll_event* events, int room, uint64_t timeout_ns, const sigset_t* mask);
// Something in it would be reported by the offloaded part.
bool set_is_ready(File& set);
// The file is offloaded now: its watches leave the kernel. Or it never will be: the kernel keeps them.
void watches_to_library(File& file);
void watches_to_kernel(File& file);

// ---- under the watch lock
void note_event(Watch& watch, uint32_t events);
void drop_watches(File& file);  // its last descriptor is closed
void drop_set(File& file);

}  // namespace xnic::transport::preload
