// SPDX-License-Identifier: Apache-2.0
// Attaching XDP programs to ports without a link, as rtnetlink does: the program stays until it is replaced or removed,
// whoever attached it may be gone.
#pragma once

#include <cstdint>
#include <optional>

namespace xnic::device {

struct XdpRequest {
  uint32_t ifindex = 0;
  int fd = -1;                     // of the program; negative: none from now on
  std::optional<int> expected_fd;  // with XDP_FLAGS_REPLACE: of the program that is there; negative: none
  uint32_t flags = 0;              // XDP_FLAGS_*
};

// What a port runs.
struct XdpState {
  uint32_t program_id = 0;  // 0: nothing
  uint32_t mode = 0;        // XDP_FLAGS_{SKB,DRV,HW}_MODE
};

}  // namespace xnic::device
