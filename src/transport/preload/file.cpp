// SPDX-License-Identifier: Apache-2.0
#include "transport/preload/file.hpp"

#include <sys/mman.h>

#include "base/check.hpp"

namespace xnic::transport::preload {

FileTable::FileTable() {
  void* const memory = mmap(nullptr, kSlots * sizeof(std::atomic<File*>), PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  CHECK(memory != MAP_FAILED);
  slots_ = static_cast<std::atomic<File*>*>(memory);
  internal_.kind = Kind::kInternal;
}

void FileTable::put(int fd, File* file) {
  if (static_cast<unsigned>(fd) >= kSlots) return;
  ++file->descriptors;
  slots_[fd].store(file, std::memory_order_release);
  int highest = highest_.load();
  while (fd > highest && !highest_.compare_exchange_weak(highest, fd)) {
  }
}

File* FileTable::make(int fd, Kind kind) {
  File* file = nullptr;
  {
    const std::lock_guard guard(mutex_);
    if (!unused_.empty()) {
      file = unused_.back();
      unused_.pop_back();
    }
  }
  if (file == nullptr) file = new File;
  file->id = host::kNoSocket;
  file->nonblocking = file->bound = false;
  file->low_water = 1;
  file->descriptors = 0;
  file->options.clear();
  file->set = nullptr;
  file->kind = kind;
  put(fd, file);
  return file;
}

File* FileTable::take(int fd) {
  if (static_cast<unsigned>(fd) >= kSlots) return nullptr;
  File* const file = slots_[fd].exchange(nullptr);
  if (file == nullptr || file == &internal_) return nullptr;
  return --file->descriptors == 0 ? file : nullptr;
}

void FileTable::give_back(File* file) {
  file->kind = Kind::kUnused;
  const std::lock_guard guard(mutex_);
  unused_.push_back(file);
}

void FileTable::mark_internal(int fd) {
  if (static_cast<unsigned>(fd) >= kSlots) return;
  slots_[fd].store(&internal_, std::memory_order_release);
  int highest = highest_.load();
  while (fd > highest && !highest_.compare_exchange_weak(highest, fd)) {
  }
}

}  // namespace xnic::transport::preload
