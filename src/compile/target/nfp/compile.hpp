// SPDX-License-Identifier: Apache-2.0
// The compiler for the NFP: a verified program to the card's instructions, by the mapping of the Linux driver
// (drivers/net/ethernet/netronome/nfp/bpf/jit.c).
#pragma once

#include "arch/ebpf/facts.hpp"
#include "arch/ebpf/program.hpp"
#include "arch/nfp/card.hpp"
#include "arch/nfp/image.hpp"
#include "compile/target/nfp/passes.hpp"

namespace xnic::compile::target::nfp {

struct CompileOptions {
  const arch::nfp::Firmware* firmware = nullptr;  // null: the one with all helpers
  uint32_t mtu = 1500;
  PassSet passes = PassSet::all();
};

// Errors: kUnsupported with the source line: what the offload verifier refuses (its first refusal), and the few forms
// that the driver would translate into something else; kLimit: more instructions than the firmware takes. Pre: `facts`
// are the program's, from our verifier.
base::Result<arch::nfp::Image> compile(const arch::ebpf::Program& program, const arch::ebpf::Facts& facts,
                                       const CompileOptions& options = {});

}  // namespace xnic::compile::target::nfp
