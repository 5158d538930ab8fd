// SPDX-License-Identifier: Apache-2.0
#include "transport/preload/real.hpp"

#include <dlfcn.h>

#include <atomic>

namespace xnic::transport::preload {
namespace {

// Constant-initialised: usable before any constructor has run.
constinit Real table{};
constinit std::atomic<bool> known = false;

template <class Function>
void find(Function& function, const char* name) {
  function = reinterpret_cast<Function>(dlsym(RTLD_NEXT, name));
}

void find_sockets() {
  find(table.socket, "socket");
  find(table.bind, "bind");
  find(table.listen, "listen");
  find(table.accept4, "accept4");
  find(table.connect, "connect");
  find(table.shutdown, "shutdown");
  find(table.getsockname, "getsockname");
  find(table.getpeername, "getpeername");
  find(table.getsockopt, "getsockopt");
  find(table.setsockopt, "setsockopt");
}

void find_data() {
  find(table.read, "read");
  find(table.write, "write");
  find(table.readv, "readv");
  find(table.writev, "writev");
  find(table.preadv2, "preadv2");
  find(table.pwritev2, "pwritev2");
  find(table.recv, "recv");
  find(table.recvfrom, "recvfrom");
  find(table.recvmsg, "recvmsg");
  find(table.recvmmsg, "recvmmsg");
  find(table.send, "send");
  find(table.sendto, "sendto");
  find(table.sendmsg, "sendmsg");
  find(table.sendmmsg, "sendmmsg");
  find(table.sendfile64, "sendfile64");
  find(table.splice, "splice");
  find(table.tee, "tee");
}

void find_waiting() {
  find(table.poll, "poll");
  find(table.ppoll, "ppoll");
  find(table.select, "select");
  find(table.pselect, "pselect");
  find(table.epoll_create1, "epoll_create1");
  find(table.epoll_ctl, "epoll_ctl");
  find(table.epoll_wait, "epoll_wait");
  find(table.epoll_pwait, "epoll_pwait");
  find(table.epoll_pwait2, "epoll_pwait2");
}

void find_rest() {
  find(table.close, "close");
  find(table.close_range, "close_range");
  find(table.dup, "dup");
  find(table.dup2, "dup2");
  find(table.dup3, "dup3");
  find(table.fcntl64, "fcntl64");
  find(table.ioctl, "ioctl");
  find(table.fork, "fork");
  find(table.execve, "execve");
  find(table.execvpe, "execvpe");
  find(table.fexecve, "fexecve");
  find(table.posix_spawn, "posix_spawn");
  find(table.posix_spawnp, "posix_spawnp");
  find(table.sigaction, "sigaction");
  find(table.fdopen, "fdopen");
  find(table.vdprintf, "vdprintf");
  find(table.syscall, "syscall");
}

}  // namespace

const Real& real() {
  // Two threads may look up at once; both write the same.
  if (!known.load(std::memory_order_acquire)) [[unlikely]] {
    find_sockets();
    find_data();
    find_waiting();
    find_rest();
    known.store(true, std::memory_order_release);
  }
  return table;
}

}  // namespace xnic::transport::preload
