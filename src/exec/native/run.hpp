// SPDX-License-Identifier: Apache-2.0
// Run: what compiled code and the engine share while packets are run. Compiled code gets its address, hands it to every
// helper, and uses it as the address of the program's context, whose fields it answers itself.
#pragma once

#include "exec/helpers/helper_context.hpp"

namespace xnic::exec::native {

class Code;

// Invariant: while compiled code runs, `code` is that of HelperContext::program.
struct Run : helpers::HelperContext {
  const Code* code = nullptr;
  // Counted by the loop over packets.
  uint64_t bytes = 0;
  uint64_t actions[5] = {};
  // The code of a tail call's target, or null when it can't run; the engine's.
  const Code* (*code_of)(Run&, std::shared_ptr<const LoadedProgram>) = nullptr;
};

using ProgramEntry = uint64_t (*)(Run*, packet::Packet*);
using BatchEntry = void (*)(Run*, packet::Packet*, uint64_t count, Verdict*);
using CallbackEntry = uint64_t (*)(Run*, packet::Packet*, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t);

}  // namespace xnic::exec::native

// What compiled code calls beside helpers. Result of xnic_tail_call: 1 when another program ran, whose result is in
// `result`; 0 when none did, and `result` is what the helper says of it.
extern "C" {
uint32_t xnic_tail_call(xnic::exec::native::Run* run, xnic::exec::packet::Packet* packet, uint64_t map, uint64_t index,
                        uint64_t* result);
// Gives up what the last packet's run held (inner maps).
void xnic_settle(xnic::exec::native::Run* run);
// bpf_xdp_adjust_tail on a packet with fragments.
uint64_t xnic_adjust_fragments(xnic::exec::native::Run* run, uint64_t delta);
}
