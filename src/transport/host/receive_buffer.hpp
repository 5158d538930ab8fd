// SPDX-License-Identifier: Apache-2.0
// Bytes that have come for a socket and were not read yet: a list of chunks from a pool that all sockets share. An idle
// socket has none.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "base/bytes.hpp"

namespace xnic::transport::host {

struct Chunk {
  static constexpr uint32_t kBytes = 4096 - 16;
  Chunk* next = nullptr;
  uint32_t begin = 0, end = 0;  // of what is filled and not read
  uint8_t bytes[kBytes];
};

class ChunkPool {
 public:
  ChunkPool() = default;
  ChunkPool(const ChunkPool&) = delete;
  ~ChunkPool() {
    while (free_ != nullptr) delete pop();
  }
  Chunk* get() {
    Chunk* chunk = free_ != nullptr ? pop() : new Chunk;
    chunk->next = nullptr;
    chunk->begin = chunk->end = 0;
    return chunk;
  }
  void put(Chunk* chunk) {
    if (free_count_ >= kKept) {
      delete chunk;
      return;
    }
    chunk->next = free_;
    free_ = chunk;
    ++free_count_;
  }

 private:
  static constexpr uint32_t kKept = 1024;
  Chunk* pop() {
    Chunk* chunk = free_;
    free_ = chunk->next;
    if (free_count_ > 0) --free_count_;
    return chunk;
  }
  Chunk* free_ = nullptr;
  uint32_t free_count_ = 0;
};

class ReceiveBuffer {
 public:
  uint32_t size() const { return size_; }

  void append(base::Bytes bytes, ChunkPool& pool) {
    size_ += static_cast<uint32_t>(bytes.size());
    while (!bytes.empty()) {
      if (last_ == nullptr || last_->end == Chunk::kBytes) {
        Chunk* chunk = pool.get();
        (last_ == nullptr ? first_ : last_->next) = chunk;
        last_ = chunk;
      }
      const size_t count = std::min<size_t>(bytes.size(), Chunk::kBytes - last_->end);
      std::memcpy(last_->bytes + last_->end, bytes.data(), count);
      last_->end += static_cast<uint32_t>(count);
      bytes = bytes.subspan(count);
    }
  }
  // Copies `count` bytes from `offset` on; they stay. Pre: offset + count <= size().
  void peek(uint8_t* to, uint32_t offset, uint32_t count) const {
    for (const Chunk* chunk = first_; count > 0; chunk = chunk->next) {
      const uint32_t filled = chunk->end - chunk->begin;
      if (offset >= filled) {
        offset -= filled;
        continue;
      }
      const uint32_t part = std::min(count, filled - offset);
      std::memcpy(to, chunk->bytes + chunk->begin + offset, part);
      to += part;
      count -= part;
      offset = 0;
    }
  }
  // Pre: count <= size().
  void skip(uint32_t count, ChunkPool& pool) {
    size_ -= count;
    while (count > 0) {
      Chunk* chunk = first_;
      const uint32_t part = std::min(count, chunk->end - chunk->begin);
      chunk->begin += part;
      count -= part;
      if (chunk->begin != chunk->end) return;
      first_ = chunk->next;
      if (first_ == nullptr) last_ = nullptr;
      pool.put(chunk);
    }
  }
  void clear(ChunkPool& pool) { skip(size_, pool); }

 private:
  Chunk* first_ = nullptr;
  Chunk* last_ = nullptr;
  uint32_t size_ = 0;
};

}  // namespace xnic::transport::host
