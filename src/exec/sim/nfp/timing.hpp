// SPDX-License-Identifier: Apache-2.0
// The card's time: one table of its parts. Cycles are those of the cores' clock. Where the field gives a range, the
// figure is from its middle; the firmware's instructions are estimated from the steps of its open source. None is
// chosen to meet a result (docs/nfp.md has the residuals).
#pragma once

#include <cstdint>

namespace xnic::exec::sim::nfp {

// X(field, value, meaning); the field's name is the key of `--nfp`.
#define XNIC_NFP_TIMING(X)                                                            \
  X(clock_mhz, 800, "of the cores; the board's")                                      \
  X(wire_gbps, 40, "of all ports together, each way; the board's")                    \
  X(islands, 5, "that run programs")                                                  \
  X(cores, 10, "of an island")                                                        \
  X(threads, 4, "of a core")                                                          \
  X(buffers, 64, "packets of 2 KB in an island's cluster memory")                     \
  X(ingress_queue, 64, "packets that wait for a buffer; then the wire waits")         \
  X(swap, 1, "cycles until another thread runs")                                      \
  X(packet_latency, 50, "a command to the packet in the cluster memory")              \
  X(packet_occupancy, 2, "cycles of the island's memory a command, and half a word")  \
  X(internal_latency, 200, "a command to the internal memory, table descriptors")     \
  X(internal_occupancy, 2, "cycles of the internal memory a command")                 \
  X(external_latency, 250, "a command to the external memory, values and buckets")    \
  X(external_occupancy, 3, "cycles of each of its two engines a command")             \
  X(ingress_latency, 400, "wire to work queue: classification, move to the island")   \
  X(egress_latency, 300, "reordered packet to wire or host bus")                      \
  X(reorder_occupancy, 4, "cycles of the global reorder a packet")                    \
  X(host_gbps, 50, "of the host bus, packets that pass; 24 bytes a packet beside it") \
  X(receive_issue, 90, "firmware's instructions before the program")                  \
  X(send_issue, 70, "and behind it")                                                  \
  X(lookup_issue, 110, "of a look-up in a hash: descriptor, hash, lock, compare")     \
  X(array_issue, 50, "in an array")                                                   \
  X(update_issue, 170, "of an update")                                                \
  X(delete_issue, 140, "of a deletion")                                               \
  X(event_issue, 80, "of an event")

struct CardTiming {
#define XNIC_NFP_FIELD(name, value, what) uint32_t name = value;
  XNIC_NFP_TIMING(XNIC_NFP_FIELD)
#undef XNIC_NFP_FIELD
};

}  // namespace xnic::exec::sim::nfp
