// SPDX-License-Identifier: Apache-2.0
// What the sandbox forbids is tried; and what the daemon needs, too.
#include "xnicd/sandbox.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/bpf.h>
#include <linux/if_packet.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <functional>
#include <thread>

#include "exec/kernel/bpf_call.hpp"

namespace xnic::tools {
namespace {

// In a child that has dropped its rights: true when `attempt` returns true.
bool in_sandbox(const std::function<bool()>& attempt) {
  const pid_t child = fork();
  if (child == 0) {
    if (!drop_capabilities() || !enter_seccomp()) _exit(2);
    _exit(attempt() ? 0 : 1);
  }
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) != 2) << "status " << status;
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

bool refused(long result) { return result == -1 && errno == EPERM; }
#define EXPECT_REFUSED(call) EXPECT_TRUE(in_sandbox([] { return refused(call); })) << #call
#define EXPECT_ALLOWED(call) EXPECT_TRUE(in_sandbox([] { return (call); })) << #call

TEST(Sandbox, NoOtherProgramOrProcess) {
  char path[] = "/bin/true";
  EXPECT_TRUE(in_sandbox([&] {
    char* arguments[] = {path, nullptr};
    return refused(execv(path, arguments));
  }));
  EXPECT_REFUSED(fork());
  EXPECT_REFUSED(vfork());
  EXPECT_REFUSED(kill(getppid(), 0));
  EXPECT_REFUSED(ptrace(PTRACE_ATTACH, getppid(), nullptr, nullptr));
  EXPECT_TRUE(in_sandbox([] {
    char byte = 0;
    const iovec here{&byte, 1}, there{&byte, 1};
    return refused(process_vm_readv(getppid(), &here, 1, &there, 1, 0));
  }));
  EXPECT_REFUSED(syscall(SYS_pidfd_open, getppid(), 0));
}

TEST(Sandbox, NoOtherUserNamespaceOrFileSystem) {
  EXPECT_REFUSED(setuid(0));
  EXPECT_REFUSED(setgid(0));
  EXPECT_REFUSED(unshare(CLONE_NEWUSER));
  EXPECT_REFUSED(setns(0, 0));
  EXPECT_REFUSED(mount("none", "/tmp", "tmpfs", 0, nullptr));
  EXPECT_REFUSED(chroot("/"));
  EXPECT_REFUSED(chown("/tmp", 0, 0));
  EXPECT_REFUSED(syscall(SYS_capset, nullptr, nullptr));
  EXPECT_REFUSED(syscall(SYS_init_module, nullptr, 0, nullptr));
  EXPECT_REFUSED(syscall(SYS_perf_event_open, nullptr, 0, 0, 0, 0));
  EXPECT_REFUSED(syscall(SYS_io_uring_setup, 1, nullptr));
  EXPECT_REFUSED(syscall(SYS_keyctl, 0, 0, 0, 0, 0));
  EXPECT_TRUE(in_sandbox([] {
    const rlimit limit{1, 1};
    return refused(setrlimit(RLIMIT_NOFILE, &limit));
  }));
}

TEST(Sandbox, NoPacketSocket) {
  EXPECT_REFUSED(socket(AF_PACKET, SOCK_RAW, 0));
  EXPECT_REFUSED(socket(AF_VSOCK, SOCK_STREAM, 0));
}

TEST(Sandbox, WhatTheDaemonNeedsWorks) {
  EXPECT_TRUE(in_sandbox([] {
    int value = 0;
    std::thread([&] { value = 1; }).join();
    return value == 1;
  }));
  EXPECT_ALLOWED(socket(AF_UNIX, SOCK_STREAM, 0) >= 0);
  EXPECT_ALLOWED(socket(AF_INET, SOCK_DGRAM, 0) >= 0);
  EXPECT_ALLOWED(memfd_create("x", 0) >= 0);
  EXPECT_ALLOWED(mmap(nullptr, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED);
  EXPECT_ALLOWED(open("/dev/null", O_RDONLY) >= 0);
  EXPECT_TRUE(in_sandbox([] {
    char from = 7, to = 0;
    const iovec here{&to, 1}, there{&from, 1};
    return process_vm_readv(getpid(), &here, 1, &there, 1, 0) == 1 && to == 7;
  }));
}

TEST(Sandbox, PortsCanStillBeAddedByRoot) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root";
  EXPECT_ALLOWED(socket(AF_XDP, SOCK_RAW, 0) >= 0);
  EXPECT_TRUE(in_sandbox([] {
    union bpf_attr attr{};
    attr.map_type = BPF_MAP_TYPE_XSKMAP;
    attr.key_size = attr.value_size = 4;
    attr.max_entries = 1;
    return exec::kernel::bpf_call(BPF_MAP_CREATE, attr) >= 0;
  }));
}

}  // namespace
}  // namespace xnic::tools
