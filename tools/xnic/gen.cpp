// SPDX-License-Identifier: Apache-2.0
// `xnic gen`: a synthetic capture from nic/traffic.
#include <unistd.h>

#include <cstdio>

#include "nic/port/pcap.hpp"
#include "nic/traffic/traffic.hpp"
#include "xnic/command.hpp"

namespace xnic::tools {
namespace {

constexpr uint64_t kFirstTimestampNs = 1'000'000'000;

base::Result<void> generate(const GenOptions& options) {
  nic::traffic::Options traffic{.seed = options.seed,
                                .flows = options.flows,
                                .vlan_tags = options.vlan_tags,
                                .malformed_percent = options.malformed_percent};
  XNIC_ASSIGN(traffic.sizes, nic::traffic::parse_sizes(options.sizes));
  XNIC_ASSIGN(traffic.protocols, nic::traffic::parse_protocols(options.protocols));
  if (options.output == "-" && isatty(STDOUT_FILENO) != 0) {
    return base::make_error(base::ErrorKind::kBadInput, "--out",
                            "a capture on a terminal helps nobody: give a file, or pipe it");
  }
  XNIC_ASSIGN(auto writer, nic::port::PcapngWriter::create(options.output));
  nic::traffic::Generator generator(traffic);
  std::vector<uint8_t> frame;
  for (uint64_t i = 0; i < options.count; ++i) {
    generator.next(frame);
    const auto offset_ns = static_cast<uint64_t>(static_cast<double>(i) * 1e9 / options.rate_pps);
    XNIC_TRY(writer.write(frame, kFirstTimestampNs + offset_ns, std::nullopt, ""));
  }
  return writer.close();
}

}  // namespace

int gen(const GenOptions& options) {
  auto result = generate(options);
  return result ? int{kExitOk} : report(result.error());
}

}  // namespace xnic::tools
