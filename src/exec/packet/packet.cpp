// SPDX-License-Identifier: Apache-2.0
// The layout is the one Linux's XDP test run gives a frame (net/bpf/test_run.c, bpf_prog_test_run_xdp): 256 bytes of
// headroom, at most kMaxLinearBytes of data, then pages of fragments. Keeping to it makes every helper limit the same.
#include "exec/packet/packet.hpp"

#include <algorithm>
#include <cstring>

namespace xnic::exec::packet {

Packet::Packet() : frame_(std::make_unique<uint8_t[]>(kFrameBytes)) {
  data_meta = data = data_end = frame_.get() + kHeadroomBytes;
}

void Packet::assign(base::Bytes frame) {
  const size_t linear = std::min<size_t>(frame.size(), kMaxLinearBytes);
  data = frame_.get() + kHeadroomBytes;
  data_meta = data;
  data_end = data + linear;
  std::memset(frame_.get(), 0, kHeadroomBytes);
  if (linear != 0) std::memcpy(data, frame.data(), linear);
  std::memset(data_end, 0, static_cast<size_t>(frame_end() - data_end));

  fragments.clear();
  for (size_t done = linear; done < frame.size();) {
    Fragment fragment;
    fragment.buffer = std::make_unique<uint8_t[]>(kFragmentBytes);  // zeroed: growth shows no old bytes
    fragment.size = static_cast<uint32_t>(std::min<size_t>(frame.size() - done, kFragmentBytes));
    std::memcpy(fragment.buffer.get(), frame.data() + done, fragment.size);
    done += fragment.size;
    fragments.push_back(std::move(fragment));
  }
}

std::vector<uint8_t> Packet::bytes() const {
  std::vector<uint8_t> all;
  all.reserve(size());
  all.insert(all.end(), data, data_end);
  for (const Fragment& fragment : fragments) {
    const uint8_t* begin = fragment.buffer.get() + fragment.offset;
    all.insert(all.end(), begin, begin + fragment.size);
  }
  return all;
}

uint32_t Packet::size() const {
  uint32_t total = static_cast<uint32_t>(data_end - data);
  for (const Fragment& fragment : fragments) total += fragment.size;
  return total;
}

}  // namespace xnic::exec::packet
