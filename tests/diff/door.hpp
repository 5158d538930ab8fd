// SPDX-License-Identifier: Apache-2.0
// Programs through the card's real door: bpf(2) commands of a Device, as libbpf would send them.
#pragma once

#include <memory>
#include <string>

#include "device/device.hpp"

namespace xnic::tests {

struct DoorResult {
  std::shared_ptr<const exec::LoadedProgram> loaded;  // null when refused
  int error = 0;                                      // positive errno when refused
  std::string log;                                    // the verifier's
};

class Door {
 public:
  // Creates the program's maps, with some entries that depend on the seed alone, and loads it.
  DoorResult load(const arch::ebpf::Program& program, uint64_t contents_seed);

 private:
  device::Device device_;
};

}  // namespace xnic::tests
