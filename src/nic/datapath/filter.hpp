// SPDX-License-Identifier: Apache-2.0
// Filters: which received packets leave the usual way (the port's program), and for where.
//
// A filter names the fields that it looks at and their values. Filters are tried from exact to wildcard; what is more
// exact is said by the order of the bits of Field, so that a full 5-tuple comes before a local 3-tuple, that before a
// MAC address, that before a VLAN. A filter that
//   sniffs gets a copy of every packet it matches, whatever other filters do;
//   copies gets a copy, unless a more exact filter steals the packet;
//   steals takes the packet: no program, and no filter less exact, sees it.
// A filter with ports matches no fragments.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/result.hpp"
#include "nic/datapath/headers.hpp"
#include "nic/port/port.hpp"

namespace xnic::nic::datapath {

// From the least to the most exact: a set of fields, read as a number, is its precedence.
enum Field : uint16_t {
  kMatchVlan = 1 << 0,
  kMatchMulticast = 1 << 1,   // whether the destination is a group address
  kMatchOwnAddress = 1 << 2,  // whether the destination is the port's own address
  kMatchEtherType = 1 << 3,
  kMatchProtocol = 1 << 4,
  kMatchSourceMac = 1 << 5,
  kMatchDestinationMac = 1 << 6,
  kMatchDestinationPort = 1 << 7,
  kMatchDestinationIp = 1 << 8,
  kMatchSourcePort = 1 << 9,
  kMatchSourceIp = 1 << 10,
};

// Only the named fields count.
struct Match {
  uint16_t fields = 0;      // Field bits; 0: every packet
  uint16_t vlan = kNoVlan;  // id of the outer tag; kNoVlan: no tag
  bool multicast = false;
  bool own_address = false;
  uint16_t ether_type = 0;  // behind the tags
  uint8_t protocol = 0;
  uint8_t version = 4;  // of the addresses: 4 or 6
  port::MacAddress source_mac{}, destination_mac{};
  uint16_t source_port = 0, destination_port = 0;         // host order
  std::array<uint8_t, 16> source_ip{}, destination_ip{};  // network order; IPv4 in the first four bytes
};

enum class FilterMode : uint8_t { kSteal, kCopy, kSniff };
enum class DestinationKind : uint8_t {
  kPort,   // to this port of the card, as something to transmit: the host side, a virtual interface
  kQueue,  // to this queue of the same port, for the program: no hash decides
  kDrop,
};
struct Destination {
  DestinationKind kind = DestinationKind::kDrop;
  uint32_t number = 0;
};

struct Filter {
  Match match;
  FilterMode mode = FilterMode::kSteal;
  Destination destination;
};

// Immutable: a change makes a new table, which is published whole.
class FilterTable {
 public:
  // More copies of one packet than this are not made.
  static constexpr size_t kMaxCopies = 16;
  struct Decision {
    const Filter* taken = nullptr;  // by a filter that steals; null: the packet goes its usual way
    std::array<const Filter*, kMaxCopies> copies;
    uint32_t copy_count = 0;
  };

  // Errors: kBadInput: two filters that steal the same, a copy that goes to a queue or is dropped, ports without
  // protocol, a version that is neither 4 nor 6.
  static base::Result<std::shared_ptr<const FilterTable>> make(std::vector<Filter> filters);
  const std::vector<Filter>& filters() const { return filters_; }

  // `own` is the address of the port that the packet came in by. One hash look-up for each set of fields in use.
  void decide(const exec::packet::Packet& packet, const Headers& headers, const port::MacAddress& own,
              Decision& decision) const;

 private:
  // All fields of a packet or a filter in one layout: seven words that are masked, hashed and compared.
  using Key = std::array<uint64_t, 7>;
  struct Slot {
    Key key{};
    uint32_t first = 0;  // place in order_, plus one; 0: empty
    uint32_t count = 0;
  };
  // The filters that look at the same fields.
  struct Space {
    uint16_t fields;
    Key mask;
    std::vector<Slot> slots;  // a power of two, at most half full
  };
  FilterTable() = default;
  static Key key_of(const Match& match);
  static Key key_of(const exec::packet::Packet& packet, const Headers& headers, const port::MacAddress& own);
  static Key mask_of(uint16_t fields);
  static const Slot* find(const Space& space, const Key& key);
  void build();

  std::vector<Filter> filters_;
  std::vector<uint32_t> order_;  // indexes into filters_, those of one slot side by side
  std::vector<Space> spaces_;    // from exact to wildcard
};

}  // namespace xnic::nic::datapath
