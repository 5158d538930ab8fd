// SPDX-License-Identifier: Apache-2.0
// libc's own functions, behind the ones of the same names that this library puts in front of them.
#pragma once

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cstdarg>
#include <cstdio>

namespace xnic::transport::preload {

struct Real {
  decltype(&::socket) socket;
  decltype(&::bind) bind;
  decltype(&::listen) listen;
  decltype(&::accept4) accept4;
  decltype(&::connect) connect;
  decltype(&::shutdown) shutdown;
  decltype(&::getsockname) getsockname;
  decltype(&::getpeername) getpeername;
  decltype(&::getsockopt) getsockopt;
  decltype(&::setsockopt) setsockopt;
  decltype(&::read) read;
  decltype(&::write) write;
  decltype(&::readv) readv;
  decltype(&::writev) writev;
  decltype(&::preadv2) preadv2;
  decltype(&::pwritev2) pwritev2;
  decltype(&::recv) recv;
  decltype(&::recvfrom) recvfrom;
  decltype(&::recvmsg) recvmsg;
  decltype(&::recvmmsg) recvmmsg;
  decltype(&::send) send;
  decltype(&::sendto) sendto;
  decltype(&::sendmsg) sendmsg;
  decltype(&::sendmmsg) sendmmsg;
  decltype(&::sendfile64) sendfile64;
  decltype(&::splice) splice;
  decltype(&::tee) tee;
  decltype(&::poll) poll;
  decltype(&::ppoll) ppoll;
  decltype(&::select) select;
  decltype(&::pselect) pselect;
  decltype(&::epoll_create1) epoll_create1;
  decltype(&::epoll_ctl) epoll_ctl;
  decltype(&::epoll_wait) epoll_wait;
  decltype(&::epoll_pwait) epoll_pwait;
  decltype(&::epoll_pwait2) epoll_pwait2;
  decltype(&::close) close;
  decltype(&::close_range) close_range;
  decltype(&::dup) dup;
  decltype(&::dup2) dup2;
  decltype(&::dup3) dup3;
  int (*fcntl64)(int, int, ...);
  int (*ioctl)(int, unsigned long, ...);
  decltype(&::fork) fork;
  decltype(&::execve) execve;
  decltype(&::execvpe) execvpe;
  decltype(&::fexecve) fexecve;
  decltype(&::posix_spawn) posix_spawn;
  decltype(&::posix_spawnp) posix_spawnp;
  decltype(&::sigaction) sigaction;
  decltype(&::fdopen) fdopen;
  decltype(&::vdprintf) vdprintf;
  long (*syscall)(long, ...);
};

// Looked up on the first call, which may come from another library's constructor.
const Real& real();

}  // namespace xnic::transport::preload
