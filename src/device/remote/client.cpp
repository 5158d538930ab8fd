// SPDX-License-Identifier: Apache-2.0
// The client serves what the daemon asks for until the result comes. Only memory that the daemon names is read, and
// only through Process, so a wrong address is -EFAULT here as in the kernel.
#include "device/remote/client.hpp"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace xnic::device::remote {

namespace {
constexpr uint32_t kMaxAttrBytes = 4096;  // more is -E2BIG, whatever it holds

void close_all(int descriptors[2]) {
  for (int i = 0; i < 2; ++i)
    if (descriptors[i] >= 0) close(descriptors[i]);
}
}  // namespace

int Client::connect(const char* path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (strlen(path) >= sizeof address.sun_path) return -ENAMETOOLONG;
  strcpy(address.sun_path, path);
  const int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  if (fd < 0) return -errno;
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) return fd;
  const int error = -errno;
  close(fd);
  return error;
}

bool Client::send(int socket, Header header, const void* bytes, size_t size, int descriptor) {
  header.size = static_cast<uint32_t>(size);
  iovec parts[2] = {{&header, sizeof header}, {const_cast<void*>(bytes), size}};
  msghdr message{};
  message.msg_iov = parts;
  message.msg_iovlen = size > 0 ? 2 : 1;
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  if (descriptor >= 0) {
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    cmsghdr* part = CMSG_FIRSTHDR(&message);
    part->cmsg_level = SOL_SOCKET;
    part->cmsg_type = SCM_RIGHTS;
    part->cmsg_len = CMSG_LEN(sizeof descriptor);
    memcpy(CMSG_DATA(part), &descriptor, sizeof descriptor);
  }
  ssize_t sent;
  do sent = sendmsg(socket, &message, MSG_NOSIGNAL);
  while (sent < 0 && errno == EINTR);
  return sent == static_cast<ssize_t>(sizeof header + size);
}

bool Client::receive(int socket, int descriptors[2]) {
  descriptors[0] = descriptors[1] = -1;
  iovec parts[2] = {{&header_, sizeof header_}, {data_, sizeof data_}};
  msghdr message{};
  message.msg_iov = parts;
  message.msg_iovlen = 2;
  alignas(cmsghdr) char control[CMSG_SPACE(2 * sizeof(int))];
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  ssize_t got;
  do got = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  while (got < 0 && errno == EINTR);
  if (got < static_cast<ssize_t>(sizeof header_)) return false;
  for (cmsghdr* part = CMSG_FIRSTHDR(&message); part != nullptr; part = CMSG_NXTHDR(&message, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    memcpy(descriptors, CMSG_DATA(part), part->cmsg_len - CMSG_LEN(0));
  }
  if (header_.size == static_cast<size_t>(got) - sizeof header_ && (message.msg_flags & MSG_TRUNC) == 0) return true;
  close_all(descriptors);
  return false;
}

int Client::write_pieces(Process& process) const {
  for (size_t at = 0; at + sizeof(Piece) <= header_.size;) {
    Piece piece;
    memcpy(&piece, data_ + at, sizeof piece);
    at += sizeof piece;
    if (piece.bytes > header_.size - at) return -EFAULT;
    if (int error = process.write(piece.address, data_ + at, piece.bytes)) return error;
    at += padded(piece.bytes);
  }
  return 0;
}

// Answers one thing that the daemon asks for. False: the conversation is over.
bool Client::answer(int socket, Process& process) {
  Header reply;
  reply.kind = Kind::kAnswer;
  switch (header_.kind) {
    case Kind::kRead: {
      if (header_.value < 0 || header_.value > kMaxPiece) return false;
      const auto bytes = static_cast<size_t>(header_.value);
      reply.value = process.read(header_.address, data_, bytes);
      return send(socket, reply, data_, reply.value == 0 ? bytes : 0, -1);
    }
    case Kind::kWrite:
      reply.value = write_pieces(process);
      return send(socket, reply, nullptr, 0, -1);
    case Kind::kDescriptor: {
      const int fd = process.borrow(header_.descriptor);
      reply.value = fd < 0 ? fd : 0;
      const bool sent = send(socket, reply, nullptr, 0, fd);
      if (fd >= 0) process.release(fd);
      return sent;
    }
    default:
      return false;
  }
}

// The attributes, and what the command will read of memory, into data_. What cannot be read is left out: the daemon
// asks for it, and learns.
size_t Client::collect(Process& process, const Call& call) {
  size_t at = 0;
  const auto add = [&](uint64_t address, size_t bytes) {
    if (bytes == 0 || at + sizeof(Piece) + padded(bytes) > kMaxPiece) return;
    if (process.read(address, data_ + at + sizeof(Piece), bytes) != 0) return;
    const Piece piece{address, bytes};
    memcpy(data_ + at, &piece, sizeof piece);
    at += sizeof piece + padded(bytes);
  };
  if (call.attr_copy != nullptr) {
    const Piece piece{call.attr, call.copied};
    memcpy(data_, &piece, sizeof piece);
    memcpy(data_ + sizeof piece, call.attr_copy, call.copied);
    at = sizeof piece + padded(call.copied);
  } else {
    add(call.attr, call.size < kMaxAttrBytes ? call.size : kMaxAttrBytes);
  }
  for (uint32_t i = 0; i < call.piece_count; ++i) add(call.pieces[i].address, call.pieces[i].bytes);
  return at;
}

long Client::bpf(int socket, Process& process, const Call& call, Hints& hints, bool& broken) {
  broken = true;
  Header header;
  header.kind = Kind::kCall;
  header.value = call.command;
  header.address = call.attr;
  header.attr_bytes = call.size;
  header.descriptor = call.descriptor;
  header.token = call.token;
  const size_t size = collect(process, call);
  const int shown = call.descriptor >= 0 && call.token == 0 ? process.borrow(call.descriptor) : -1;
  sent_ = send(socket, header, data_, size, shown);
  if (shown >= 0) process.release(shown);
  int descriptors[2];
  while (sent_ && receive(socket, descriptors)) {
    if (header_.kind != Kind::kResult) {
      close_all(descriptors);
      if (!answer(socket, process)) return -ECONNRESET;
      continue;
    }
    broken = false;
    hints = {header_.token, header_.key_bytes, header_.value_bytes};
    int error = write_pieces(process);
    if (error == 0 && header_.gives != 0 && descriptors[0] < 0) error = -EMFILE;
    if (error != 0 || header_.gives == 0) close_all(descriptors);
    if (error != 0) return error;
    return header_.gives != 0 ? process.install(descriptors[0]) : static_cast<long>(header_.value);
  }
  return -ECONNRESET;
}

long Client::ask(int socket, Process& process, Question question, uint64_t address, const void* text, size_t size,
                 int shown, int descriptors[2], bool& broken) {
  broken = true;
  Header header;
  header.kind = Kind::kQuestion;
  header.value = static_cast<int64_t>(question);
  header.address = address;
  int got[2];
  sent_ = send(socket, header, text, size, shown);
  while (sent_ && receive(socket, got)) {
    if (descriptors == nullptr || header_.kind != Kind::kResult)
      close_all(got);
    else
      memcpy(descriptors, got, sizeof got);
    if (header_.kind == Kind::kResult) {
      broken = false;
      return static_cast<long>(header_.value);
    }
    if (!answer(socket, process)) return -ECONNRESET;
  }
  return -ECONNRESET;
}

}  // namespace xnic::device::remote
