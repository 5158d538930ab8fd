// SPDX-License-Identifier: Apache-2.0
// Raw SYN cookies (net/ipv4/syncookies.c, net/ipv6/syncookies.c, net/core/filter.c). A cookie is
//   hash0(flow) + sequence + (minute << 24) + ((hash1(flow, minute) + mss index) mod 2^24)
// with two keys per family, so that a SYN-ACK's number proves an ACK genuine for two minutes without keeping state.
#include <array>
#include <cstring>
#include <span>

#include "exec/helpers/call.hpp"
#include "exec/helpers/siphash.hpp"

namespace xnic::exec::helpers {
namespace {

constexpr uint32_t kDataBits = 24;
constexpr uint32_t kDataMask = (1u << kDataBits) - 1;
constexpr uint32_t kMaxAgeMinutes = 2;
constexpr uint64_t kMinuteNs = 60'000'000'000;
constexpr uint16_t kDefaultMss4 = 536;
constexpr uint16_t kDefaultMss6 = 1280 - 40 - 20;
constexpr uint64_t kTcpHeaderBytes = 20;
constexpr std::array<uint16_t, 4> kMss4{536, 1300, 1440, 1460};
constexpr std::array<uint16_t, 4> kMss6{1220, 1420, 1440, 8940};

// What a cookie of one family is made of: addresses and ports in network order as they lie in the headers.
class Flow4 {
 public:
  Flow4(const uint8_t* ip, const uint8_t* tcp) {
    std::memcpy(input_, ip + 12, 8);
    // The kernel hashes four host words; the third is source << 16 | destination of the ports as loaded.
    const uint32_t ports = uint32_t{base::load<uint16_t>(tcp)} << 16 | base::load<uint16_t>(tcp + 2);
    base::store_le(input_ + 8, ports);
  }
  uint32_t hash(const uint64_t* keys, uint32_t count, int which) {
    base::store_le(input_ + 12, count);
    return static_cast<uint32_t>(siphash({input_, sizeof input_}, keys[2 * which], keys[2 * which + 1]));
  }

 private:
  uint8_t input_[16];
};

class Flow6 {
 public:
  Flow6(const uint8_t* ip, const uint8_t* tcp) {
    std::memcpy(input_, ip + 8, 32);
    std::memcpy(input_ + 36, tcp, 4);
  }
  uint32_t hash(const uint64_t* keys, uint32_t count, int which) {
    base::store_le(input_ + 32, count);
    return static_cast<uint32_t>(siphash({input_, sizeof input_}, keys[2 * which], keys[2 * which + 1]));
  }

 private:
  uint8_t input_[40];
};

uint32_t minute(const HelperContext& ctx) { return static_cast<uint32_t>(now_ns(ctx.run) / kMinuteNs); }

template <class Flow>
uint32_t make_cookie(Flow flow, const uint64_t* keys, uint32_t sequence, uint32_t count, uint32_t data) {
  return flow.hash(keys, 0, 0) + sequence + (count << kDataBits) + ((flow.hash(keys, count, 1) + data) & kDataMask);
}

// The data in the cookie, or all ones when it is too old or was not made here.
template <class Flow>
uint32_t open_cookie(Flow flow, const uint64_t* keys, uint32_t cookie, uint32_t sequence, uint32_t count) {
  cookie -= flow.hash(keys, 0, 0) + sequence;
  const uint32_t age = (count - (cookie >> kDataBits)) & (~uint32_t{0} >> kDataBits);
  if (age >= kMaxAgeMinutes) return ~uint32_t{0};
  return (cookie - flow.hash(keys, count - age, 1)) & kDataMask;
}

// The MSS option of a SYN, 0 when there is none. Pre: the header is as long as its offset field says.
uint16_t mss_option(const uint8_t* tcp, uint64_t header_bytes) {
  uint16_t mss = 0;
  for (uint64_t at = kTcpHeaderBytes; at < header_bytes;) {
    const uint8_t kind = tcp[at];
    if (kind == 0) break;
    if (kind == 1) {
      ++at;
      continue;
    }
    if (header_bytes - at < 2 || tcp[at + 1] < 2 || tcp[at + 1] > header_bytes - at) break;
    const uint16_t offered = kind == 2 && tcp[at + 1] == 4 ? base::load_be<uint16_t>(tcp + at + 2) : 0;
    if (offered != 0) mss = offered;
    at += tcp[at + 1];
  }
  return mss;
}

template <class Flow>
uint64_t generate(HelperContext& ctx, uint64_t ip, uint64_t tcp_value, uint64_t bytes, const uint64_t* keys,
                  std::span<const uint16_t, 4> table, uint16_t default_mss) {
  const uint8_t* tcp = pointer<const uint8_t>(tcp_value);
  const uint64_t header_bytes = static_cast<uint32_t>(bytes);
  if (header_bytes < kTcpHeaderBytes || header_bytes != uint64_t{4} * (tcp[12] >> 4)) return fail(EINVAL);
  const uint16_t offered = mss_option(tcp, header_bytes);
  const uint16_t mss = offered != 0 ? offered : default_mss;
  uint32_t index = 3;
  while (index > 0 && mss < table[index]) --index;
  const uint32_t cookie =
      make_cookie(Flow(pointer<const uint8_t>(ip), tcp), keys, base::load_be<uint32_t>(tcp + 4), minute(ctx), index);
  return cookie | uint64_t{table[index]} << 32;
}

template <class Flow>
uint64_t check(HelperContext& ctx, uint64_t ip, uint64_t tcp_value, const uint64_t* keys) {
  const uint8_t* tcp = pointer<const uint8_t>(tcp_value);
  const uint32_t cookie = base::load_be<uint32_t>(tcp + 8) - 1;
  const uint32_t sequence = base::load_be<uint32_t>(tcp + 4) - 1;
  const uint32_t data = open_cookie(Flow(pointer<const uint8_t>(ip), tcp), keys, cookie, sequence, minute(ctx));
  return data < 4 ? 0 : fail(EACCES);
}

}  // namespace

uint64_t tcp_raw_gen_syncookie_ipv4(HelperContext& ctx, uint64_t ip, uint64_t tcp, uint64_t bytes, uint64_t, uint64_t) {
  return generate<Flow4>(ctx, ip, tcp, bytes, ctx.state->syncookie_key[0], kMss4, kDefaultMss4);
}
uint64_t tcp_raw_gen_syncookie_ipv6(HelperContext& ctx, uint64_t ip, uint64_t tcp, uint64_t bytes, uint64_t, uint64_t) {
  return generate<Flow6>(ctx, ip, tcp, bytes, ctx.state->syncookie_key[1], kMss6, kDefaultMss6);
}
uint64_t tcp_raw_check_syncookie_ipv4(HelperContext& ctx, uint64_t ip, uint64_t tcp, uint64_t, uint64_t, uint64_t) {
  return check<Flow4>(ctx, ip, tcp, ctx.state->syncookie_key[0]);
}
uint64_t tcp_raw_check_syncookie_ipv6(HelperContext& ctx, uint64_t ip, uint64_t tcp, uint64_t, uint64_t, uint64_t) {
  return check<Flow6>(ctx, ip, tcp, ctx.state->syncookie_key[1]);
}

}  // namespace xnic::exec::helpers
