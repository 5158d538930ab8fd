// SPDX-License-Identifier: Apache-2.0
// Capabilities by libcap-ng, the filter by libseccomp. The filter is a list of what is allowed; what it is for stands
// beside each group. A refused call fails instead of ending the process: a library that tries something better first
// (clone3, close_range) then does without.
#include "xnicd/sandbox.hpp"

#include <cap-ng.h>
#include <fmt/ranges.h>
#include <linux/prctl.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "base/check.hpp"

namespace xnic::tools {

using base::ErrorKind;
using base::make_error;
using base::Result;

namespace {

constexpr int kKept[] = {CAP_NET_ADMIN, CAP_NET_RAW, CAP_BPF};

// True when af_xdp ports can have their packet memory pinned without CAP_IPC_LOCK.
bool may_lock_memory() {
  rlimit locked{};
  return getrlimit(RLIMIT_MEMLOCK, &locked) == 0 && locked.rlim_cur == RLIM_INFINITY;
}

constexpr const char* kAllowed[] = {
    // Memory, native code included.
    "mmap", "munmap", "mprotect", "mremap", "madvise", "brk", "memfd_create", "mlock", "msync",
    // Threads and their signals; clone below.
    "futex", "set_robust_list", "rseq", "sigaltstack", "rt_sigprocmask", "rt_sigaction", "rt_sigreturn", "exit",
    "exit_group", "gettid", "getpid", "sched_yield", "sched_setaffinity", "sched_getaffinity", "restart_syscall",
    "membarrier",
    // Time.
    "nanosleep", "clock_nanosleep", "clock_gettime", "clock_getres", "gettimeofday", "time",
    // Descriptors: packets, doorbells, control messages, logs.
    "read", "write", "readv", "writev", "pread64", "pwrite64", "close", "dup", "dup2", "dup3", "fcntl", "ioctl", "poll",
    "ppoll", "select", "pselect6", "epoll_create1", "epoll_ctl", "epoll_wait", "epoll_pwait", "eventfd2", "pipe2",
    "lseek", "ftruncate", "fallocate", "fsync", "fdatasync", "flock", "fstat",
    // Files: objects, captures, the cache of compiled code, sockets of ports.
    "open", "openat", "stat", "lstat", "newfstatat", "statx", "statfs", "fstatfs", "access", "faccessat", "faccessat2",
    "readlink", "readlinkat", "getcwd", "getdents64", "mkdir", "mkdirat", "unlink", "unlinkat", "rename", "renameat",
    "renameat2", "chmod", "fchmod", "fchmodat", "umask", "utimensat",
    // Sockets of the kinds below.
    "bind", "listen", "accept", "accept4", "connect", "getsockname", "getpeername", "getsockopt", "setsockopt",
    "sendto", "recvfrom", "sendmsg", "recvmsg", "sendmmsg", "recvmmsg", "shutdown", "socketpair",
    // XDP programs of af_xdp ports.
    "bpf",
    // Questions about this process and machine.
    "getuid", "geteuid", "getgid", "getegid", "getppid", "getrandom", "sysinfo", "uname", "getrusage", "getcpu"};

constexpr int kFamilies[] = {AF_UNIX, AF_INET, AF_INET6, AF_NETLINK, AF_XDP};

struct Filter {
  scmp_filter_ctx context = seccomp_init(SCMP_ACT_ERRNO(EPERM));
  ~Filter() {
    if (context != nullptr) seccomp_release(context);
  }
};

// The first rule that fails, or 0.
int add_rules(scmp_filter_ctx context) {
  for (const char* name : kAllowed) {
    const int call = seccomp_syscall_resolve_name(name);
    if (call == __NR_SCMP_ERROR || call < 0) continue;  // not on this architecture
    if (const int error = seccomp_rule_add(context, SCMP_ACT_ALLOW, call, 0)) return error;
  }
  for (const int family : kFamilies)
    if (const int error = seccomp_rule_add(context, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1,
                                           SCMP_A0(SCMP_CMP_EQ, static_cast<scmp_datum_t>(family))))
      return error;
  // Threads, not processes. The flags of clone3 lie in memory that a filter cannot see; without it libc takes clone.
  if (const int error = seccomp_rule_add(context, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
                                         SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD)))
    return error;
  if (const int error = seccomp_rule_add(context, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0)) return error;
  const auto self = static_cast<scmp_datum_t>(getpid());
  // abort(); and reading our own memory where a pointer may be wild (device/caller.hpp).
  if (const int error = seccomp_rule_add(context, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1, SCMP_A0(SCMP_CMP_EQ, self)))
    return error;
  for (const int call : {SCMP_SYS(process_vm_readv), SCMP_SYS(process_vm_writev)})
    if (const int error = seccomp_rule_add(context, SCMP_ACT_ALLOW, call, 1, SCMP_A0(SCMP_CMP_EQ, self))) return error;
  // Names of threads.
  if (const int error = seccomp_rule_add(context, SCMP_ACT_ALLOW, SCMP_SYS(prctl), 1,
                                         SCMP_A0(SCMP_CMP_EQ, static_cast<scmp_datum_t>(PR_SET_NAME))))
    return error;
  // Reading limits, not setting them: the third argument is null.
  return seccomp_rule_add(context, SCMP_ACT_ALLOW, SCMP_SYS(prlimit64), 1, SCMP_A2(SCMP_CMP_EQ, 0));
}

}  // namespace

void raise_limits() {
  const rlimit unlimited{RLIM_INFINITY, RLIM_INFINITY};
  setrlimit(RLIMIT_MEMLOCK, &unlimited);
  rlimit files{};
  if (getrlimit(RLIMIT_NOFILE, &files) != 0) return;
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
}

Result<std::string> drop_capabilities() {
  namespace fs = std::filesystem;
  CHECK(std::distance(fs::directory_iterator("/proc/self/task"), fs::directory_iterator()) == 1);
  if (capng_get_caps_process() != 0) return make_error(ErrorKind::kIo, "capabilities", "cannot be read");
  std::vector<std::string> kept;
  std::vector<int> keep;
  std::vector<int> wanted(std::begin(kKept), std::end(kKept));
  if (!may_lock_memory()) wanted.push_back(CAP_IPC_LOCK);
  for (const int capability : wanted) {
    if (capng_have_capability(CAPNG_PERMITTED, static_cast<unsigned>(capability)) == 0) continue;
    keep.push_back(capability);
    kept.push_back(fmt::format("CAP_{}", capng_capability_to_name(static_cast<unsigned>(capability))));
    for (char& letter : kept.back()) letter = static_cast<char>(std::toupper(letter));
  }
  const bool bounds = capng_have_capability(CAPNG_EFFECTIVE, CAP_SETPCAP) != 0;
  capng_clear(CAPNG_SELECT_BOTH);
  for (const int capability : keep)
    capng_update(CAPNG_ADD, static_cast<capng_type_t>(CAPNG_EFFECTIVE | CAPNG_PERMITTED),
                 static_cast<unsigned>(capability));
  // An ambient set (of a systemd unit) goes with the inheritable one.
  if (const int error = capng_apply(bounds ? CAPNG_SELECT_BOTH : CAPNG_SELECT_CAPS))
    return make_error(ErrorKind::kIo, "capabilities", "cannot be dropped: libcap-ng says {}", error);
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
    return make_error(ErrorKind::kIo, "no_new_privs", "cannot be set: {}", std::strerror(errno));
  return kept.empty() ? "none" : fmt::format("{}", fmt::join(kept, ", "));
}

Result<void> enter_seccomp() {
  Filter filter;
  if (filter.context == nullptr) return make_error(ErrorKind::kIo, "seccomp", "no memory for the filter");
  int error = seccomp_attr_set(filter.context, SCMP_FLTATR_CTL_TSYNC, 1);
  if (error == 0) error = add_rules(filter.context);
  if (error == 0) error = seccomp_load(filter.context);
  if (error != 0) return make_error(ErrorKind::kIo, "seccomp", "the filter does not load: {}", std::strerror(-error));
  return {};
}

}  // namespace xnic::tools
