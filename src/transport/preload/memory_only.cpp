// SPDX-License-Identifier: Apache-2.0
// This library attaches over the memory link alone, so it has no XDP sockets in it: programs keep what they link.
#include "transport/link/xdp.hpp"

namespace xnic::transport::link {

base::Result<std::unique_ptr<Link>> XdpLink::open(const XdpOptions& options, const base::Clock&) {
  return base::make_error(base::ErrorKind::kUnsupported, options.interface, "this library has no XDP links");
}

}  // namespace xnic::transport::link
