// SPDX-License-Identifier: Apache-2.0
// exec, posix_spawn, vfork, and descriptors in messages.
//
// Over exec a process hands its inheritable sockets back to the agent under tokens, and the next program takes them.
// Its session has to last until then: its descriptor goes along, named in XNIC_OFFLOAD_SESSION. A spawned program takes
// its own references to the parent's.
#include <fcntl.h>
#include <spawn.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "transport/preload/entry.hpp"

using namespace xnic::transport::preload;

namespace xnic::transport::preload {

namespace {

constexpr const char* kAdopt = "XNIC_OFFLOAD_SESSION";
constexpr const char* kCarried[] = {"LD_PRELOAD", "XNIC_OFFLOAD_SOCKET", "XNIC_OFFLOAD_POLICY", "XNIC_OFFLOAD_SPIN_US"};

// Descriptors in the SCM_RIGHTS parts of a message.
template <class Each>
void for_each_right(const msghdr& message, Each&& each) {
  auto& header = const_cast<msghdr&>(message);
  for (cmsghdr* part = CMSG_FIRSTHDR(&header); part != nullptr; part = CMSG_NXTHDR(&header, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    auto* fds = reinterpret_cast<int*>(CMSG_DATA(part));
    for (size_t i = 0; i < count; ++i) each(fds[i]);
  }
}

}  // namespace

void pass_rights(const msghdr& message) {
  if (!is_attached()) return;
  for_each_right(message, [](int& fd) {
    File* const file = offloaded(fd);
    if (file == nullptr) return;
    const Inside inside;
    if (mark_for_passing(fd, *file)) library().attend();
  });
}

void take_rights(const msghdr& message) {
  const bool internal = is_inside();
  if (!library_ready() || !library().enabled()) return;
  const Inside inside;
  for_each_right(message, [&](int& fd) {
    forget(fd);
    if (internal)
      fd = make_internal(fd);
    else
      adopt_if_ours(fd);
  });
}

namespace {

// The environment of the next program: it keeps the library, and knows that it has sockets to take.
class Environment {
 public:
  Environment(char* const* given, bool adopts, const std::string& sessions) {
    const auto has = [&](const char* name) {
      const size_t length = std::strlen(name);
      for (char* const* each = given; each != nullptr && *each != nullptr; ++each)
        if (std::strncmp(*each, name, length) == 0 && (*each)[length] == '=') return true;
      return false;
    };
    for (const char* name : kCarried)
      if (const char* value = std::getenv(name); value != nullptr && !has(name))
        texts_.push_back(std::string(name) + "=" + value);
    if (adopts) texts_.push_back(std::string(kAdopt) + "=" + sessions);
    for (char* const* each = given; each != nullptr && *each != nullptr; ++each) pointers_.push_back(*each);
    for (std::string& text : texts_) pointers_.push_back(text.data());
    pointers_.push_back(nullptr);
  }
  char* const* get() const { return pointers_.data(); }

 private:
  std::vector<std::string> texts_;
  std::vector<char*> pointers_;
};

// Marks each socket that the next program inherits.
std::vector<std::pair<int, File*>> mark_inheritable() {
  std::vector<std::pair<int, File*>> marked;
  FileTable& files = library().files;
  for (int fd = 0; fd <= files.highest(); ++fd) {
    File* const file = files.find(fd);
    if (file == nullptr || file->kind != Kind::kOffloaded || (real().fcntl64(fd, F_GETFD) & FD_CLOEXEC) != 0) continue;
    bool known = false;  // by another descriptor
    for (const auto& each : marked) known |= each.second == file;
    if (!known && mark_for_passing(fd, *file)) marked.emplace_back(fd, file);
  }
  return marked;
}

std::string sessions_kept() {
  std::string text;
  FileTable& files = library().files;
  for (int fd = 0; fd <= files.highest(); ++fd) {
    const File* const file = files.find(fd);
    if (file != nullptr && file->kind == Kind::kInternal && (real().fcntl64(fd, F_GETFD) & FD_CLOEXEC) == 0)
      text += std::to_string(fd) + " ";
  }
  return text;
}

// `replace` is the real exec with an environment. It returns only on failure; then all is put back.
template <class Replace>
int exec_with(char* const* environment, Replace&& replace) {
  if (!concerns_us()) return replace(environment);
  const Inside inside;
  if (library().stack() == nullptr) return replace(Environment(environment, false, "").get());
  host::Stack& stack = *library().stack();
  const auto marked = mark_inheritable();
  for (const auto& [fd, file] : marked) {
    stack.set_cookie(file->id, nullptr);
    stack.close(file->id);
  }
  stack.flush();
  if (!marked.empty()) keep_sessions_over_exec(true);
  const Environment next(environment, !marked.empty(), marked.empty() ? "" : sessions_kept());
  const int result = replace(next.get());
  const int error = errno;
  keep_sessions_over_exec(false);
  for (const auto& [fd, file] : marked) readopt(fd, *file);
  errno = error;
  return result;
}

template <class Spawn>
int spawn_with(char* const* environment, Spawn&& spawn) {
  if (!is_attached()) return spawn(environment);
  const Inside inside;
  const bool adopts = !mark_inheritable().empty();
  library().stack()->flush();
  if (adopts) library().attend();
  return spawn(Environment(environment, adopts, "").get());
}

std::vector<char*> arguments_of(const char* first, va_list rest) {
  std::vector<char*> all{const_cast<char*>(first)};
  while (all.back() != nullptr) all.push_back(va_arg(rest, char*));
  return all;
}

// Takes what the program before has left. Several descriptors may be one socket: they have one cookie.
void adopt_inherited() {
  const char* const sessions = std::getenv(kAdopt);
  if (sessions == nullptr || !library().enabled()) return;
  std::vector<std::pair<uint64_t, File*>> taken;
  const long most = sysconf(_SC_OPEN_MAX);
  for (int fd = 0; fd < most && fd < 65536; ++fd) {
    uint64_t cookie = 0;
    socklen_t size = sizeof cookie;
    if (real().getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &size) < 0) continue;
    File* same = nullptr;
    for (const auto& [known, file] : taken)
      if (known == cookie) same = file;
    if (same != nullptr) {
      library().files.put(fd, same);
      continue;
    }
    adopt_if_ours(fd);
    if (File* file = library().files.find(fd); file != nullptr && file->kind == Kind::kOffloaded)
      taken.emplace_back(cookie, file);
  }
  char* at = const_cast<char*>(sessions);
  for (;;) {
    char* end;
    const long fd = std::strtol(at, &end, 10);
    if (end == at) break;
    real().close(static_cast<int>(fd));
    at = end;
  }
  unsetenv(kAdopt);
}

__attribute__((constructor)) void start() {
  const Inside inside;
  start_library();
  adopt_inherited();
}

}  // namespace
}  // namespace xnic::transport::preload

extern "C" {

int execve(const char* path, char* const* arguments, char* const* environment) noexcept {
  return exec_with(environment, [&](char* const* next) { return real().execve(path, arguments, next); });
}
int execv(const char* path, char* const* arguments) noexcept { return execve(path, arguments, environ); }
int execvpe(const char* file, char* const* arguments, char* const* environment) noexcept {
  return exec_with(environment, [&](char* const* next) { return real().execvpe(file, arguments, next); });
}
int execvp(const char* file, char* const* arguments) noexcept { return execvpe(file, arguments, environ); }
int fexecve(int fd, char* const* arguments, char* const* environment) noexcept {
  return exec_with(environment, [&](char* const* next) { return real().fexecve(fd, arguments, next); });
}

int execl(const char* path, const char* first, ...) noexcept {
  va_list rest;
  va_start(rest, first);
  const std::vector<char*> arguments = arguments_of(first, rest);
  va_end(rest);
  return execve(path, arguments.data(), environ);
}
int execlp(const char* file, const char* first, ...) noexcept {
  va_list rest;
  va_start(rest, first);
  const std::vector<char*> arguments = arguments_of(first, rest);
  va_end(rest);
  return execvpe(file, arguments.data(), environ);
}
int execle(const char* path, const char* first, ...) noexcept {
  va_list rest;
  va_start(rest, first);
  const std::vector<char*> arguments = arguments_of(first, rest);
  char* const* const environment = va_arg(rest, char* const*);
  va_end(rest);
  return execve(path, arguments.data(), environment);
}

int posix_spawn(pid_t* pid, const char* path, const posix_spawn_file_actions_t* actions,
                const posix_spawnattr_t* attributes, char* const* arguments, char* const* environment) noexcept {
  return spawn_with(environment, [&](char* const* next) {
    return real().posix_spawn(pid, path, actions, attributes, arguments, next);
  });
}
int posix_spawnp(pid_t* pid, const char* file, const posix_spawn_file_actions_t* actions,
                 const posix_spawnattr_t* attributes, char* const* arguments, char* const* environment) noexcept {
  return spawn_with(environment, [&](char* const* next) {
    return real().posix_spawnp(pid, file, actions, attributes, arguments, next);
  });
}

// A child that shared our memory would change our tables; so it gets a copy.
pid_t vfork() noexcept { return fork(); }
pid_t _Fork() noexcept { return fork(); }

}  // extern "C"
