// SPDX-License-Identifier: Apache-2.0
// Handlers of the program, run through a handler of ours that knows whether the thread is inside the library. Signals
// that the program's own instructions cause (SIGSEGV and its like) are left alone, and so are SIG_IGN and SIG_DFL.
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>

#include "transport/preload/inside.hpp"
#include "transport/preload/real.hpp"

namespace xnic::transport::preload {

thread_local ThreadState thread_state __attribute__((tls_model("initial-exec")));

namespace {

constexpr int kSignals = 65;

// What the program installed. Written before our handler is in place, read by it.
struct Installed {
  std::atomic<void*> handler;  // null: ours is not in place
  std::atomic<int> flags;
  sigset_t mask;
};
constinit Installed installed[kSignals]{};

bool caused_by_instruction(int signal) {
  return signal == SIGSEGV || signal == SIGBUS || signal == SIGFPE || signal == SIGILL || signal == SIGTRAP ||
         signal == SIGSYS;
}

void run(int signal, siginfo_t* info, void* context) {
  ThreadState& thread = thread_state;
  if (thread.depth != 0 && thread.deferred < ThreadState::kMostDeferred) {
    thread.infos[thread.deferred++] = *info;
    return;
  }
  const Installed& wanted = installed[signal];
  const int flags = wanted.flags;
  void* const handler = wanted.handler;
  const int saved = errno;
  ++thread.handled;
  if ((flags & SA_RESTART) == 0) thread.no_restart = true;
  if ((flags & static_cast<int>(SA_RESETHAND)) != 0) {
    const struct sigaction reset{};  // SIG_DFL
    real().sigaction(signal, &reset, nullptr);
  }
  if ((flags & SA_SIGINFO) != 0)
    reinterpret_cast<void (*)(int, siginfo_t*, void*)>(handler)(signal, info, context);
  else
    reinterpret_cast<void (*)(int)>(handler)(signal);
  // Between the last look and the system call, the sleep would not notice.
  if (thread.sleeper >= 0) {
    const uint64_t one = 1;
    if (real().write(thread.sleeper, &one, sizeof one) < 0) errno = saved;
  }
}

}  // namespace

void deliver_deferred() {
  ThreadState& thread = thread_state;
  const int saved = errno;
  while (thread.deferred != 0) {
    const siginfo_t info = thread.infos[--thread.deferred];
    real().syscall(SYS_rt_tgsigqueueinfo, ::getpid(), ::gettid(), info.si_signo, &info);
  }
  errno = saved;
}

int install(int signal, const struct sigaction* wanted, struct sigaction* before) {
  if (signal <= 0 || signal >= kSignals || caused_by_instruction(signal))
    return real().sigaction(signal, wanted, before);
  Installed& entry = installed[signal];
  void* const old_handler = entry.handler;
  const int old_flags = entry.flags;
  const sigset_t old_mask = entry.mask;
  struct sigaction ours{};
  const bool wrapped = wanted != nullptr && wanted->sa_handler != SIG_IGN && wanted->sa_handler != SIG_DFL;
  if (wanted != nullptr) ours = *wanted;
  if (wrapped) {
    entry.flags = wanted->sa_flags;
    entry.mask = wanted->sa_mask;
    entry.handler = reinterpret_cast<void*>(wanted->sa_handler);
    ours.sa_sigaction = run;
    ours.sa_flags |= SA_SIGINFO;
    ours.sa_flags &= ~static_cast<int>(SA_RESETHAND);  // a deferred signal comes to us twice
  }
  struct sigaction kernels{};
  const int result = real().sigaction(signal, wanted != nullptr ? &ours : nullptr, &kernels);
  if (result < 0) {
    entry.handler = old_handler;
    return result;
  }
  if (wanted != nullptr && !wrapped) entry.handler = nullptr;
  if (before == nullptr) return 0;
  *before = kernels;
  if (kernels.sa_sigaction != run || old_handler == nullptr) return 0;
  before->sa_handler = reinterpret_cast<void (*)(int)>(old_handler);
  before->sa_flags = old_flags;
  before->sa_mask = old_mask;
  return 0;
}

}  // namespace xnic::transport::preload

using xnic::transport::preload::install;

extern "C" {

int sigaction(int signal, const struct sigaction* wanted, struct sigaction* before) noexcept {
  return install(signal, wanted, before);
}

sighandler_t signal(int number, sighandler_t handler) noexcept {
  struct sigaction wanted{}, before{};
  wanted.sa_handler = handler;
  wanted.sa_flags = SA_RESTART;
  sigaddset(&wanted.sa_mask, number);
  return install(number, &wanted, &before) < 0 ? SIG_ERR : before.sa_handler;
}

sighandler_t bsd_signal(int number, sighandler_t handler) noexcept { return signal(number, handler); }

sighandler_t sysv_signal(int number, sighandler_t handler) noexcept {
  struct sigaction wanted{}, before{};
  wanted.sa_handler = handler;
  wanted.sa_flags = static_cast<int>(SA_RESETHAND | SA_NODEFER);
  return install(number, &wanted, &before) < 0 ? SIG_ERR : before.sa_handler;
}
sighandler_t __sysv_signal(int number, sighandler_t handler) noexcept { return sysv_signal(number, handler); }

}  // extern "C"
