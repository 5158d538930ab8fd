// SPDX-License-Identifier: Apache-2.0
// The memory of a card of virtual interfaces, as the service and every client see it: one memfd that all of them map
// whole, large and sparse. First the tables below, then pages that the service gives out: descriptor rings, event rings
// and the memory that applications register. A DMA address is an offset in this memory, so what one process posts any
// other can reach, and no table of translations is needed.
//
// Who writes what: the service writes the tables (ports, filters, domains, what describes a virtual interface). A
// virtual interface's owner writes its ring of receive descriptors and the words marked "owner". Whoever sends to it
// writes, under the lock of its event queue, the words marked "sender", the events, and the posted buffers.
//
// The lock. It holds the number of the client that has it, so that the service can take it away from one that died:
// recover() in delivery.cpp brings the queue back to what its events say. Nothing else is ever locked.
//
// Events are eight bytes that are written at once, with a bit that changes each time around the ring: an event is there
// when the bit is right. What it speaks of was written before it (release); whoever saw it (acquire) may read that.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace xnic::nic::vi {

inline constexpr uint64_t kCardMagic = 0x3172616369766678;
inline constexpr uint32_t kCardVersion = 1;
inline constexpr uint32_t kPageBytes = 4096;
// The whole of it. Pages cost memory when they are used.
inline constexpr uint64_t kCardBytes = uint64_t{1} << 36;

inline constexpr uint32_t kMaxPorts = 16;
inline constexpr uint32_t kMaxInterfaces = 256;
inline constexpr uint32_t kMaxDomains = 256;
inline constexpr uint32_t kMaxSets = 64;
inline constexpr uint32_t kMaxFilters = 512;  // of a port
inline constexpr uint32_t kMaxRanges = 126;   // of memory, of a domain
inline constexpr uint32_t kMaxSetMembers = 32;
inline constexpr uint32_t kMaxLabels = 32;  // queues that one event queue serves
inline constexpr uint32_t kKernelGroups = 32;
inline constexpr uint32_t kNone = 0xffffffff;

// A filter as the service has accepted it. Addresses and ports in network order.
enum class FilterKind : uint8_t {
  kNone,
  kIpFull,
  kIpLocal,
  kMac,       // with an EtherType or an IP protocol, or neither
  kProtocol,  // an EtherType or an IP protocol
  kUnicastAll,
  kMulticastAll,
  kUnicastMismatch,
  kMulticastMismatch,
  kSniff,
  kTransmitSniff,
  kBlockKernel,
  kBlockKernelUnicast,
  kBlockKernelMulticast,
};
inline constexpr uint16_t kAnyVlan = 0xffff;

struct Filter {
  FilterKind kind = FilterKind::kNone;
  uint8_t version = 0;      // of the addresses: 4 or 6
  uint8_t ip_protocol = 0;  // 0: any
  bool loopback = false;    // takes looped frames too
  bool promiscuous = false;
  bool exclusive = false;
  uint16_t ether_type = 0;  // 0: any
  uint16_t vlan = kAnyVlan;
  uint16_t local_port = 0, remote_port = 0;
  std::array<uint8_t, 6> mac{};
  std::array<uint8_t, 16> local{}, remote{};  // IPv4 in the first four bytes
  uint32_t id = 0;                            // unique on the port as long as it lives
  uint32_t interface = kNone;                 // whose it is; kNone: a set's
  uint32_t set = kNone;
  uint32_t queue = 0;  // receive queue of the port
};

struct Port {
  char name[32];
  uint32_t live;
  uint32_t ifindex;
  uint32_t mtu;          // as IP counts
  uint32_t peer;         // the port at the other end of the wire; kNone: none
  uint32_t kernel_side;  // 1: unclaimed frames go to the kernel
  uint8_t mac[6];
  uint8_t padding[2];
  // Of the CTPIO aperture: who is sending through it, and how many of the next sends run dry on the way.
  std::atomic<uint32_t> aperture;
  std::atomic<uint32_t> underruns;
  std::atomic<uint64_t> unclaimed;  // frames that nobody wanted
  // Filters: odd while the service writes.
  alignas(64) std::atomic<uint32_t> generation;
  uint32_t filter_count;
  uint32_t group_count;
  uint8_t groups[kKernelGroups][6];  // multicast addresses that the kernel listens to
  Filter filters[kMaxFilters];
};

struct Range {
  uint64_t begin, end;
};
struct Domain {
  std::atomic<uint32_t> generation;
  uint32_t live;
  uint32_t port;
  uint32_t multicast_loop;
  std::atomic<uint32_t> count;
  Range ranges[kMaxRanges];
};

struct Set {
  uint32_t live;
  uint32_t size;
  uint32_t members[kMaxSetMembers];  // interfaces; kNone: not made yet
};

enum InterfaceState : uint32_t { kFree = 0, kLive = 1 };

struct alignas(64) Interface {
  // Written by the service before the interface lives.
  std::atomic<uint32_t> state;
  std::atomic<uint32_t> generation;  // changes when it is made and when it is freed
  uint32_t client;
  uint32_t port, domain;
  uint32_t queue;        // number among the port's receive queues
  uint32_t event_queue;  // the interface that has its event queue
  uint32_t label;        // in that queue
  uint64_t flags;        // EF_VI_*
  uint64_t rx_ring;      // where the descriptors are: uint64_t addresses with a length
  uint32_t rx_entries;   // 0: does not receive
  uint32_t prefix_bytes;
  uint64_t events;  // where its event ring is
  uint32_t event_entries;

  // Owner.
  alignas(64) std::atomic<uint32_t> posted;
  std::atomic<uint32_t> discard_mask;
  std::atomic<uint32_t> armed;         // of its event queue: 1: wake me at the next event
  std::atomic<uint32_t> events_taken;  // of its event queue

  // Sender, under the lock of the event queue.
  alignas(64) std::atomic<uint32_t> consumed;  // descriptors
  uint32_t posted_seen;
  std::atomic<uint64_t> stream_buffer;  // packed stream: descriptor of the buffer in use; 0: none yet
  std::atomic<uint32_t> stream_at;      // where in it the next packet goes
  std::atomic<uint32_t> crc_errors, truncated, no_buffer, aborted;  // frames, as statistics report them

  // Its event queue. Sender.
  alignas(64) std::atomic<uint32_t> lock;
  std::atomic<uint32_t> events_put;
  uint32_t events_taken_seen;
  std::atomic<uint32_t> overflow;  // 1: an event had no room, and the owner does not know yet
  // What recover() needs: before anything is put, the interface that is delivered to, its consumed, and events_put,
  // which is written last and differs from events_put while the others are written.
  std::atomic<uint32_t> journal_interface, journal_consumed, journal_put;
};

struct CardHeader {
  uint64_t magic;
  uint32_t version;
  uint32_t header_bytes;
  std::atomic<uint32_t> alive;   // 0: the service has gone
  std::atomic<uint32_t> fences;  // 1: some client cannot be interrupted by membarrier(2): senders put fences
  Port ports[kMaxPorts];
  Domain domains[kMaxDomains];
  Set sets[kMaxSets];
  Interface interfaces[kMaxInterfaces];
};
inline constexpr uint64_t kFirstPage = (sizeof(CardHeader) + kPageBytes - 1) / kPageBytes * kPageBytes;

// A posted buffer: the address in the low 48 bits, above it how many bytes may be written.
inline constexpr uint64_t descriptor_of(uint64_t address, uint32_t bytes) { return address | uint64_t{bytes} << 48; }
inline constexpr uint64_t descriptor_address(uint64_t descriptor) { return descriptor & 0xffffffffffff; }
inline constexpr uint32_t descriptor_bytes(uint64_t descriptor) { return static_cast<uint32_t>(descriptor >> 48); }

enum class EventKind : uint8_t { kReceived, kDiscarded, kNoBuffer, kStream, kSoftware, kReset };

// One event, packed into a word.
struct Event {
  EventKind kind = EventKind::kReceived;
  uint8_t label = 0;
  uint8_t flags = 0;    // EF_EVENT_FLAG_*
  uint8_t subtype = 0;  // of a discard
  uint16_t bytes = 0;   // data of kSoftware
  uint16_t filter = 0xffff;
};
inline constexpr uint64_t pack(const Event& event, bool phase) {
  return uint64_t{phase} | uint64_t{static_cast<uint8_t>(event.kind)} << 1 | uint64_t{event.label} << 8 |
         uint64_t{event.flags} << 16 | uint64_t{event.subtype} << 24 | uint64_t{event.bytes} << 32 |
         uint64_t{event.filter} << 48;
}
inline constexpr Event unpack(uint64_t word) {
  return {static_cast<EventKind>(word >> 1 & 0x7f), static_cast<uint8_t>(word >> 8),
          static_cast<uint8_t>(word >> 16),         static_cast<uint8_t>(word >> 24),
          static_cast<uint16_t>(word >> 32),        static_cast<uint16_t>(word >> 48)};
}
// The phase of event number `index`: what the word of an empty ring (zero) does not have in the first round.
inline constexpr bool phase_of(uint32_t index, uint32_t entries) { return (index & entries) == 0; }

// What stands before a received frame, where an interface has a prefix. The places are those of the cards that programs
// were written for.
inline constexpr uint32_t kPrefixBytes = 14;
inline constexpr uint32_t kPrefixSecondsAt = 0;  // 32 bits
inline constexpr uint32_t kPrefixFilterAt = 4;   // 16 bits
inline constexpr uint32_t kPrefixLengthAt = 8;   // 16 bits
inline constexpr uint32_t kPrefixTicksAt = 10;   // 32 bits: quarter nanoseconds in the second; all ones: no time

// Packed streams: where the first head is in a buffer, how long heads are, and that the packet behind a head begins at
// a multiple of kStreamAlign.
inline constexpr uint32_t kStreamHeadBytes = 16;
inline constexpr uint32_t kStreamAlign = 64;
inline constexpr uint32_t kStreamStart = 256 - kStreamHeadBytes;

// A process's view of the card's memory.
class CardView {
 public:
  CardView() = default;
  explicit CardView(void* base) : base_(static_cast<uint8_t*>(base)) {}
  CardHeader& header() const { return *reinterpret_cast<CardHeader*>(base_); }
  uint8_t* at(uint64_t offset) const { return base_ + offset; }
  uint64_t* rx_ring(const Interface& interface) const { return reinterpret_cast<uint64_t*>(base_ + interface.rx_ring); }
  std::atomic<uint64_t>* events(const Interface& interface) const {
    return reinterpret_cast<std::atomic<uint64_t>*>(base_ + interface.events);
  }
  explicit operator bool() const { return base_ != nullptr; }

 private:
  uint8_t* base_ = nullptr;
};

}  // namespace xnic::nic::vi
