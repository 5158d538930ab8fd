// SPDX-License-Identifier: Apache-2.0
// Registered memory. Pages of the program become pages of the card: the service gives a range of the card's memory, the
// contents are copied there, and the range is mapped where the pages were. What the kernel says of the address space
// (/proc/self/maps) is the only record of which memory is the card's already, so it cannot go out of date when the
// program unmaps and maps again.
//
// Ranges belong to a connection of their own that lasts as long as the process, because registered memory must stay
// readable after its handle was closed. Ranges that are mapped nowhere any more are given back at the next
// registration.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "nic/vi/client.hpp"

namespace xnic::nic::vi {
namespace {

struct Mapping {
  uintptr_t begin, end;
  char permissions[5];
  uint64_t offset;
  uint64_t inode;
  bool card;  // of a card's memory
};

constexpr const char* kMemoryName = "/memfd:xnic-card";

std::vector<Mapping> read_mappings() {
  std::vector<Mapping> mappings;
  FILE* const file = std::fopen("/proc/self/maps", "re");
  if (file == nullptr) return mappings;
  char* line = nullptr;
  size_t room = 0;
  while (getline(&line, &room, file) > 0) {
    Mapping mapping{};
    int name_at = 0;
    if (std::sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %4s %" SCNx64 " %*s %" SCNu64 " %n", &mapping.begin, &mapping.end,
                    mapping.permissions, &mapping.offset, &mapping.inode, &name_at) < 5)
      continue;
    mapping.card = name_at != 0 && std::strncmp(line + name_at, kMemoryName, std::strlen(kMemoryName)) == 0;
    mappings.push_back(mapping);
  }
  std::free(line);
  std::fclose(file);
  return mappings;
}

// The ranges that this process holds of one card.
class Ranges {
 public:
  int open(const std::string& path, uint64_t card_inode) {
    inode_ = card_inode;
    return connection_.open(path, -1);
  }
  uint64_t inode() const { return inode_; }
  bool lives() { return connection_.lives(); }
  uint8_t* card_base() const { return connection_.card().at(0); }

  // Gives back what no mapping but the view of the whole card shows.
  void sweep(const std::vector<Mapping>& mappings) {
    std::erase_if(held_, [&](const Held& held) {
      const bool used = std::ranges::any_of(mappings, [&](const Mapping& mapping) {
        return mapping.card && mapping.inode == inode_ && mapping.offset != 0 && mapping.offset < held.end &&
               mapping.offset + (mapping.end - mapping.begin) > held.begin;
      });
      if (used) return false;
      Request request;
      request.ask = Ask::kGiveMemory;
      request.offset = held.begin;
      Reply reply;
      return connection_.ask(request, reply) == 0;
    });
  }
  int take(uintptr_t address, size_t bytes, uint64_t& offset) {
    Request request;
    request.ask = Ask::kTakeMemory;
    request.size = bytes;
    request.offset = address;
    Reply reply;
    if (const int error = connection_.ask(request, reply); error != 0) return error;
    offset = reply.offset;
    held_.push_back({offset, offset + bytes});
    return 0;
  }

 private:
  struct Held {
    uint64_t begin, end;
  };
  Connection connection_;
  uint64_t inode_ = 0;
  std::vector<Held> held_;
};

// All cards that this process registered memory with, and the lock over it all. Never destroyed.
struct Process {
  std::mutex mutex;
  pid_t pid = 0;  // a child has connections of its own
  std::vector<std::unique_ptr<Ranges>> cards;
};
Process& process() {
  static Process* const all = new Process;
  return *all;
}

const Mapping* mapping_at(const std::vector<Mapping>& mappings, uintptr_t address) {
  const auto found = std::ranges::upper_bound(mappings, address, {}, &Mapping::end);
  return found != mappings.end() && found->begin <= address ? &*found : nullptr;
}

int ranges_of(Handle& handle, const std::vector<Mapping>& mappings, Ranges*& out) {
  const Mapping* const view = mapping_at(mappings, reinterpret_cast<uintptr_t>(handle.card().at(0)));
  if (view == nullptr || !view->card) return -ENODEV;
  auto& cards = process().cards;
  if (process().pid != getpid()) cards.clear();
  process().pid = getpid();
  std::erase_if(cards, [](const auto& card) { return !card->lives(); });
  for (const auto& card : cards)
    if (card->inode() == view->inode) return out = card.get(), 0;
  auto card = std::make_unique<Ranges>();
  if (const int error = card->open(handle.path(), view->inode); error != 0) return error;
  out = card.get();
  cards.push_back(std::move(card));
  return 0;
}

// Moves [begin, end), which lies in one mapping of private memory, into the card.
int move(Ranges& ranges, int card_fd, uintptr_t begin, uintptr_t end, uint64_t& offset) {
  const size_t bytes = end - begin;
  if (const int error = ranges.take(begin, bytes, offset); error != 0) return error;
  std::memcpy(ranges.card_base() + offset, reinterpret_cast<void*>(begin), bytes);
  void* const at = mmap(reinterpret_cast<void*>(begin), bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, card_fd,
                        static_cast<off_t>(offset));
  return at == MAP_FAILED ? -errno : 0;
}

int grant(Handle& handle, uint32_t domain, uint64_t offset, uint64_t bytes) {
  Request request;
  request.ask = Ask::kGrant;
  request.a = domain;
  request.offset = offset;
  request.size = bytes;
  Reply reply;
  return handle.connection().ask(request, reply);
}

// True when all of it is mapped, readable and writable, and either private or the card's.
int check(const std::vector<Mapping>& mappings, uintptr_t begin, uintptr_t end, uint64_t inode) {
  for (uintptr_t at = begin; at < end;) {
    const Mapping* const mapping = mapping_at(mappings, at);
    if (mapping == nullptr || mapping->permissions[0] != 'r' || mapping->permissions[1] != 'w') return -EFAULT;
    const bool ours = mapping->card && mapping->inode == inode;
    if (mapping->permissions[3] != 'p' && !ours) return -EOPNOTSUPP;
    at = mapping->end;
  }
  return 0;
}

}  // namespace

int register_memory(Handle& handle, uint32_t domain, uint8_t* begin, size_t bytes, std::vector<uint64_t>& addresses) {
  std::lock_guard lock(process().mutex);
  const std::vector<Mapping> mappings = read_mappings();
  const auto first = reinterpret_cast<uintptr_t>(begin);
  const uintptr_t last = first + bytes;
  Ranges* ranges = nullptr;
  if (const int error = ranges_of(handle, mappings, ranges); error != 0) return error;
  if (const int error = check(mappings, first, last, ranges->inode()); error != 0) return error;
  ranges->sweep(mappings);
  addresses.clear();
  for (uintptr_t at = first; at < last;) {
    const Mapping& mapping = *mapping_at(mappings, at);
    const uintptr_t end = std::min<uintptr_t>(last, mapping.end);
    uint64_t offset = mapping.offset + (at - mapping.begin);
    if (!mapping.card) {
      if (const int error = move(*ranges, handle.connection().memory_fd(), at, end, offset); error != 0) return error;
    }
    if (const int error = grant(handle, domain, offset, end - at); error != 0) return error;
    for (uintptr_t page = at; page < end; page += kPageBytes) addresses.push_back(offset + (page - at));
    at = end;
  }
  return 0;
}

}  // namespace xnic::nic::vi
