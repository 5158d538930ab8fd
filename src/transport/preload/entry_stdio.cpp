// SPDX-License-Identifier: Apache-2.0
// Streams. libc's own streams read and write inside libc, past every symbol; so a stream over an offloaded socket is
// one whose functions are ours (fopencookie).
#include <stdio.h>

#include <cstdarg>
#include <cstdlib>

#include "transport/preload/entry.hpp"

using namespace xnic::transport::preload;

namespace {

int descriptor_of(void* cookie) { return static_cast<int>(reinterpret_cast<intptr_t>(cookie)); }
ssize_t stream_read(void* cookie, char* buffer, size_t size) { return ::read(descriptor_of(cookie), buffer, size); }
ssize_t stream_write(void* cookie, const char* buffer, size_t size) {
  const ssize_t n = ::write(descriptor_of(cookie), buffer, size);
  return n < 0 ? 0 : n;  // fopencookie(3): 0 is the error
}
int stream_close(void* cookie) { return ::close(descriptor_of(cookie)); }

int print_to(int fd, const char* format, va_list arguments) {
  char* text = nullptr;
  const int length = vasprintf(&text, format, arguments);
  if (length < 0) return length;
  int done = 0;
  while (done < length) {
    const ssize_t n = ::write(fd, text + done, static_cast<size_t>(length - done));
    if (n < 0) break;
    done += static_cast<int>(n);
  }
  std::free(text);
  return done == length ? length : -1;
}

}  // namespace

extern "C" {

FILE* fdopen(int fd, const char* mode) noexcept {
  if (offloaded(fd) == nullptr) return real().fdopen(fd, mode);
  FILE* const stream =
      fopencookie(reinterpret_cast<void*>(static_cast<intptr_t>(fd)), mode,
                  {.read = stream_read, .write = stream_write, .seek = nullptr, .close = stream_close});
  if (stream != nullptr) stream->_fileno = fd;  // for fileno(); such a stream does not use it itself
  return stream;
}

int vdprintf(int fd, const char* format, va_list arguments) {
  return offloaded(fd) != nullptr ? print_to(fd, format, arguments) : real().vdprintf(fd, format, arguments);
}
int dprintf(int fd, const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  const int result = vdprintf(fd, format, arguments);
  va_end(arguments);
  return result;
}
int __vdprintf_chk(int fd, int, const char* format, va_list arguments) { return vdprintf(fd, format, arguments); }
int __dprintf_chk(int fd, int, const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  const int result = vdprintf(fd, format, arguments);
  va_end(arguments);
  return result;
}

}  // extern "C"
