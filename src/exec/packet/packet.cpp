// SPDX-License-Identifier: Apache-2.0
// The layout is the one Linux's XDP test run gives a frame (net/bpf/test_run.c, bpf_prog_test_run_xdp): 256 bytes of
// headroom, at most kMaxLinearBytes of data, then pages of fragments. Keeping to it makes every helper limit the same.
#include "exec/packet/packet.hpp"

#include <algorithm>
#include <cstring>

namespace xnic::exec::packet {

Packet::Packet() : owned_(std::make_unique<uint8_t[]>(kFrameBytes)) {
  frame_ = owned_.get();
  data_meta = data = data_end = frame_ + kHeadroomBytes;
}

void Packet::assign(base::Bytes frame) {
  fill(frame);
  std::memset(frame_, 0, kHeadroomBytes);
  std::memset(data_end, 0, static_cast<size_t>(frame_end() - data_end));
}

void Packet::fill(base::Bytes frame) {
  const size_t linear = std::min<size_t>(frame.size(), kMaxLinearBytes);
  data = frame_ + kHeadroomBytes;
  data_meta = data;
  data_end = data + linear;
  if (linear != 0) std::memcpy(data, frame.data(), linear);
  drop_fragments();
  if (linear != frame.size()) add_fragments(frame.subspan(linear));
}

void Packet::add_fragments(base::Bytes rest) {
  while (!rest.empty()) {
    Fragment fragment;
    if (spare_.empty()) {
      fragment.buffer = std::make_unique_for_overwrite<uint8_t[]>(kFragmentBytes);
    } else {
      fragment.buffer = std::move(spare_.back());
      spare_.pop_back();
    }
    fragment.size = static_cast<uint32_t>(std::min<size_t>(rest.size(), kFragmentBytes));
    std::memcpy(fragment.buffer.get(), rest.data(), fragment.size);
    // Growth at the end shows no old bytes.
    std::memset(fragment.buffer.get() + fragment.size, 0, kFragmentBytes - fragment.size);
    rest = rest.subspan(fragment.size);
    fragments.push_back(std::move(fragment));
  }
}

void Packet::keep_spare_buffers() {
  for (Fragment& fragment : fragments) spare_.push_back(std::move(fragment.buffer));
  fragments.clear();
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

}  // namespace xnic::exec::packet
