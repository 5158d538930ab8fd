// SPDX-License-Identifier: Apache-2.0
// Limits of the parameters.
#include "arch/hxdp/machine.hpp"

#include <bit>

namespace xnic::arch::hxdp {

base::Result<void> validate(const Parameters& p) {
  using base::ErrorKind;
  if (p.lanes < 1 || p.lanes > kMaxLanes)
    return base::make_error(ErrorKind::kBadInput, "hxdp lanes", "{} lanes; the machine has 1 to {}", p.lanes,
                            kMaxLanes);
  if (p.rows < 1 || p.rows > kMaxRows)
    return base::make_error(ErrorKind::kBadInput, "hxdp rows", "{} rows of instruction memory; 1 to {} are possible",
                            p.rows, kMaxRows);
  if (p.frame_bytes < 8 || p.frame_bytes > 256 || !std::has_single_bit(p.frame_bytes))
    return base::make_error(ErrorKind::kBadInput, "hxdp frame bytes", "{}; a power of two from 8 to 256 is needed",
                            p.frame_bytes);
  if (p.clock_hz == 0) return base::make_error(ErrorKind::kBadInput, "hxdp clock", "0 Hz");
  if (p.cores < 1 || p.cores > 64)
    return base::make_error(ErrorKind::kBadInput, "hxdp cores", "{} cores; 1 to 64 are possible", p.cores);
  return {};
}

}  // namespace xnic::arch::hxdp
