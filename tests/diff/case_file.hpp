// SPDX-License-Identifier: Apache-2.0
// Cases as files: a program with its maps and the packets it is run with. Every bug that a comparison found stays in
// regressions/ as one of these.
#pragma once

#include <string>
#include <vector>

#include "arch/ebpf/program.hpp"
#include "base/result.hpp"
#include "random_packet.hpp"

namespace xnic::tests {

struct Case {
  std::shared_ptr<const arch::ebpf::Program> program;
  std::vector<RandomPacket> packets;
  uint64_t contents_seed = 0;
};

// Text, a line an item: "flags N", "seed N", "map TYPE KEY VALUE ENTRIES FLAGS", "insn HEX", "btf HEX", "func_info
// HEX", "packet METADATA|- HEX"; "#" begins a comment.
std::string to_text(const Case& value);
base::Result<Case> read_case(const std::string& path);

// A program from its wire form: decoded, with the subprograms that its calls name. insns is empty if it doesn't decode.
std::shared_ptr<const arch::ebpf::Program> from_raw(const arch::ebpf::Program& like,
                                                    std::vector<arch::ebpf::RawInsn> raw);

}  // namespace xnic::tests
