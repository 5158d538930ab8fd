// SPDX-License-Identifier: Apache-2.0
// The connection, and what is known of the card's handles.
//
// Invariants: everything here is used under the lock, with all signals blocked, so that neither a handler nor a long
// jump comes between a question and its answer. After fork the child begins anew: the lock is free, the parent's
// connection is closed in it. The socket is told from other descriptors by its inode before each use.
//
// A handle is a memfd whose name begins with "xnic-". Names cost a readlink, so inodes that were looked at are kept in
// a small table, with what the daemon said of them: token, sizes of key and value.
#include "preload/card.hpp"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/bpf.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "preload/real.hpp"

namespace xnic::preload {

namespace remote = device::remote;

namespace {

constexpr int kHighDescriptor =
    900;  // where the connection is put, out of the way of programs that count on low numbers
constexpr size_t kTableSize = 256;

Real<ssize_t(const char*, char*, size_t)> real_readlink("readlink");
Real<int(int)> real_close("close");

// This process, as the daemon's questions see it.
class Self final : public remote::Process {
 public:
  int read(uint64_t address, void* to, size_t bytes) override {
    iovec ours{to, bytes}, theirs{reinterpret_cast<void*>(address), bytes};
    return process_vm_readv(getpid(), &ours, 1, &theirs, 1, 0) == static_cast<ssize_t>(bytes) ? 0 : -EFAULT;
  }
  int write(uint64_t address, const void* from, size_t bytes) override {
    iovec ours{const_cast<void*>(from), bytes}, theirs{reinterpret_cast<void*>(address), bytes};
    return process_vm_writev(getpid(), &ours, 1, &theirs, 1, 0) == static_cast<ssize_t>(bytes) ? 0 : -EFAULT;
  }
  int borrow(int fd) override { return fcntl(fd, F_GETFD) < 0 ? -EBADF : fd; }
  void release(int) override {}
  int install(int fd) override { return fd; }
};

struct Known {
  ino_t inode;
  dev_t device;
  ObjectKind kind;
  uint32_t connection;  // that the token is of
  remote::Hints hints;
};

pthread_mutex_t g_lock = PTHREAD_MUTEX_INITIALIZER;
int g_socket = -1;
ino_t g_socket_inode;
uint32_t g_connection;  // counts connections
Known g_known[kTableSize];
remote::Client g_client;
constinit Self g_self;

// The lock and the blocked signals, for a scope.
class Held {
 public:
  Held() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before_);
    pthread_mutex_lock(&g_lock);
  }
  ~Held() {
    pthread_mutex_unlock(&g_lock);
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }

 private:
  sigset_t before_;
};

bool is_ours(int fd) {
  struct stat status;
  return fstat(fd, &status) == 0 && S_ISSOCK(status.st_mode) && status.st_ino == g_socket_inode;
}

void drop_connection() {
  if (g_socket >= 0 && is_ours(g_socket)) real_close.get()(g_socket);
  g_socket = -1;
}

void after_fork_in_child() {
  pthread_mutex_init(&g_lock, nullptr);
  drop_connection();
}

__attribute__((constructor)) void begin() { pthread_atfork(nullptr, nullptr, after_fork_in_child); }

// The connection, or -errno. Pre: held.
int connection() {
  if (g_socket >= 0 && is_ours(g_socket)) return g_socket;
  const char* control = getenv("XNIC_SOCKET");
  if (control == nullptr || *control == 0) return -ECONNREFUSED;
  char path[PATH_MAX];
  snprintf(path, sizeof path, "%s%s", control, remote::kSocketSuffix);
  int fd = remote::Client::connect(path);
  if (fd < 0) return fd;
  if (const int high = fcntl(fd, F_DUPFD_CLOEXEC, kHighDescriptor); high >= 0) {
    real_close.get()(fd);
    fd = high;
  }
  struct stat status;
  fstat(fd, &status);
  g_socket_inode = status.st_ino;
  ++g_connection;
  return g_socket = fd;
}

ObjectKind kind_by_name(int fd) {
  char path[32], name[64];
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  const ssize_t length = real_readlink.get()(path, name, sizeof name - 1);
  if (length < 0) return ObjectKind::kNone;
  name[length] = 0;
  constexpr char kPrefix[] = "/memfd:xnic-";
  if (strncmp(name, kPrefix, sizeof kPrefix - 1) != 0) return ObjectKind::kNone;
  const char* kind = name + sizeof kPrefix - 1;
  if (strncmp(kind, "map", 3) == 0) return ObjectKind::kMap;
  if (strncmp(kind, "prog", 4) == 0) return ObjectKind::kProgram;
  if (strncmp(kind, "link", 4) == 0) return ObjectKind::kLink;
  if (strncmp(kind, "btf", 3) == 0) return ObjectKind::kBtf;
  if (strncmp(kind, "perf", 4) == 0) return ObjectKind::kPerf;
  return ObjectKind::kOther;
}

// The table's entry of a handle, null when the descriptor is none. Pre: held.
Known* find(int fd) {
  struct stat status;
  if (fd < 0 || fstat(fd, &status) != 0 || !S_ISREG(status.st_mode) || status.st_nlink != 0) return nullptr;
  Known& entry = g_known[status.st_ino % kTableSize];
  // Access belongs to the descriptor, not to the inode; a token of another access must not be used.
  if (entry.inode == status.st_ino && entry.device == status.st_dev) return &entry;
  const ObjectKind kind = kind_by_name(fd);
  if (kind == ObjectKind::kNone) return nullptr;
  entry = {status.st_ino, status.st_dev, kind, 0, {}};
  return &entry;
}

// Where the descriptor is that a command is about, as a byte offset in bpf_attr; -1: the command has none.
int descriptor_offset(int command) {
  switch (command) {
    case BPF_MAP_LOOKUP_ELEM:
    case BPF_MAP_UPDATE_ELEM:
    case BPF_MAP_DELETE_ELEM:
    case BPF_MAP_GET_NEXT_KEY:
    case BPF_MAP_LOOKUP_AND_DELETE_ELEM:
    case BPF_MAP_FREEZE:
      return offsetof(union bpf_attr, map_fd);
    case BPF_MAP_LOOKUP_BATCH:
    case BPF_MAP_LOOKUP_AND_DELETE_BATCH:
    case BPF_MAP_UPDATE_BATCH:
    case BPF_MAP_DELETE_BATCH:
      return offsetof(union bpf_attr, batch.map_fd);
    case BPF_OBJ_PIN:
      return offsetof(union bpf_attr, bpf_fd);
    case BPF_PROG_ATTACH:
    case BPF_PROG_DETACH:
      return offsetof(union bpf_attr, attach_bpf_fd);
    case BPF_PROG_TEST_RUN:
      return offsetof(union bpf_attr, test.prog_fd);
    case BPF_OBJ_GET_INFO_BY_FD:
      return offsetof(union bpf_attr, info.bpf_fd);
    case BPF_LINK_CREATE:
      return offsetof(union bpf_attr, link_create.prog_fd);
    case BPF_LINK_UPDATE:
      return offsetof(union bpf_attr, link_update.link_fd);
    case BPF_LINK_DETACH:
      return offsetof(union bpf_attr, link_detach.link_fd);
    case BPF_PROG_BIND_MAP:
      return offsetof(union bpf_attr, prog_bind_map.prog_fd);
    case BPF_ITER_CREATE:
      return offsetof(union bpf_attr, iter_create.link_fd);
    case BPF_RAW_TRACEPOINT_OPEN:
      return offsetof(union bpf_attr, raw_tracepoint.prog_fd);
    default:
      return -1;
  }
}

// What the command will read, as far as that is known: then one message is enough.
void add_pieces(remote::Call& call, const bpf_attr& attr, const remote::Hints& hints) {
  const auto add = [&](uint64_t address, uint64_t bytes) {
    if (address != 0 && bytes != 0) call.pieces[call.piece_count++] = {address, bytes};
  };
  switch (call.command) {
    case BPF_MAP_UPDATE_ELEM:
      add(attr.value, hints.value_bytes);
      [[fallthrough]];
    case BPF_MAP_LOOKUP_ELEM:
    case BPF_MAP_DELETE_ELEM:
    case BPF_MAP_GET_NEXT_KEY:
    case BPF_MAP_LOOKUP_AND_DELETE_ELEM:
      add(attr.key, hints.key_bytes);
      break;
    case BPF_OBJ_GET_INFO_BY_FD:
      add(attr.info.info, attr.info.info_len < 1024 ? attr.info.info_len : 0);
      break;
    default:
      break;
  }
}

}  // namespace

bool is_connection(int fd) { return fd >= 0 && fd == __atomic_load_n(&g_socket, __ATOMIC_RELAXED); }

ObjectKind kind_of(int fd) {
  Held held;
  const Known* known = find(fd);
  return known != nullptr ? known->kind : ObjectKind::kNone;
}

long card_bpf(int command, uint64_t address, uint32_t size) {
  if (command == BPF_TASK_FD_QUERY) return kNotOurs;  // of any process and any perf event
  bpf_attr attr;
  memset(&attr, 0, sizeof attr);
  remote::Call call;
  call.command = command;
  call.attr = address;
  call.size = size;
  call.copied = size < sizeof attr ? size : sizeof attr;
  Held held;
  if (call.copied > 0 && g_self.read(address, &attr, call.copied) == 0) call.attr_copy = &attr;
  Known* known = nullptr;
  if (const int offset = descriptor_offset(command); offset >= 0) {
    memcpy(&call.descriptor, reinterpret_cast<const char*>(&attr) + offset, sizeof call.descriptor);
    known = find(call.descriptor);
    if (known == nullptr) return kNotOurs;
    add_pieces(call, attr, known->hints);
  }
  for (int attempt = 0;; ++attempt) {
    const int socket = connection();
    if (socket < 0) return socket;
    const bool writable = call.descriptor < 0 || (fcntl(call.descriptor, F_GETFL) & O_ACCMODE) == O_RDWR;
    const bool shown = known != nullptr && known->connection == g_connection && writable;
    call.token = shown ? known->hints.token : 0;
    remote::Hints hints;
    bool broken;
    const long result = g_client.bpf(socket, g_self, call, hints, broken);
    if (known != nullptr && !broken) {
      known->hints.key_bytes = hints.key_bytes;
      known->hints.value_bytes = hints.value_bytes;
      if (writable) known->hints.token = hints.token, known->connection = g_connection;
    }
    if (!broken) return result;
    drop_connection();
    // The daemon closes connections that are idle; a command that may have been done is not repeated.
    if (attempt > 0 || g_client.sent()) return result;
  }
}

long card_ask(Question question, uint64_t address, const void* text, size_t size, int shown, Take take, void* context) {
  Held held;
  for (int attempt = 0;; ++attempt) {
    const int socket = connection();
    if (socket < 0) return socket;
    bool broken;
    Answer answer{nullptr, 0, {-1, -1}};
    const long value = g_client.ask(socket, g_self, question, address, text, size, shown,
                                    take != nullptr ? answer.descriptors : nullptr, broken);
    if (!broken) {
      answer.bytes = g_client.bytes();
      answer.size = g_client.size();
      if (take != nullptr) take(context, answer);
      return value;
    }
    drop_connection();
    if (attempt > 0 || g_client.sent()) return value;
  }
}

}  // namespace xnic::preload
