// SPDX-License-Identifier: Apache-2.0
// Perf buffers, and waiting for them and for ring buffers with epoll.
//
// A handle is a memfd, which the kernel does not let epoll wait for. In its place goes an eventfd that the daemon
// signals when data comes, edge-triggered, since only the daemon could take the signal back. The eventfd stays open as
// long as the epoll descriptor; which stands for which is kept in a small table.
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <unistd.h>

#include "preload/card.hpp"
#include "preload/perf.hpp"
#include "preload/real.hpp"

namespace xnic::preload {
namespace {

Real<int(int, int, int, epoll_event*)> real_epoll_ctl("epoll_ctl");
Real<int(int)> real_close("close");
Real<void*(void*, size_t, int, int, int, off_t)> real_mmap("mmap");

constexpr size_t kMaxWaits = 256;
constexpr int kHighDescriptor = 700;  // as in card.cpp: out of the way

struct Wait {
  int epoll = -1, handle = -1, event = -1;
};
pthread_mutex_t g_lock =
    PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;  // the client closes descriptors, through close() below
Wait g_waits[kMaxWaits];
int g_count;

void lock() { pthread_mutex_lock(&g_lock); }
void unlock() { pthread_mutex_unlock(&g_lock); }
void in_child() { g_lock = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP; }  // its thread has another number
__attribute__((constructor)) void begin() { pthread_atfork(lock, unlock, in_child); }

void take_first(void* context, const Answer& answer) {
  *static_cast<int*>(context) = answer.descriptors[0];
  if (answer.descriptors[1] >= 0) real_close.get()(answer.descriptors[1]);
}

// Out of the way of the numbers that the program expects.
int move_up(int fd) {
  const int high = fcntl(fd, F_DUPFD_CLOEXEC, kHighDescriptor);
  if (high < 0) return fd;
  real_close.get()(fd);
  return high;
}

// Pre, of all below: locked.
Wait* find(int epoll, int handle) {
  for (Wait& wait : g_waits)
    if (wait.event >= 0 && wait.epoll == epoll && wait.handle == handle) return &wait;
  return nullptr;
}

void forget(Wait& wait) {
  real_close.get()(wait.event);
  wait = {};
  --g_count;
}

int add(int epoll, int handle, epoll_event event) {
  Wait* free = nullptr;
  for (Wait& wait : g_waits)
    if (wait.event < 0) free = &wait;
  if (find(epoll, handle) != nullptr) return -EEXIST;
  if (free == nullptr) return -ENOSPC;
  int fd = -1;
  const long answer = card_ask(Question::kWakeup, 0, nullptr, 0, handle, take_first, &fd);
  if (answer < 0) return static_cast<int>(answer);
  if (fd < 0) return -EMFILE;
  fd = move_up(fd);
  event.events |= EPOLLET;
  if (real_epoll_ctl.get()(epoll, EPOLL_CTL_ADD, fd, &event) != 0) {
    const int error = errno;
    real_close.get()(fd);
    return -error;
  }
  *free = {epoll, handle, fd};
  __atomic_add_fetch(&g_count, 1, __ATOMIC_RELEASE);
  return 0;
}

int control(int epoll, int operation, int handle, epoll_event* event) {
  if (operation == EPOLL_CTL_ADD) return event == nullptr ? -EFAULT : add(epoll, handle, *event);
  Wait* wait = find(epoll, handle);
  if (wait == nullptr) return -ENOENT;
  if (operation == EPOLL_CTL_DEL) {
    forget(*wait);  // closing the only descriptor of an eventfd takes it out
    return 0;
  }
  if (event == nullptr) return -EFAULT;
  epoll_event changed = *event;
  changed.events |= EPOLLET;
  return real_epoll_ctl.get()(epoll, operation, wait->event, &changed) == 0 ? 0 : -errno;
}

}  // namespace

long open_perf(const perf_event_attr* attr) {
  if (attr == nullptr || attr->type != PERF_TYPE_SOFTWARE || attr->config != PERF_COUNT_SW_BPF_OUTPUT) return kNotOurs;
  int fd = -1;
  const long answer = card_ask(Question::kPerfOpen, 0, nullptr, 0, -1, take_first, &fd);
  return answer < 0 ? answer : fd < 0 ? -EMFILE : fd;
}

// A perf buffer has its size from the first mapping: a page of control and a power of two of data pages.
void* map(void* address, size_t size, int protection, int flags, int fd, off_t offset) {
  if (fd >= 0 && offset == 0 && (flags & MAP_TYPE) == MAP_SHARED && size > 0 && kind_of(fd) == ObjectKind::kPerf) {
    const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    const long result = card_ask(Question::kPerfSize, size / page - 1, nullptr, 0, fd, nullptr, nullptr);
    if (result < 0) {
      errno = static_cast<int>(-result);
      return MAP_FAILED;
    }
  }
  return real_mmap.get()(address, size, protection, flags, fd, offset);
}

}  // namespace xnic::preload

namespace preload = xnic::preload;

XNIC_EXPORT int epoll_ctl(int epoll, int operation, int fd, epoll_event* event) noexcept {
  const preload::ObjectKind kind = preload::kind_of(fd);
  if (kind != preload::ObjectKind::kMap && kind != preload::ObjectKind::kPerf)
    return preload::real_epoll_ctl.get()(epoll, operation, fd, event);
  preload::lock();
  const int result = preload::control(epoll, operation, fd, event);
  preload::unlock();
  if (result == 0) return 0;
  errno = -result;
  return -1;
}

// What waited with this epoll descriptor, or for this handle, goes with it.
XNIC_EXPORT int close(int fd) {
  if (__atomic_load_n(&preload::g_count, __ATOMIC_ACQUIRE) > 0) {
    preload::lock();
    for (preload::Wait& wait : preload::g_waits)
      if (wait.event >= 0 && (wait.epoll == fd || wait.handle == fd)) preload::forget(wait);
    preload::unlock();
  }
  return preload::real_close.get()(fd);
}

XNIC_EXPORT void* mmap(void* address, size_t size, int protection, int flags, int fd, off_t offset) noexcept {
  return preload::map(address, size, protection, flags, fd, offset);
}

XNIC_EXPORT void* mmap64(void* address, size_t size, int protection, int flags, int fd, off_t offset) noexcept {
  return preload::map(address, size, protection, flags, fd, offset);
}
