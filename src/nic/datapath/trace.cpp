// SPDX-License-Identifier: Apache-2.0
#include "nic/datapath/trace.hpp"

#include <algorithm>
#include <cstring>

namespace xnic::nic::datapath {

void TraceRing::add(const exec::packet::Packet& packet, const exec::Verdict& verdict, uint32_t worker,
                    uint32_t snap_bytes, uint64_t now_ns) {
  if (ring_.producer.room(1) == 0) {
    port::count(missed_, 1);
    return;
  }
  TraceRecord record;
  record.time_ns = now_ns;
  record.ingress_ifindex = packet.ingress_ifindex;
  record.rx_queue = packet.rx_queue;
  record.packet_bytes = packet.size();
  const auto linear = static_cast<uint32_t>(packet.data_end - packet.data);
  record.captured = static_cast<uint16_t>(std::min({linear, snap_bytes, kTraceBytes}));
  record.worker = static_cast<uint8_t>(worker);
  record.action = static_cast<uint8_t>(verdict.action());
  record.code = verdict.code;
  record.redirect = verdict.redirect;
  std::memcpy(record.bytes.data(), packet.data, record.captured);
  std::memset(record.bytes.data() + record.captured, 0, kTraceBytes - record.captured);
  ring_.producer.put(record);
}

void trace_batch(const TraceFilter& filter, TraceRing& ring, std::span<const exec::packet::Packet> packets,
                 std::span<const exec::Verdict> verdicts, const port::MacAddress& own, uint32_t worker,
                 uint64_t now_ns) {
  for (size_t i = 0; i < packets.size(); ++i) {
    if ((filter.options.actions >> verdicts[i].action() & 1) == 0) continue;
    if (filter.options.ifindex != 0 && filter.options.ifindex != packets[i].ingress_ifindex) continue;
    if (filter.match != nullptr) {
      FilterTable::Decision decision;
      filter.match->decide(packets[i], read_headers(packets[i]), own, decision);
      if (decision.taken == nullptr) continue;
    }
    ring.add(packets[i], verdicts[i], worker, filter.options.snap_bytes, now_ns);
  }
  ring.publish();
}

}  // namespace xnic::nic::datapath
