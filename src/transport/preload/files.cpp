// SPDX-License-Identifier: Apache-2.0
// From fresh to offloaded or to the kernel, and to the end. A fresh socket is the kernel's in all things; what was set
// on it is remembered and set again at the agent.
#include <fcntl.h>

#include <cerrno>

#include "transport/preload/epoll_set.hpp"
#include "transport/preload/inside.hpp"
#include "transport/preload/library.hpp"
#include "transport/preload/real.hpp"
#include "transport/preload/waiting.hpp"

namespace xnic::transport::preload {

namespace {

File* of_kind(int fd, Kind kind) {
  if (thread_state.depth != 0 || !library_ready()) return nullptr;
  File* const file = library().files.find(fd);
  return file != nullptr && file->kind == kind ? file : nullptr;
}

}  // namespace

File* offloaded(int fd) { return of_kind(fd, Kind::kOffloaded); }
File* fresh(int fd) { return of_kind(fd, Kind::kFresh); }

void note_fresh(int fd, int domain, bool nonblocking) {
  File* const file = library().files.make(fd, Kind::kFresh);
  file->domain = domain;
  file->nonblocking = nonblocking;
}

bool offload(int fd, File& file) {
  host::Stack* const stack = library().attach();
  const int64_t id = stack == nullptr ? -ENETDOWN : stack->socket(file.domain, SOCK_STREAM, 0);
  if (id < 0) {
    leave_to_kernel(file);
    return false;
  }
  const auto socket = static_cast<host::SocketId>(id);
  for (const SetOption& option : file.options)
    stack->setsockopt(socket, option.level, option.name, option.value.data(),
                      static_cast<socklen_t>(option.value.size()));
  file.options.clear();
  file.options.shrink_to_fit();
  file.id = socket;
  file.nonblocking = (real().fcntl64(fd, F_GETFL) & O_NONBLOCK) != 0;
  stack->set_cookie(socket, &file);
  file.kind = Kind::kOffloaded;
  watches_to_library(file);
  return true;
}

void leave_to_kernel(File& file) {
  watches_to_kernel(file);
  // Its slots, that copies of the descriptor may have, are found and emptied when they are closed.
  file.kind = Kind::kUnused;
}

bool nonblocking_now(int fd, File& file) {
  const bool now = (real().fcntl64(fd, F_GETFL) & O_NONBLOCK) != 0;
  file.nonblocking = now;
  return now;
}

void adopt_as(int fd, host::SocketId id, int domain) {
  File* const file = library().files.make(fd, Kind::kFresh);
  file->domain = domain;
  file->id = id;
  file->nonblocking = (real().fcntl64(fd, F_GETFL) & O_NONBLOCK) != 0;
  library().stack()->set_cookie(id, file);
  file->kind = Kind::kOffloaded;
}

int descriptor_for(host::SocketId id, int domain, int flags) {
  const int fd = real().socket(domain, SOCK_STREAM | flags, 0);
  if (fd < 0) return -1;
  forget(fd);
  File* const file = library().files.make(fd, Kind::kFresh);
  file->domain = domain;
  file->id = id;
  file->nonblocking = (flags & SOCK_NONBLOCK) != 0;
  library().stack()->set_cookie(id, file);
  file->kind = Kind::kOffloaded;
  return fd;
}

void forget(int fd) {
  File* const file = library().files.take(fd);
  if (file == nullptr) return;
  const Kind kind = file->kind;
  const host::SocketId id = file->id;
  if (kind == Kind::kOffloaded) {
    library().stack()->set_cookie(id, nullptr);
    file->kind = Kind::kUnused;
  }
  {
    const std::lock_guard guard(library().watch_lock());
    // Threads that still wait for it look again, and find nothing.
    if (!file->sleepers.empty()) announce(*file, POLLNVAL);
    drop_watches(*file);
    if (kind == Kind::kEpoll) drop_set(*file);
  }
  if (kind == Kind::kOffloaded) library().stack()->close(id);
  library().files.give_back(file);
}

}  // namespace xnic::transport::preload
