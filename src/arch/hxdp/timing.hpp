// SPDX-License-Identifier: Apache-2.0
// The card's timing in figures, beside the latencies of machine.hpp. The model counts by them; the RTL has to agree.
//
// The rules, in cycles of the one clock:
// - The port's bus and the queue's read bus each move one frame (Parameters::frame_bytes) a cycle. The queue stores a
//   packet whole before it offers it, so its length is known when the program starts.
// - Read-in, run and emission work on three packets at once, each in a buffer of its own (packet_buffers).
// - A program starts when the packet's first frame is in; a row that touches a frame not yet in waits for it.
// - A row takes one cycle. Its successor in the next row follows at once.
// - A taken Branch or BranchPacket costs branch_cycles more: the comparison's result is registered before it addresses
//   the instruction memory. A Goto that no branch of a lower lane may overtake is seen in fetch and costs nothing.
// - An exit is seen in fetch (the paper's early exit): the next packet's first row follows after start_cycles, in
//   which registers and stack are cleared by their valid bits and the packet selector turns to the next buffer.
// - A call holds its row for call_cost() of latency.hpp.
// - Map memory is on the chip: an access by pointer takes part in its row's cycle. With map_memory_cycles > 0 it is
//   external: a row that touches map values takes that much longer (accesses of a row overlap), and a call on a map as
//   often as it goes to that memory (latency.hpp: each step of a trie, bucket and element of a hash).
// - Emission starts in the cycle after the exit, one frame a cycle; dropped and aborted packets have none.
// So a packet of n frames costs max(n in, start_cycles + rows + stalls, n out) cycles when packets follow closely.
#pragma once

#include <cstdint>

namespace xnic::arch::hxdp {

struct Timing {
  uint32_t branch_cycles = 1;
  uint32_t start_cycles = 1;
  uint32_t map_memory_cycles = 0;
  uint32_t packet_buffers = 3;  // per core; >= 1
  uint32_t queue_frames =
      1024;  // per core, of frame_bytes (32 KiB with 32-byte frames; the paper's queue has about 29)
  bool operator==(const Timing&) const = default;
};

}  // namespace xnic::arch::hxdp
