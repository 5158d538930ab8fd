// SPDX-License-Identifier: Apache-2.0
// Clients, domains, memory, interfaces and sets. Nothing of a client is looked at without checking that it is the
// client's; what others may see of it in the card's memory is changed under the lock or the generation they look at.
#include "nic/vi/service/state.hpp"

#include <etherfabric/vi.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>

namespace xnic::nic::vi {
namespace {
// Addresses of registered memory agree with those of the program modulo this: what is aligned for one is for the other.
constexpr uint64_t kHugeBytes = 2u << 20;
}  // namespace

State::State(CardView card, int memory)
    : card_(card),
      memory_(memory),
      pages_(kFirstPage, kCardBytes),
      domain_owner_(kMaxDomains, kNone),
      set_owner_(kMaxSets, kNone),
      set_domain_(kMaxSets, kNone),
      rings_(kMaxInterfaces),
      filters_(kMaxPorts) {
  // Senders keep what they found for a generation of a domain: no two cards of a process begin with the same.
  const auto seed = static_cast<uint32_t>(std::chrono::steady_clock::now().time_since_epoch().count());
  for (uint32_t i = 0; i < kMaxDomains; ++i) card_.header().domains[i].generation.store(seed + i * 7919);
}

Client* State::find_client(uint32_t number) {
  const auto found = std::ranges::find(clients_, number, &Client::number);
  return found == clients_.end() ? nullptr : &*found;
}

Client* State::add_client(Fd socket, int pid) {
  uint32_t number = 0;
  while (find_client(number) != nullptr) ++number;
  Client& client = clients_.emplace_back();
  client.number = number;
  client.pid = pid;
  client.socket = std::move(socket);
  return &client;
}

Delivery State::delivery() {
  // The service's own number for locks is above every client's.
  return {card_, kNone - 1, [this](uint32_t interface) { ring(interface); }, [] { return true; }};
}

void State::drop_client(Client& client) {
  CardHeader& header = card_.header();
  for (uint32_t i = 0; i < kMaxInterfaces; ++i) recover(card_, i, client.number);
  for (Port& port : header.ports) {
    uint32_t held = client.number + 1;
    port.aperture.compare_exchange_strong(held, 0);
  }
  // Those that use another's event queue go first.
  for (const bool with_queue : {false, true})
    for (uint32_t i = 0; i < kMaxInterfaces; ++i)
      if (owns(client, i) && (header.interfaces[i].event_queue == i) == with_queue) free_interface(client, i);
  for (uint32_t i = 0; i < kMaxSets; ++i)
    if (set_owner_[i] == client.number) free_set(client, i);
  for (uint32_t i = 0; i < kMaxDomains; ++i)
    if (domain_owner_[i] == client.number) free_domain(client, i);
  while (!client.memory.empty()) give_memory(client, client.memory.back().begin);
  std::erase_if(clients_, [&](const Client& other) { return &other == &client; });
}

void State::ring(uint32_t interface) {
  Client* const owner = find_client(card_.header().interfaces[interface].client);
  const uint64_t one = 1;
  if (owner != nullptr && owner->bell.get() >= 0) (void)!write(owner->bell.get(), &one, sizeof one);
}

uint32_t State::find_port(const Request& request) const {
  for (uint32_t i = 0; i < kMaxPorts; ++i) {
    const Port& port = card_.header().ports[i];
    if (port.live == 0) continue;
    const bool named = request.name[0] != 0;
    if (named ? std::strncmp(port.name, request.name, sizeof port.name) == 0 : port.ifindex == request.a) return i;
  }
  return kNone;
}

int State::make_domain(const Client& client, const Request& request, Reply& reply) {
  if (request.a >= kMaxPorts || card_.header().ports[request.a].live == 0) return -ENODEV;
  const auto free = std::ranges::find(domain_owner_, kNone);
  if (free == domain_owner_.end()) return -ENOSPC;
  *free = client.number;
  reply.a = static_cast<uint32_t>(free - domain_owner_.begin());
  Domain& domain = card_.header().domains[reply.a];
  domain.port = request.a;
  domain.multicast_loop = request.b;
  domain.count.store(0);
  domain.generation.fetch_add(1);
  domain.live = 1;
  return 0;
}

int State::free_domain(const Client& client, uint32_t number) {
  if (number >= kMaxDomains || domain_owner_[number] != client.number) return -EINVAL;
  for (uint32_t i = 0; i < kMaxInterfaces; ++i) {
    const Interface& interface = card_.header().interfaces[i];
    if (interface.state.load() == kLive && interface.domain == number) return -EBUSY;
  }
  if (std::ranges::find(set_domain_, number) != set_domain_.end()) return -EBUSY;
  Domain& domain = card_.header().domains[number];
  domain.live = 0;
  domain.count.store(0);
  domain.generation.fetch_add(1);
  domain_owner_[number] = kNone;
  return 0;
}

// The pages read as zeros afterwards.
void State::release(uint64_t begin, uint64_t bytes) {
  bytes = (bytes + kPageBytes - 1) / kPageBytes * kPageBytes;
  fallocate(memory_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(begin), static_cast<off_t>(bytes));
  pages_.give(begin, bytes);
}

int State::take_memory(Client& client, const Request& request, Reply& reply) {
  if (request.size == 0) return -EINVAL;
  reply.offset = pages_.take(request.size, request.offset % kHugeBytes, kHugeBytes);
  if (reply.offset == 0) return -ENOMEM;
  client.memory.push_back({reply.offset, request.size});
  return 0;
}

int State::give_memory(Client& client, uint64_t begin) {
  const auto found = std::ranges::find(client.memory, begin, &Client::Memory::begin);
  if (found == client.memory.end()) return -EINVAL;
  const uint64_t end = begin + found->bytes;
  for (uint32_t i = 0; i < kMaxDomains; ++i) {
    Domain& domain = card_.header().domains[i];
    if (domain.live == 0) continue;
    const uint32_t count = domain.count.load();
    uint32_t kept = 0;
    for (uint32_t range = 0; range < count; ++range)
      if (domain.ranges[range].end <= begin || domain.ranges[range].begin >= end)
        domain.ranges[kept++] = domain.ranges[range];
    if (kept == count) continue;
    domain.count.store(kept);
    domain.generation.fetch_add(1);
  }
  release(begin, found->bytes);
  client.memory.erase(found);
  return 0;
}

int State::grant(const Client& client, const Request& request) {
  if (request.a >= kMaxDomains || domain_owner_[request.a] != client.number || request.size == 0) return -EINVAL;
  const Range range = {request.offset, request.offset + request.size};
  // Memory belongs to a connection of its own of the same process.
  const bool owned = std::ranges::any_of(clients_, [&](const Client& other) {
    return other.pid == client.pid && std::ranges::any_of(other.memory, [&](const Client::Memory& memory) {
             return range.begin >= memory.begin && range.end <= memory.begin + memory.bytes;
           });
  });
  if (!owned) return -EPERM;
  Domain& domain = card_.header().domains[request.a];
  const uint32_t count = domain.count.load();
  for (uint32_t i = 0; i < count; ++i) {
    Range& known = domain.ranges[i];
    if (range.begin >= known.begin && range.end <= known.end) return 0;
  }
  if (count == kMaxRanges) return -ENOSPC;
  domain.ranges[count] = range;
  domain.count.store(count + 1, std::memory_order_release);
  return 0;
}

bool State::owns(const Client& client, uint32_t number) const {
  if (number >= kMaxInterfaces) return false;
  const Interface& interface = card_.header().interfaces[number];
  return interface.state.load() == kLive && interface.client == client.number;
}

int State::make_interface(const Client& client, const MakeInterface& make, Reply& reply) {
  CardHeader& header = card_.header();
  if (make.domain >= kMaxDomains || domain_owner_[make.domain] == kNone) return -EINVAL;
  if (make.event_queue != kNone && !owns(client, make.event_queue)) return -EINVAL;
  if (make.label >= kMaxLabels || make.event_entries > 32768 || make.rx_entries > 4096) return -EINVAL;
  uint32_t index = kNone;
  if (make.set != kNone) {
    if (make.set >= kMaxSets || set_owner_[make.set] == kNone || set_domain_[make.set] != make.domain) return -EINVAL;
    const Set& set = header.sets[make.set];
    if (make.index != kNone && make.index >= set.size) return -EINVAL;
    for (uint32_t i = 0; i < set.size && index == kNone; ++i)
      if (set.members[i] == kNone && (make.index == kNone || make.index == i)) index = i;
    if (index == kNone) return -EBUSY;
  }
  uint32_t number = 0;
  while (number < kMaxInterfaces && header.interfaces[number].state.load() == kLive) ++number;
  if (number == kMaxInterfaces) return -ENOSPC;
  Rings rings;
  const uint64_t rx_bytes = uint64_t{make.rx_entries} * 8, event_bytes = uint64_t{make.event_entries} * 8;
  rings.bytes = rx_bytes + event_bytes;
  if (rings.bytes != 0 && (rings.begin = pages_.take(rings.bytes)) == 0) return -ENOMEM;
  rings_[number] = rings;

  const uint32_t port = header.domains[make.domain].port;
  uint32_t queue = 0;
  const auto taken = [&] {
    return std::any_of(header.interfaces, header.interfaces + kMaxInterfaces, [&](const Interface& other) {
      return other.state.load() == kLive && other.port == port && other.queue == queue;
    });
  };
  while (taken()) ++queue;

  Interface& interface = header.interfaces[number];
  interface.client = client.number;
  interface.port = port;
  interface.domain = make.domain;
  interface.queue = queue;
  interface.event_queue = make.event_queue != kNone ? make.event_queue : number;
  interface.label = make.label;
  interface.flags = make.flags;
  interface.rx_ring = rings.begin;
  interface.rx_entries = make.rx_entries;
  interface.prefix_bytes = make.prefix_bytes;
  interface.events = rings.begin + rx_bytes;
  interface.event_entries = make.event_entries;
  interface.discard_mask.store(make.discard_mask);
  for (std::atomic<uint32_t>* const word :
       {&interface.posted, &interface.armed, &interface.events_taken, &interface.consumed, &interface.crc_errors,
        &interface.truncated, &interface.no_buffer, &interface.aborted, &interface.events_put, &interface.overflow,
        &interface.stream_at})
    word->store(0);
  interface.posted_seen = interface.events_taken_seen = 0;
  interface.stream_buffer.store(0);
  interface.generation.fetch_add(1);
  interface.state.store(kLive, std::memory_order_release);
  if (index != kNone) {
    header.sets[make.set].members[index] = number;
    publish(port);
  }
  reply.a = number;
  return 0;
}

int State::free_interface(const Client& client, uint32_t number) {
  if (!owns(client, number)) return -EINVAL;
  CardHeader& header = card_.header();
  for (uint32_t i = 0; i < kMaxInterfaces; ++i)
    if (i != number && header.interfaces[i].state.load() == kLive && header.interfaces[i].event_queue == number)
      return -EBUSY;
  for (Set& set : header.sets)
    for (uint32_t& member : set.members)
      if (set.live != 0 && member == number) member = kNone;
  const uint32_t port = header.interfaces[number].port;
  drop_filters([&](const Filter& filter) { return filter.interface == number; });
  publish(port);
  delivery().retire(number);
  if (rings_[number].bytes != 0) release(rings_[number].begin, rings_[number].bytes);
  rings_[number] = {};
  return 0;
}

int State::make_set(const Client& client, const Request& request, Reply& reply) {
  if (request.a >= kMaxDomains || domain_owner_[request.a] == kNone) return -EINVAL;
  if (request.b == 0 || request.b > kMaxSetMembers) return -EINVAL;
  const auto free = std::ranges::find(set_owner_, kNone);
  if (free == set_owner_.end()) return -ENOSPC;
  *free = client.number;
  reply.a = static_cast<uint32_t>(free - set_owner_.begin());
  set_domain_[reply.a] = request.a;
  Set& set = card_.header().sets[reply.a];
  set.size = request.b;
  std::ranges::fill(set.members, kNone);
  set.live = 1;
  return 0;
}

int State::free_set(const Client& client, uint32_t number) {
  if (number >= kMaxSets || set_owner_[number] != client.number) return -EINVAL;
  drop_filters([&](const Filter& filter) { return filter.set == number; });
  card_.header().sets[number].live = 0;
  set_owner_[number] = set_domain_[number] = kNone;
  return 0;
}

Reply State::answer(Client& client, const Request& request, Fd fd_in, int& fd_out) {
  Reply reply;
  CardHeader& header = card_.header();
  switch (request.ask) {
    case Ask::kHello:
      if (request.a != kCardVersion) return reply.error = -ENODEV, reply;
      if (request.b != 0) header.fences.store(1);
      client.bell = std::move(fd_in);
      reply.a = client.number;
      fd_out = memory_;
      return reply;
    case Ask::kFindPort:
      reply.a = find_port(request);
      reply.error = reply.a == kNone ? -ENODEV : 0;
      return reply;
    case Ask::kMakeDomain:
      return reply.error = make_domain(client, request, reply), reply;
    case Ask::kFreeDomain:
      return reply.error = free_domain(client, request.a), reply;
    case Ask::kTakeMemory:
      return reply.error = take_memory(client, request, reply), reply;
    case Ask::kGiveMemory:
      return reply.error = give_memory(client, request.offset), reply;
    case Ask::kGrant:
      return reply.error = grant(client, request), reply;
    case Ask::kMakeInterface:
      return reply.error = make_interface(client, request.interface, reply), reply;
    case Ask::kFreeInterface:
      return reply.error = free_interface(client, request.a), reply;
    case Ask::kMakeSet:
      return reply.error = make_set(client, request, reply), reply;
    case Ask::kFreeSet:
      return reply.error = free_set(client, request.a), reply;
    case Ask::kAddFilter:
      return reply.error = add_filter(client, request.filter, reply), reply;
    case Ask::kDropFilter:
      return reply.error = drop_filter(client, request), reply;
    case Ask::kQueryFilter:
      return reply.error = query_filter(request, reply), reply;
    case Ask::kBell: {
      Client* const owner = request.a < kMaxInterfaces ? find_client(header.interfaces[request.a].client) : nullptr;
      fd_out = owner != nullptr ? owner->bell.get() : -1;
      return reply.error = fd_out < 0 ? -ENOENT : 0, reply;
    }
    case Ask::kKernelSide:
      fd_out = request.a < kMaxPorts ? kernel_sides[request.a] : -1;
      return reply.error = fd_out < 0 ? -ENOENT : 0, reply;
  }
  return reply.error = -EINVAL, reply;
}

}  // namespace xnic::nic::vi
