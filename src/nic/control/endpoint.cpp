// SPDX-License-Identifier: Apache-2.0
// The socket and its lock. The lock, not the socket, says whether a daemon lives: the kernel lets go of it with the
// process however that ends, while the file of a socket stays. The lock file is removed while the lock is held, and who
// gets a lock on a file that is no longer the one at the path tries again.
#include <fcntl.h>
#include <grp.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "nic/control/server.hpp"

namespace xnic::nic::control {

using base::ErrorKind;
using base::make_error;
using base::Result;
using exec::kernel::Fd;

namespace {

base::Unexpected refused(const std::string& path, std::string_view what) {
  return make_error(ErrorKind::kIo, path, "cannot {}: {}", what, std::strerror(errno));
}

bool is_at(const Fd& fd, const std::string& path) {
  struct stat open_file{};
  struct stat named{};
  return fstat(fd.get(), &open_file) == 0 && stat(path.c_str(), &named) == 0 && open_file.st_ino == named.st_ino &&
         open_file.st_dev == named.st_dev;
}

// Who holds the lock wrote its process id into the file.
std::string holder(const Fd& lock) {
  char text[32] = "";
  const ssize_t got = pread(lock.get(), text, sizeof text - 1, 0);
  const long pid = got > 0 ? std::atol(text) : 0;
  return pid > 0 ? fmt::format("process {}", pid) : "another process";
}

Result<Fd> take_lock(const std::string& path) {
  for (;;) {
    Fd lock(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644));
    if (lock.get() < 0) return refused(path, "open the lock file");
    if (flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
      if (errno != EWOULDBLOCK) return refused(path, "take the lock");
      return make_error(ErrorKind::kLimit, path,
                        "{} serves this socket already: stop it with xnic down, or choose another [card] control",
                        holder(lock));
    }
    if (!is_at(lock, path)) continue;  // its last owner removed it before it let go
    const std::string pid = fmt::format("{}\n", getpid());
    if (ftruncate(lock.get(), 0) != 0 || pwrite(lock.get(), pid.data(), pid.size(), 0) < 0)
      return refused(path, "write the lock file");
    return lock;
  }
}

// Pre: the lock is held, so nobody serves the socket that may be there.
Result<void> remove_stale(const std::string& path) {
  struct stat there{};
  if (lstat(path.c_str(), &there) != 0) return {};
  if (!S_ISSOCK(there.st_mode))
    return make_error(ErrorKind::kBadInput, path, "is no socket: choose another [card] control, or remove the file");
  if (unlink(path.c_str()) != 0) return refused(path, "remove the socket of a daemon that is gone");
  return {};
}

Result<gid_t> find_group(const std::string& name, const std::string& path) {
  const struct group* entry = getgrnam(name.c_str());
  if (entry == nullptr)
    return make_error(ErrorKind::kBadInput, path, "there is no group \"{}\": make it with groupadd --system {}", name,
                      name);
  return entry->gr_gid;
}

}  // namespace

Result<Endpoint> Endpoint::open(const std::string& path, uint32_t mode, const std::string& group) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path)
    return make_error(ErrorKind::kBadInput, path, "is too long for a Unix socket");
  std::copy(path.begin(), path.end(), address.sun_path);
  const std::filesystem::path folder = std::filesystem::path(path).parent_path();
  if (!folder.empty() && mkdir(folder.c_str(), 0755) != 0 && errno != EEXIST)
    return refused(folder.string(), "make the folder");
  XNIC_ASSIGN(Fd lock, take_lock(path + ".lock"));
  Endpoint endpoint(path, std::move(lock));
  XNIC_TRY(remove_stale(path));
  endpoint.socket_ = Fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (endpoint.socket_.get() < 0) return refused(path, "make a socket");
  // Nobody but the owner gets in between bind and chmod.
  const mode_t before = umask(0177);
  const int bound = bind(endpoint.fd(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
  umask(before);
  if (bound != 0) return refused(path, "make the socket");
  if (!group.empty()) {
    XNIC_ASSIGN(const gid_t gid, find_group(group, path));
    if (chown(path.c_str(), static_cast<uid_t>(-1), gid) != 0) return refused(path, "give the socket to its group");
  }
  if (chmod(path.c_str(), mode) != 0) return refused(path, "set the socket's permissions");
  if (listen(endpoint.fd(), 16) != 0) return refused(path, "listen");
  return endpoint;
}

Endpoint::~Endpoint() {
  if (lock_.get() < 0) return;  // moved from
  if (socket_.get() >= 0) unlink(path_.c_str());
  unlink((path_ + ".lock").c_str());
}

}  // namespace xnic::nic::control
