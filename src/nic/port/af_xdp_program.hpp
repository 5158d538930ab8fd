// SPDX-License-Identifier: Apache-2.0
// The XDP program that brings the frames of an interface to the sockets of an af_xdp port. Used by af_xdp.cpp only.
#pragma once

#include <linux/bpf.h>

#include <string>

#include "base/result.hpp"
#include "exec/kernel/bpf_call.hpp"

namespace xnic::nic::port {

// A frame goes to the socket of the queue that it came in by, or on to the host when the queue has none. The program is
// attached by a link, so it goes with its last descriptor: with this object, or with the process however it ends.
class RedirectProgram {
 public:
  // Loads the program, with fragments when `multi_buffer`, and its map for `queues` sockets. bpf(2) goes to the kernel,
  // whatever card is installed in the process. Errors: kIo.
  static base::Result<RedirectProgram> load(uint32_t queues, bool multi_buffer);
  // Attaches to `ifindex`; `xdp_flags` is XDP_FLAGS_DRV_MODE or XDP_FLAGS_SKB_MODE. A negative errno, or 0.
  int attach(int ifindex, uint32_t xdp_flags);
  // From now on the frames of `queue` go to the socket; to the host after erase(). A negative errno, or 0.
  int set_socket(uint32_t queue, int socket_fd);
  void erase_socket(uint32_t queue);

 private:
  exec::kernel::Fd map_, program_, link_;
};

}  // namespace xnic::nic::port
