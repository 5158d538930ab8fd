// SPDX-License-Identifier: Apache-2.0
// A frame is at any time in exactly one place: a free list, a ring home, a packet, or a ring of a port. The rings home
// hold a whole worker's frames, so sending home always succeeds.
#include "nic/frame/frames.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <bit>
#include <cerrno>
#include <cstring>

namespace xnic::nic::frame {

base::Result<std::unique_ptr<Memory>> Memory::create(uint32_t workers, uint32_t frames_per_worker) {
  if (workers == 0 || !std::has_single_bit(frames_per_worker))
    return base::make_error(base::ErrorKind::kBadInput, "packet memory",
                            "{} workers with {} frames each: there must be a worker, and a power of two of frames",
                            workers, frames_per_worker);
  std::unique_ptr<Memory> memory(new Memory());
  const size_t bytes = size_t{workers} * frames_per_worker * kFrameBytes;
  void* region = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (region == MAP_FAILED)
    return base::make_error(base::ErrorKind::kIo, "packet memory", "cannot have {} MiB: {}", bytes >> 20,
                            std::strerror(errno));
  memory->begin_ = static_cast<uint8_t*>(region);
  memory->bytes_ = bytes;
  memory->frames_per_worker_ = frames_per_worker;
  for (uint32_t i = 0; i < workers * workers; ++i)
    memory->ways_home_.push_back(std::make_unique<ring::Local<uint8_t*>>(frames_per_worker));
  for (uint32_t worker = 0; worker < workers; ++worker) {
    std::unique_ptr<Pool> pool(new Pool(*memory, worker));
    uint8_t* first = memory->begin_ + size_t{worker} * frames_per_worker * kFrameBytes;
    pool->free_.reserve(frames_per_worker);
    // Handed out in the order of addresses.
    for (uint32_t i = frames_per_worker; i-- > 0;) pool->free_.push_back(first + size_t{i} * kFrameBytes);
    memory->pools_.push_back(std::move(pool));
  }
  return memory;
}

Memory::~Memory() {
  if (begin_ != nullptr) munmap(begin_, bytes_);
}

void Pool::collect() {
  for (uint32_t from = 0; from < memory_.workers(); ++from) {
    if (from == worker_) continue;
    auto& ring = memory_.ways_home_[from * memory_.workers() + worker_]->consumer;
    const uint32_t count = ring.available(1);
    for (uint32_t i = 0; i < count; ++i) free_.push_back(ring.peek(i));
    ring.release(count);
  }
}

void Pool::send_home(uint8_t* frame, uint32_t home) {
  auto& ring = memory_.ways_home_[worker_ * memory_.workers() + home]->producer;
  CHECK(ring.room(1) != 0);
  ring.put(frame);
  ring.publish();
}

}  // namespace xnic::nic::frame
