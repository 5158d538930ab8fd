// SPDX-License-Identifier: Apache-2.0
#include "transport/preload/library.hpp"

#include <pthread.h>
#include <signal.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>

#include "transport/preload/inside.hpp"
#include "transport/preload/waiting.hpp"

namespace xnic::transport::preload {

namespace {

constexpr uint64_t kBetweenTriesMs = 200;
constexpr long kBetweenLooksNs = 10'000'000;

uint64_t now_ms() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1000 + static_cast<uint64_t>(now.tv_nsec) / 1'000'000;
}

}  // namespace

Library::Library() {
  const char* path = std::getenv("XNIC_OFFLOAD_SOCKET");
  if (path == nullptr || *path == 0) return;
  path_ = path;
  enabled_ = true;
  if (const char* spin = std::getenv("XNIC_OFFLOAD_SPIN_US")) spin_us_ = static_cast<uint32_t>(std::atoi(spin));
  if (const char* rules = std::getenv("XNIC_OFFLOAD_POLICY")) {
    auto parsed = Policy::parse(rules);
    if (!parsed) {
      std::fprintf(stderr, "libxnic-socket: %s; nothing is offloaded\n", parsed.error().message().c_str());
      enabled_ = false;
      return;
    }
    policy = std::move(*parsed);
  }
  pthread_atfork([] { library().before_fork(); }, [] { library().after_fork_in_parent(); },
                 [] { library().after_fork_in_child(); });
}

void start_library() { the_library.store(new Library, std::memory_order_release); }

host::Stack* Library::attach() {
  if (host::Stack* present = stack()) return present;
  if (!enabled_) return nullptr;
  const std::lock_guard guard(attach_lock_);
  if (host::Stack* present = stack()) return present;
  if (now_ms() < next_try_ms_) return nullptr;
  auto attached = host::Stack::attach({.path = path_, .spin_us = spin_us_}, this);
  if (!attached) {
    next_try_ms_ = now_ms() + kBetweenTriesMs;
    return nullptr;
  }
  stack_.store(attached->release(), std::memory_order_release);
  return stack();
}

void Library::on_events(host::SocketId, void* cookie, uint32_t events) {
  if (cookie == nullptr) return;
  const std::lock_guard guard(watch_lock_);
  announce(*static_cast<File*>(cookie), events);
}

void Library::attend() {
  if (stack() == nullptr || attended_.exchange(true)) return;
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);  // the program's handlers run in its own threads
  pthread_t thread;
  const auto run = [](void*) -> void* {
    const Inside inside;
    for (;;) {
      const timespec pause{0, kBetweenLooksNs};
      nanosleep(&pause, nullptr);
      library().stack()->pump();
    }
  };
  if (pthread_create(&thread, nullptr, run, nullptr) == 0)
    pthread_detach(thread);
  else
    attended_ = false;
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

void Library::before_fork() {
  // Undone in the parent and in the child.
  ++thread_state.depth;
  attach_lock_.lock();
  // An error leaves the child without sockets; they are closed there, as the host library says.
  if (host::Stack* present = stack()) (void)present->before_fork();
  watch_lock_.lock();
}

void Library::after_fork_in_parent() {
  watch_lock_.unlock();
  if (host::Stack* present = stack()) present->after_fork_in_parent();
  attach_lock_.unlock();
  attend();
  --thread_state.depth;
}

void Library::after_fork_in_child() {
  forget_sleepers();
  watch_lock_.unlock();
  if (host::Stack* present = stack()) present->after_fork_in_child();
  attach_lock_.unlock();
  attended_ = false;  // that thread is the parent's
  --thread_state.depth;
}

}  // namespace xnic::transport::preload
