// SPDX-License-Identifier: Apache-2.0
// Files by which tools look at bpf objects: the names of descriptors, /proc/PID/fdinfo, and the card's pins, which
// appear below /sys/fs/bpf as in a bpffs. Folders there are no more than parts of names: any can be made, and one
// exists as long as it holds pins.
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "preload/card.hpp"
#include "preload/real.hpp"

namespace xnic::preload {
namespace {

constexpr char kBpffs[] = "/sys/fs/bpf";
constexpr char kFdinfo[] = "/proc/self/fdinfo/";

Real<ssize_t(const char*, char*, size_t)> real_readlink("readlink");
Real<ssize_t(int, const char*, char*, size_t)> real_readlinkat("readlinkat");
Real<FILE*(const char*, const char*)> real_fopen("fopen");
Real<int(const char*, int, ...)> real_open("open");
Real<int(int, const char*, int, ...)> real_openat("openat");
Real<int(const char*, struct statfs*)> real_statfs("statfs");
Real<int(const char*, struct stat*)> real_stat("stat");
Real<int(const char*, struct stat*)> real_lstat("lstat");
Real<int(int, const char*, struct stat*, int)> real_fstatat("fstatat");
Real<int(int, const char*, int, unsigned, struct statx*)> real_statx("statx");
Real<int(const char*, int)> real_access("access");
Real<int(int, const char*, int, int)> real_faccessat("faccessat");
Real<int(const char*, mode_t)> real_mkdir("mkdir");
Real<int(const char*)> real_rmdir("rmdir");
Real<int(const char*)> real_unlink("unlink");
Real<int(int, const char*, int)> real_unlinkat("unlinkat");
Real<int(const char*, __ftw_func_t, int)> real_ftw("ftw");
Real<int(const char*, __nftw_func_t, int, int)> real_nftw("nftw");

bool in_bpffs(const char* path) {
  constexpr size_t kLength = sizeof kBpffs - 1;
  return path != nullptr && strncmp(path, kBpffs, kLength) == 0 && (path[kLength] == 0 || path[kLength] == '/');
}

// The path without slashes at its end.
struct Path {
  char text[PATH_MAX];
  size_t size;
  explicit Path(const char* path) {
    size = strnlen(path, sizeof text - 1);
    memcpy(text, path, size);
    while (size > 1 && text[size - 1] == '/') --size;
    text[size] = 0;
  }
};

enum class Place { kNothing, kPin, kFolder };

// What the card has at `path`. Pre: in_bpffs(path).
Place look_up(const char* given) {
  const Path path(given);
  struct Found {
    const Path& path;
    bool exact = false;
  } found{path};
  const long count = card_ask(
      Question::kPins, 0, path.text, path.size, -1,
      [](void* context, const Answer& answer) {
        auto& one = *static_cast<Found*>(context);
        one.exact = answer.size == one.path.size + 1 && memcmp(answer.bytes, one.path.text, one.path.size) == 0;
      },
      &found);
  if (found.exact) return Place::kPin;
  return count > 0 ? Place::kFolder : Place::kNothing;
}

// Fills in what a bpffs would say. False: there is nothing of the card's, so the kernel is asked.
bool describe(const char* path, struct stat* status) {
  if (!in_bpffs(path)) return false;
  const Place place = look_up(path);
  if (place == Place::kNothing) return false;
  memset(status, 0, sizeof *status);
  status->st_mode = place == Place::kPin ? S_IFREG | 0600 : S_IFDIR | 0700;
  status->st_nlink = place == Place::kPin ? 1 : 2;
  status->st_uid = geteuid();
  status->st_gid = getegid();
  status->st_blksize = 4096;
  return true;
}

int make_folder(const char* path) {
  if (look_up(path) == Place::kNothing) return 0;
  errno = EEXIST;
  return -1;
}

int remove_folder(const char* path) {
  const Place place = look_up(path);
  if (place == Place::kNothing) return 0;
  errno = place == Place::kPin ? ENOTDIR : ENOTEMPTY;
  return -1;
}

// 0, -1 with errno, or 1: no pin of the card's.
int remove_pin(const char* path) {
  const Path name(path);
  const long result = card_ask(Question::kUnpin, 0, name.text, name.size, -1, nullptr, nullptr);
  if (result == 0) return 0;
  if (result == -ENOENT) return 1;
  errno = static_cast<int>(-result);
  return -1;
}

// "anon_inode:bpf-map" and its like, by which bpftool knows descriptors, for the handles of the card.
ssize_t rename_handle(char* name, size_t room, ssize_t length) {
  constexpr char kMemfd[] = "/memfd:xnic-";
  constexpr size_t kPrefix = sizeof kMemfd - 1;
  if (length < static_cast<ssize_t>(kPrefix + 3) || strncmp(name, kMemfd, kPrefix) != 0) return length;
  const char* kinds[][2] = {{"map", "anon_inode:bpf-map"},
                            {"prog", "anon_inode:bpf-prog"},
                            {"link", "anon_inode:bpf_link"},
                            {"btf", "anon_inode:btf"},
                            {"perf", "anon_inode:[perf_event]"}};
  for (const auto& [ours, kernels] : kinds) {
    if (strncmp(name + kPrefix, ours, strlen(ours)) != 0) continue;
    const size_t size = strlen(kernels) < room ? strlen(kernels) : room;
    memcpy(name, kernels, size);
    return static_cast<ssize_t>(size);
  }
  return length;
}

// A file with what the kernel says of the descriptor and then what the card says; -1: not a handle.
int open_fdinfo(const char* path) {
  if (path == nullptr || strncmp(path, kFdinfo, sizeof kFdinfo - 1) != 0) return -1;
  char* end;
  const long fd = strtol(path + sizeof kFdinfo - 1, &end, 10);
  if (*end != 0 || end == path + sizeof kFdinfo - 1 || kind_of(static_cast<int>(fd)) == ObjectKind::kNone) return -1;
  const int file = memfd_create("fdinfo", MFD_CLOEXEC);
  if (file < 0) return -1;
  char text[1024];
  if (const int real = real_open.get()(path, O_RDONLY | O_CLOEXEC); real >= 0) {
    const ssize_t got = read(real, text, sizeof text);
    if (got > 0 && write(file, text, static_cast<size_t>(got)) != got) errno = EIO;
    close(real);
  }
  card_ask(
      Question::kFdinfo, 0, nullptr, 0, static_cast<int>(fd),
      [](void* context, const Answer& answer) {
        if (write(*static_cast<const int*>(context), answer.bytes, answer.size) < 0) errno = EIO;
      },
      const_cast<int*>(&file));
  lseek(file, 0, SEEK_SET);
  return file;
}

// The pins of the card below a folder, copied: callbacks may ask the daemon.
struct PinList {
  size_t size = 0;
  char text[device::remote::kMaxMessage];
};

int walk(const char* folder, __ftw_func_t simple, __nftw_func_t full) {
  auto* pins = static_cast<PinList*>(malloc(sizeof(PinList)));
  if (pins == nullptr) return -1;
  pins->size = 0;
  const Path path(folder);
  card_ask(
      Question::kPins, 0, path.text, path.size, -1,
      [](void* context, const Answer& answer) {
        auto& list = *static_cast<PinList*>(context);
        memcpy(list.text, answer.bytes, answer.size);
        list.size = answer.size;
      },
      pins);
  int result = 0;
  for (size_t at = 0; at < pins->size && result == 0; at += strlen(pins->text + at) + 1) {
    char* pin = pins->text + at;
    struct stat status;
    if (!describe(pin, &status)) continue;
    FTW where{static_cast<int>(strrchr(pin, '/') + 1 - pin), 1};
    result = full != nullptr ? full(pin, &status, FTW_F, &where) : simple(pin, &status, FTW_F);
  }
  free(pins);
  return result;
}

}  // namespace
}  // namespace xnic::preload

namespace preload = xnic::preload;

XNIC_EXPORT ssize_t readlink(const char* path, char* name, size_t room) noexcept {
  return preload::rename_handle(name, room, preload::real_readlink.get()(path, name, room));
}

XNIC_EXPORT ssize_t readlinkat(int folder, const char* path, char* name, size_t room) noexcept {
  return preload::rename_handle(name, room, preload::real_readlinkat.get()(folder, path, name, room));
}

XNIC_EXPORT FILE* fopen(const char* path, const char* mode) {
  const int file = preload::open_fdinfo(path);
  return file >= 0 ? fdopen(file, "r") : preload::real_fopen.get()(path, mode);
}
XNIC_EXPORT FILE* fopen64(const char* path, const char* mode) { return fopen(path, mode); }

XNIC_EXPORT int open(const char* path, int flags, ...) {
  va_list list;
  va_start(list, flags);
  const mode_t mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(list, mode_t) : 0;
  va_end(list);
  const int file = preload::open_fdinfo(path);
  return file >= 0 ? file : preload::real_open.get()(path, flags, mode);
}

XNIC_EXPORT int openat(int folder, const char* path, int flags, ...) {
  va_list list;
  va_start(list, flags);
  const mode_t mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(list, mode_t) : 0;
  va_end(list);
  const int file = preload::open_fdinfo(path);
  return file >= 0 ? file : preload::real_openat.get()(folder, path, flags, mode);
}

// Where no bpffs is mounted, or it may not be looked at, the card's is there all the same.
XNIC_EXPORT int statfs(const char* path, struct statfs* status) noexcept {
  const int result = preload::real_statfs.get()(path, status);
  if (!preload::in_bpffs(path) || (result == 0 && status->f_type == BPF_FS_MAGIC)) return result;
  memset(status, 0, sizeof *status);
  status->f_type = BPF_FS_MAGIC;
  status->f_bsize = 4096;
  return 0;
}

XNIC_EXPORT int stat(const char* path, struct stat* status) noexcept {
  return preload::describe(path, status) ? 0 : preload::real_stat.get()(path, status);
}

XNIC_EXPORT int lstat(const char* path, struct stat* status) noexcept {
  return preload::describe(path, status) ? 0 : preload::real_lstat.get()(path, status);
}

XNIC_EXPORT int fstatat(int folder, const char* path, struct stat* status, int flags) noexcept {
  return preload::describe(path, status) ? 0 : preload::real_fstatat.get()(folder, path, status, flags);
}

XNIC_EXPORT int statx(int folder, const char* path, int flags, unsigned mask, struct statx* status) noexcept {
  struct stat simple;
  if (!preload::describe(path, &simple)) return preload::real_statx.get()(folder, path, flags, mask, status);
  memset(status, 0, sizeof *status);
  status->stx_mask = STATX_BASIC_STATS;
  status->stx_mode = static_cast<uint16_t>(simple.st_mode);
  status->stx_nlink = static_cast<uint32_t>(simple.st_nlink);
  status->stx_uid = simple.st_uid;
  status->stx_gid = simple.st_gid;
  status->stx_blksize = 4096;
  return 0;
}

XNIC_EXPORT int access(const char* path, int mode) noexcept {
  struct stat status;
  return preload::describe(path, &status) ? 0 : preload::real_access.get()(path, mode);
}

XNIC_EXPORT int mkdir(const char* path, mode_t mode) noexcept {
  return preload::in_bpffs(path) ? preload::make_folder(path) : preload::real_mkdir.get()(path, mode);
}

XNIC_EXPORT int rmdir(const char* path) noexcept {
  return preload::in_bpffs(path) ? preload::remove_folder(path) : preload::real_rmdir.get()(path);
}

XNIC_EXPORT int unlink(const char* path) noexcept {
  const int result = preload::in_bpffs(path) ? preload::remove_pin(path) : 1;
  return result <= 0 ? result : preload::real_unlink.get()(path);
}

XNIC_EXPORT int unlinkat(int folder, const char* path, int flags) noexcept {
  if (preload::in_bpffs(path) && (flags & AT_REMOVEDIR) != 0) return preload::remove_folder(path);
  const int result = preload::in_bpffs(path) ? preload::remove_pin(path) : 1;
  return result <= 0 ? result : preload::real_unlinkat.get()(folder, path, flags);
}

XNIC_EXPORT int ftw(const char* folder, __ftw_func_t take, int descriptors) {
  if (preload::in_bpffs(folder)) return preload::walk(folder, take, nullptr);
  return preload::real_ftw.get()(folder, take, descriptors);
}

XNIC_EXPORT int nftw(const char* folder, __nftw_func_t take, int descriptors, int flags) {
  if (preload::in_bpffs(folder)) return preload::walk(folder, nullptr, take);
  return preload::real_nftw.get()(folder, take, descriptors, flags);
}

XNIC_EXPORT int faccessat(int folder, const char* path, int mode, int flags) noexcept {
  struct stat status;
  return preload::describe(path, &status) ? 0 : preload::real_faccessat.get()(folder, path, mode, flags);
}

// On 64-bit machines the structures of both names are the same.
XNIC_EXPORT int open64(const char* path, int flags, ...) {
  va_list list;
  va_start(list, flags);
  const mode_t mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(list, mode_t) : 0;
  va_end(list);
  return open(path, flags, mode);
}
XNIC_EXPORT int openat64(int folder, const char* path, int flags, ...) {
  va_list list;
  va_start(list, flags);
  const mode_t mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(list, mode_t) : 0;
  va_end(list);
  return openat(folder, path, flags, mode);
}
XNIC_EXPORT int stat64(const char* path, struct stat64* status) noexcept {
  return stat(path, reinterpret_cast<struct stat*>(status));
}
XNIC_EXPORT int lstat64(const char* path, struct stat64* status) noexcept {
  return lstat(path, reinterpret_cast<struct stat*>(status));
}
XNIC_EXPORT int fstatat64(int folder, const char* path, struct stat64* status, int flags) noexcept {
  return fstatat(folder, path, reinterpret_cast<struct stat*>(status), flags);
}
XNIC_EXPORT int statfs64(const char* path, struct statfs64* status) noexcept {
  return statfs(path, reinterpret_cast<struct statfs*>(status));
}
