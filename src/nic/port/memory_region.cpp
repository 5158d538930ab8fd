// SPDX-License-Identifier: Apache-2.0
// All offsets follow from the header's four numbers, which each side checks and copies once; nothing that is read from
// the region later is used as an offset.
#include "nic/port/memory_region.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bit>
#include <cerrno>
#include <cstring>
#include <new>

namespace xnic::nic::port::memory {

using base::ErrorKind;
using base::make_error;

namespace {

constexpr uint64_t kPageBytes = 4096;
constexpr uint64_t kCountersBytes = 256;
constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

constexpr uint64_t up_to(uint64_t bytes, uint64_t unit) { return (bytes + unit - 1) / unit * unit; }

}  // namespace

void Channel::ring_bell() const {
  const char bell_byte = 0;
  // EAGAIN: bells enough are unheard; EPIPE: nobody is there, which quiet_bell() finds.
  (void)send(bell.get(), &bell_byte, 1, MSG_DONTWAIT | MSG_NOSIGNAL);
}

bool Channel::quiet_bell() const {
  char bells[256];
  // Once is enough: what is left makes the next sleep short.
  const ssize_t got = recv(bell.get(), bells, sizeof bells, MSG_DONTWAIT);
  return got > 0 || (got < 0 && (errno == EAGAIN || errno == EINTR));
}

uint64_t Region::channel_bytes() const {
  return up_to(
      kCountersBytes + up_to(header_.entries * sizeof(Descriptor), 64) + uint64_t{header_.entries} * stride_bytes(),
      kPageBytes);
}

uint64_t Region::bytes() const { return kPageBytes + 2 * header_.queues * channel_bytes(); }

uint8_t* Region::ring_at(uint32_t queue, Side consumer) const {
  return begin_ + kPageBytes + (2 * uint64_t{queue} + (consumer == Side::kCard ? 1 : 0)) * channel_bytes();
}

ring::Counters& Region::counters_to_card(uint32_t queue) const {
  return *reinterpret_cast<ring::Counters*>(ring_at(queue, Side::kCard));
}

Channel Region::channel(uint32_t queue, Side side, Fd bell) const {
  uint8_t* in = ring_at(queue, side);
  uint8_t* out = ring_at(queue, side == Side::kCard ? Side::kPeer : Side::kCard);
  const uint64_t buffers = kCountersBytes + up_to(header_.entries * sizeof(Descriptor), 64);
  return Channel{
      {reinterpret_cast<ring::Counters*>(out), reinterpret_cast<Descriptor*>(out + kCountersBytes), header_.entries},
      {reinterpret_cast<ring::Counters*>(in), reinterpret_cast<Descriptor*>(in + kCountersBytes), header_.entries},
      out + buffers,
      in + buffers,
      std::move(bell)};
}

base::Result<void> Region::map_fd(int fd) {
  // Populated now, so that no packet waits for a page.
  void* at = mmap(nullptr, bytes(), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
  if (at == MAP_FAILED)
    return make_error(ErrorKind::kIo, "memory port", "cannot map {} KiB: {}", bytes() >> 10, std::strerror(errno));
  begin_ = static_cast<uint8_t*>(at);
  return {};
}

base::Result<std::pair<Region, Fd>> Region::create(const Header& header) {
  Region region(header);
  Fd fd(memfd_create("xnic memory port", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (fd.get() < 0 || ftruncate(fd.get(), static_cast<off_t>(region.bytes())) != 0 ||
      fcntl(fd.get(), F_ADD_SEALS, kSeals) != 0)
    return make_error(ErrorKind::kIo, "memory port", "cannot make a region of {} KiB: {}", region.bytes() >> 10,
                      std::strerror(errno));
  XNIC_TRY(region.map_fd(fd.get()));
  std::memcpy(region.begin_, &header, sizeof header);
  return std::pair<Region, Fd>(std::move(region), std::move(fd));
}

base::Result<Region> Region::map(const Fd& memfd) {
  const int seals = fcntl(memfd.get(), F_GET_SEALS);
  struct stat status{};
  if (seals < 0 || (seals & F_SEAL_SHRINK) == 0 || fstat(memfd.get(), &status) != 0)
    return make_error(ErrorKind::kBadInput, "memory port", "what the card sent is not sealed memory");
  Header header;
  if (pread(memfd.get(), &header, sizeof header, 0) != sizeof header || header.magic != kMagic ||
      header.version != kVersion)
    return make_error(ErrorKind::kBadInput, "memory port", "what the card sent is not the memory of a port");
  const bool sane = header.queues >= 1 && header.queues <= kMaxQueues && std::has_single_bit(header.entries) &&
                    header.entries <= kMaxEntries && header.mtu <= kMaxMtu;
  Region region(header);
  if (!sane || region.bytes() != static_cast<uint64_t>(status.st_size))
    return make_error(ErrorKind::kBadInput, "memory port", "{} bytes are no {} queues with {} entries and an MTU of {}",
                      status.st_size, header.queues, header.entries, header.mtu);
  XNIC_TRY(region.map_fd(memfd.get()));
  return region;
}

Region::Region(Region&& other) noexcept : header_(other.header_), begin_(std::exchange(other.begin_, nullptr)) {}

Region::~Region() {
  if (begin_ != nullptr) munmap(begin_, bytes());
}

}  // namespace xnic::nic::port::memory
