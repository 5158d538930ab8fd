// SPDX-License-Identifier: Apache-2.0
// Who gets a frame that arrives at a port: virtual interfaces by their filters, the kernel's side of the port, or
// nobody. A private copy of the port's filters, made anew when the service has changed them, and the last flows with
// what was decided for them.
//
// The rules. A frame to a single station goes to the most exact filter that matches, and the kernel does not see it:
// full 5-tuple, local 3-tuple, MAC address, protocol, all unicast. A frame to a group goes to every interface with a
// matching filter, and to the kernel too unless one of the filters takes it away (any but those that name a group). A
// mismatch filter gets what no other filter and no subscription of the kernel wants. Sniffers get copies besides. An
// interface gets a frame once.
#pragma once

#include <array>
#include <vector>

#include "base/bytes.hpp"
#include "nic/datapath/headers.hpp"
#include "nic/datapath/rss.hpp"
#include "nic/vi/card_memory.hpp"

namespace xnic::nic::vi {

// From which side the port sees a frame.
enum class Face : uint8_t {
  kWire,      // it came in
  kLoopback,  // multicast that one of its own interfaces sent, for filters that ask for it
  kOutgoing,  // it goes out, for transmit sniffers
};

struct Target {
  uint32_t interface = kNone;
  uint32_t generation = 0;  // of the interface, when the filter was looked at
  uint16_t filter = 0xffff;
};

struct Decision {
  static constexpr size_t kMaxTargets = 32;
  datapath::Headers headers;
  bool group = false;   // to more than one station
  bool kernel = false;  // the kernel's side gets it
  uint32_t count = 0;
  std::array<Target, kMaxTargets> targets;
};

class Steering {
 public:
  Steering(CardView card, uint32_t port, Face face);
  // Pre: the frame's first 128 bytes, or all of it, lie in `frame`; `size` (14 or more) is its whole length. Valid
  // until the next call. A flow seen before costs some compares; a new one look-ups.
  const Decision& decide(const uint8_t* frame, uint32_t size) {
    if (port_->generation.load(std::memory_order_acquire) != generation_) [[unlikely]]
      reload();
    Flow& flow = flows_[place(frame, size)];
    if (size >= flow.words * 8 && flow.words != 0 && flow.matches(frame)) [[likely]]
      return flow.decision;
    return decide_anew(frame, size, flow);
  }
  // True when no filter counts on this face: nothing can be decided for anybody but the kernel.
  bool idle() {
    if (port_->generation.load(std::memory_order_acquire) != generation_) [[unlikely]]
      reload();
    return filters_.empty();
  }

 private:
  static constexpr size_t kFlows = 64;
  static constexpr uint32_t kWords = 8;
  // The bytes of a frame that a decision hangs on, as words under a mask.
  struct Flow {
    uint32_t words = 0;  // 0: empty
    std::array<uint64_t, kWords> mask, value;
    Decision decision;
    bool matches(const uint8_t* frame) const {
      uint64_t different = 0;
      for (uint32_t i = 0; i < words; ++i) {
        uint64_t word;
        std::memcpy(&word, frame + 8 * i, 8);
        different |= (word & mask[i]) ^ value[i];
      }
      return different == 0;
    }
  };
  static size_t place(const uint8_t* frame, uint32_t size) {
    if (size < 40) return 0;
    uint64_t a, b;
    std::memcpy(&a, frame + 26, 8);  // IPv4 addresses
    std::memcpy(&b, frame + 32, 8);  // and ports
    return (a ^ b) * 0x9e3779b97f4a7c15 >> 58;
  }
  void reload();
  const Decision& decide_anew(const uint8_t* frame, uint32_t size, Flow& flow);
  void look_up(const uint8_t* frame, Decision& decision) const;
  void remember(const uint8_t* frame, uint32_t size, Flow& flow) const;
  bool matches(const Filter& filter, const uint8_t* frame, const datapath::Headers& headers) const;
  bool kernel_wants(const uint8_t* frame) const;
  void add(const Filter& filter, const uint8_t* frame, Decision& decision) const;

  CardView card_;
  const Port* port_;
  const Face face_;
  uint32_t generation_ = 1;      // no port has an odd one for long
  std::vector<Filter> filters_;  // those that count on this face, from exact to wildcard
  std::vector<std::array<uint8_t, 6>> groups_;
  datapath::Rss rss_;
  std::array<Flow, kFlows> flows_;
};

}  // namespace xnic::nic::vi
