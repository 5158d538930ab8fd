// SPDX-License-Identifier: Apache-2.0
// syscall(3): the numbers of socket calls go to the functions of the same names. io_uring would move sockets where the
// library does not see them, so it does not exist; programs then do without.
#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdarg>
#include <cstdint>

#include "transport/preload/entry.hpp"

using namespace xnic::transport::preload;

namespace {

template <class Type>
Type as(long value) {
  if constexpr (std::is_pointer_v<Type>)
    return reinterpret_cast<Type>(value);
  else
    return static_cast<Type>(value);
}

// Calls `function` with the arguments in its own types.
template <class Result, class... Types, size_t... kAt>
long call(Result (*function)(Types...), const long* a, std::index_sequence<kAt...>) {
  return static_cast<long>(function(as<Types>(a[kAt])...));
}
template <class Result, class... Types>
long call(Result (*function)(Types...), const long* a) {
  return call(function, a, std::index_sequence_for<Types...>());
}
template <class Result, class... Types>
long call(Result (*function)(Types...) noexcept, const long* a) {
  return call(static_cast<Result (*)(Types...)>(function), a, std::index_sequence_for<Types...>());
}

bool known(long number, const long* a, long& result) {
  switch (number) {
    case SYS_socket:
      return result = call(&::socket, a), true;
    case SYS_bind:
      return result = call(&::bind, a), true;
    case SYS_listen:
      return result = call(&::listen, a), true;
    case SYS_connect:
      return result = call(&::connect, a), true;
    case SYS_accept:
      return result = call(&::accept, a), true;
    case SYS_accept4:
      return result = call(&::accept4, a), true;
    case SYS_shutdown:
      return result = call(&::shutdown, a), true;
    case SYS_getsockname:
      return result = call(&::getsockname, a), true;
    case SYS_getpeername:
      return result = call(&::getpeername, a), true;
    case SYS_getsockopt:
      return result = call(&::getsockopt, a), true;
    case SYS_setsockopt:
      return result = call(&::setsockopt, a), true;
    case SYS_read:
      return result = call(&::read, a), true;
    case SYS_write:
      return result = call(&::write, a), true;
    case SYS_readv:
      return result = call(&::readv, a), true;
    case SYS_writev:
      return result = call(&::writev, a), true;
    case SYS_recvfrom:
      return result = call(&::recvfrom, a), true;
    case SYS_recvmsg:
      return result = call(&::recvmsg, a), true;
    case SYS_sendto:
      return result = call(&::sendto, a), true;
    case SYS_sendmsg:
      return result = call(&::sendmsg, a), true;
    case SYS_sendfile:
      return result = call(&::sendfile64, a), true;
    case SYS_poll:
      return result = call(&::poll, a), true;
    case SYS_epoll_create1:
      return result = call(&::epoll_create1, a), true;
    case SYS_epoll_ctl:
      return result = call(&::epoll_ctl, a), true;
    case SYS_epoll_wait:
      return result = call(&::epoll_wait, a), true;
    case SYS_close:
      return result = call(&::close, a), true;
    case SYS_dup:
      return result = call(&::dup, a), true;
    case SYS_dup2:
      return result = call(&::dup2, a), true;
    case SYS_dup3:
      return result = call(&::dup3, a), true;
    case SYS_fcntl:
      return result = ::fcntl64(static_cast<int>(a[0]), static_cast<int>(a[1]), a[2]), true;
    case SYS_ioctl:
      return result = ::ioctl(static_cast<int>(a[0]), static_cast<unsigned long>(a[1]), a[2]), true;
    case SYS_io_uring_setup:
      return errno = ENOSYS, result = -1, true;
    default:
      return false;
  }
}

}  // namespace

extern "C" long syscall(long number, ...) noexcept {
  long a[6];
  va_list rest;
  va_start(rest, number);
  for (long& each : a) each = va_arg(rest, long);
  va_end(rest);
  long result;
  if (concerns_us() && known(number, a, result)) return result;
  return real().syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
