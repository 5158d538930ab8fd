// SPDX-License-Identifier: Apache-2.0
// CRC-32C by the processor's instruction, eight bytes at a time; by a table where there is none.
#include "transport/message/protocol.hpp"

#include <array>
#include <cstddef>

namespace xnic::transport::message {

namespace {

constexpr std::array<uint32_t, 256> make_table() {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t value = i;
    for (int bit = 0; bit < 8; ++bit) value = (value & 1) != 0 ? value >> 1 ^ 0x82f63b78u : value >> 1;
    table[i] = value;
  }
  return table;
}
constexpr std::array<uint32_t, 256> kTable = make_table();

uint32_t crc_by_table(uint32_t crc, base::Bytes bytes) {
  for (const uint8_t byte : bytes) crc = kTable[(crc ^ byte) & 0xff] ^ crc >> 8;
  return crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) uint32_t crc_by_instruction(uint32_t crc, base::Bytes bytes) {
  uint64_t wide = crc;
  size_t i = 0;
  for (; i + 8 <= bytes.size(); i += 8) wide = __builtin_ia32_crc32di(wide, base::load<uint64_t>(bytes.data() + i));
  crc = static_cast<uint32_t>(wide);
  for (; i < bytes.size(); ++i) crc = __builtin_ia32_crc32qi(crc, bytes[i]);
  return crc;
}
const bool has_instruction = __builtin_cpu_supports("sse4.2");
#endif

uint32_t crc_of(uint32_t crc, base::Bytes bytes) {
#if defined(__x86_64__)
  if (has_instruction) return crc_by_instruction(crc, bytes);
#endif
  return crc_by_table(crc, bytes);
}

}  // namespace

uint32_t frame_checksum(base::Bytes frame) {
  constexpr size_t from = offsetof(FrameHeader, version);
  constexpr size_t hole = offsetof(FrameHeader, checksum);
  constexpr uint8_t zeros[4] = {};
  uint32_t crc = crc_of(~0u, frame.subspan(from, hole - from));
  crc = crc_of(crc, zeros);
  return ~crc_of(crc, frame.subspan(hole + sizeof zeros));
}

std::optional<FrameHeader> decode_frame(base::Bytes frame) {
  const auto header = decode<FrameHeader>(frame);
  if (!header || base::load_be<uint16_t>(header->ether_type) != kEtherType || header->version != kVersion ||
      header->zero != 0 || header->size > frame.size() - kFrameHeaderBytes)
    return std::nullopt;
  return header;
}

}  // namespace xnic::transport::message
