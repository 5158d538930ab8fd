// SPDX-License-Identifier: Apache-2.0
// An endless mix of frames for real programs: traffic of every protocol, tagged, malformed, cut, jumbo, and noise.
#pragma once

#include <memory>
#include <vector>

#include "base/rng.hpp"
#include "nic/traffic/traffic.hpp"
#include "random_packet.hpp"

namespace xnic::tests {

class FrameMix {
 public:
  explicit FrameMix(uint64_t seed);
  // Frames that are mixed in as they are and mutated, beside the generated ones.
  void add_samples(std::vector<std::vector<uint8_t>> samples);
  // Makes the next packet in `packet`; its capacity is reused.
  void next(RandomPacket& packet);

 private:
  void mutate(std::vector<uint8_t>& frame);
  base::Rng rng_;
  std::vector<nic::traffic::Generator> plain_;  // by number of VLAN tags
  std::vector<nic::traffic::Generator> malformed_;
  nic::traffic::Generator jumbo_;
  std::vector<std::vector<uint8_t>> samples_;
};

}  // namespace xnic::tests
