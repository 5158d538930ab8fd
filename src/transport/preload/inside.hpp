// SPDX-License-Identifier: Apache-2.0
// Being inside the library. Two things depend on it:
//   - The host library itself calls close(), poll(), epoll_ctl(); such a call goes straight to libc.
//   - A signal handler may use sockets. One that interrupted us while we hold a lock would wait for itself for ever, so
//   a
//     handler that is due while a thread is inside runs when the thread leaves, or before it sleeps. The signal is
//     queued to the thread again with rt_tgsigqueueinfo(2), so that the handler gets its information and a true
//     context.
#pragma once

#include <signal.h>

namespace xnic::transport::preload {

struct ThreadState {
  static constexpr int kMostDeferred = 16;
  int depth = 0;
  unsigned handled = 0;     // handlers that have run in this thread
  bool no_restart = false;  // one of them was installed without SA_RESTART
  int sleeper = -1;         // eventfd that ends this thread's sleep; -1: it does not sleep
  int deferred = 0;
  siginfo_t infos[kMostDeferred];
};
extern thread_local ThreadState thread_state __attribute__((tls_model("initial-exec")));

void deliver_deferred();

class Inside {
 public:
  Inside() { ++thread_state.depth; }
  ~Inside() {
    if (--thread_state.depth == 0 && thread_state.deferred != 0) deliver_deferred();
  }
  Inside(const Inside&) = delete;
  Inside& operator=(const Inside&) = delete;
};

// The opposite, for a sleep: handlers may run. Restores the depth.
class Outside {
 public:
  Outside() : depth_(thread_state.depth) {
    thread_state.depth = 0;
    if (thread_state.deferred != 0) deliver_deferred();
  }
  ~Outside() { thread_state.depth = depth_; }
  Outside(const Outside&) = delete;
  Outside& operator=(const Outside&) = delete;

 private:
  int depth_;
};

}  // namespace xnic::transport::preload
