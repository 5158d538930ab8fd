// SPDX-License-Identifier: Apache-2.0
// The offload verifier: would a Netronome card take this program, and if not, why?
//
// The rules are those of the Linux driver (drivers/net/ethernet/netronome/nfp/bpf: verifier.c, offload.c, jit.c) and of
// the kernel's offload core (kernel/bpf/offload.c), asked of our Facts instead of the kernel verifier's state. Where
// the driver would translate an instruction into something else (cpu v4 forms that reuse an opcode), we refuse.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "arch/ebpf/facts.hpp"
#include "arch/ebpf/program.hpp"
#include "arch/nfp/card.hpp"

namespace xnic::compile::target::nfp {

// Each rule that a program can break; X(name, identifier for machines).
#define XNIC_NFP_RULES(X)                           \
  X(kOpcode, "opcode")                              \
  X(kReusedOpcode, "reused-opcode")                 \
  X(kStoreImmediate, "store-immediate")             \
  X(kMultiplier, "multiplier-range")                \
  X(kMultiplicand, "multiplicand-range")            \
  X(kNegativeMultiplicand, "negative-multiplicand") \
  X(kDividend, "dividend-range")                    \
  X(kDivisorNotConstant, "divisor-not-constant")    \
  X(kDivisor, "divisor-range")                      \
  X(kNegativeDivisor, "negative-divisor")           \
  X(kPointerType, "pointer-type")                   \
  X(kPointerTypeChanged, "pointer-type-changed")    \
  X(kStackOffset, "stack-offset")                   \
  X(kContextRead, "context-read")                   \
  X(kMapWrite, "map-write")                         \
  X(kMapOffset, "map-offset")                       \
  X(kMapWordUse, "map-word-use")                    \
  X(kMapWordInitialised, "map-word-initialised")    \
  X(kAtomicOp, "atomic-op")                         \
  X(kAtomicTarget, "atomic-target")                 \
  X(kAtomicSource, "atomic-source")                 \
  X(kHelper, "helper")                              \
  X(kHelperFirmware, "helper-firmware")             \
  X(kHelperArgument, "helper-argument")             \
  X(kKernelFunction, "kernel-function")             \
  X(kDirectValue, "direct-value")                   \
  X(kMapType, "map-type")                           \
  X(kMapFlags, "map-flags")                         \
  X(kMapCount, "map-count")                         \
  X(kMapElements, "map-elements")                   \
  X(kMapElementSize, "map-element-size")            \
  X(kMapKeySize, "map-key-size")                    \
  X(kMapValueSize, "map-value-size")                \
  X(kStackSize, "stack-size")                       \
  X(kPacketReach, "packet-reach")

enum class Rule : uint8_t {
#define XNIC_NFP_RULE(name, id) name,
  XNIC_NFP_RULES(XNIC_NFP_RULE)
#undef XNIC_NFP_RULE
};
std::string_view rule_name(Rule rule);

// When the user would be told: a map is made before the program is loaded; translation follows verification; a program
// that loads may still be refused by the port it is attached to.
enum class Stage : uint8_t { kMapCreation, kVerification, kTranslation, kAttachment };
std::string_view stage_name(Stage stage);

inline constexpr arch::ebpf::Slot kNoSlot = ~arch::ebpf::Slot{0};

struct Refusal {
  Rule rule;
  Stage stage;
  arch::ebpf::Slot slot = kNoSlot;  // kNoSlot: of the program or a map as a whole
  int error = 0;                    // positive errno of the system call that fails
  std::string message;              // the driver's, where it has one
  std::string advice;               // what to change, in one sentence
  std::string source;               // "file.c:12: text of the line", or "map NAME"; may be empty
};

struct Card {
  const arch::nfp::Firmware* firmware;
  uint32_t mtu = 1500;  // of the port that the program is attached to
};

// Every refusal, in the order of stages and then of slots; empty: the card takes the program (its length in NFP
// instructions aside, which only a compiler knows). Pre: `facts` are the program's, from our verifier.
std::vector<Refusal> check_offload(const arch::ebpf::Program& program, const arch::ebpf::Facts& facts,
                                   const Card& card);

}  // namespace xnic::compile::target::nfp
