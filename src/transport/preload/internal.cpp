// SPDX-License-Identifier: Apache-2.0
#include "transport/preload/internal.hpp"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <algorithm>

#include "transport/preload/library.hpp"
#include "transport/preload/real.hpp"

namespace xnic::transport::preload {

namespace {

constexpr int kLowest = 900;       // below FD_SETSIZE, far above what most programs use
constexpr int kRoomAtTheTop = 64;  // when the limit is lower

// The connection to the agent and the link's doorbell: the end of either ends the session.
bool is_session(int fd) {
  int domain = 0;
  socklen_t size = sizeof domain;
  return real().getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 && domain == AF_UNIX;
}

}  // namespace

int make_internal(int fd) {
  if (fd < 0) return fd;
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  const int most = static_cast<int>(std::min<rlim_t>(limit.rlim_cur, FileTable::kSlots));
  const int lowest = std::max(0, std::min(kLowest, most - kRoomAtTheTop));
  if (fd < lowest) {
    const int moved = real().fcntl64(fd, F_DUPFD_CLOEXEC, lowest);
    if (moved >= 0) {
      real().close(fd);
      fd = moved;
    }
  }
  library().files.mark_internal(fd);
  return fd;
}

int close_internal(int fd) {
  library().files.take(fd);
  return real().close(fd);
}

void keep_sessions_over_exec(bool keep) {
  const FileTable& files = library().files;
  for (int fd = 0; fd <= files.highest(); ++fd) {
    const File* file = files.find(fd);
    if (file != nullptr && file->kind == Kind::kInternal && is_session(fd))
      real().fcntl64(fd, F_SETFD, keep ? 0 : FD_CLOEXEC);
  }
}

}  // namespace xnic::transport::preload
