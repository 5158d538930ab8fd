// SPDX-License-Identifier: Apache-2.0
// For each rule of the offload verifier a minimal program that breaks exactly that rule, and a twin that is taken.
#include "compile/target/nfp/offload.hpp"

#include <optional>
#include <set>

#include "../../verify/check.hpp"
#include "arch/ebpf/codec.hpp"

namespace xnic::compile::target::nfp {
namespace {

using namespace arch::ebpf;
using verify::testing::map_of;

constexpr std::string_view kOpen = "corenic";
constexpr std::string_view kClosed = "ebpf";

std::vector<Refusal> offload(std::string_view text, const std::vector<MapSpec>& maps, std::string_view firmware,
                             uint32_t mtu) {
  Program program = verify::testing::program_of(text, maps);
  program.raw = encode(program.insns);
  static const verify::testing::NothingFrozen environment;
  const verify::Outcome outcome = verify::verify(program, environment);
  EXPECT_TRUE(outcome.accepted) << text << "\n" << outcome.rejection.reason;
  if (!outcome.accepted) return {};
  return check_offload(program, outcome.facts, {arch::nfp::find_firmware(firmware), mtu});
}

struct Version {
  std::string text;
  std::vector<MapSpec> maps = {};
  std::string_view firmware = kOpen;
  uint32_t mtu = 1500;
};

struct Case {
  Rule rule;
  std::string_view message;  // part of it
  Version broken;
  Version fixed;
  std::optional<Rule> also = {};  // a rule that the broken program cannot but break too
};

MapSpec flagged(MapSpec map) {
  map.flags = kNoPrealloc;
  return map;
}

const std::vector<MapSpec> kArray = {map_of(kMapArray, 4, 16)};

// A look-up of map 0 by the key 0; r0 is the value. The key is stored from a register, as the card wants it.
std::string look_up(const std::string& then) {
  return "r3 = 0\n *(u32 *)(r10 -4) = r3\n r2 = r10\n r2 += -4\n r1 = map[0]\n call 1\n if r0 == 0 goto out\n" + then +
         "\n out: r0 = 1\n exit";
}
std::string field(const std::string& then) {
  return "r2 = *(u32 *)(r1 +4)\n r1 = *(u32 *)(r1 +0)\n r3 = r1\n r3 += 20\n"
         "if r3 > r2 goto out\n" +
         then + "\n out: r0 = 1\n exit";
}
std::string update(const std::string& counter) {
  return "r6 = " + counter +
         "\n r7 = 0\n *(u32 *)(r10 -4) = r7\n *(u64 *)(r10 -24) = r6\n *(u64 *)(r10 -16) = r7\n r2 = r10\n r2 += -4\n"
         "r3 = r10\n r3 += -24\n r4 = 0\n r1 = map[0]\n call 2\n" +
         look_up("r1 = 1\n lock *(u64 *)(r0 +0) += r1");
}
std::string event(const std::string& flags) {
  return "r6 = r1\n r3 = 7\n *(u64 *)(r10 -8) = r3\n r2 = map[0]\n r3 = " + flags +
         "\n r4 = r10\n r4 += -8\n r5 = 8\n call 25\n r0 = 1\n exit";
}

const std::vector<MapSpec> kHash = {map_of(kMapHash, 4, 16)};
const std::vector<MapSpec> kEvents = {map_of(kMapPerfEventArray, 4, 4)};
const std::string kNone = "r0 = 1\n exit";
const std::string kCount = look_up("r1 = 1\n lock *(u64 *)(r0 +0) += r1");

std::vector<Case> instructions() {
  return {
      {Rule::kOpcode, "instruction 0x97 not supported", {"r0 = 7\n r0 %= 3\n exit"}, {"r0 = 7\n r0 &= 3\n exit"}},
      {Rule::kOpcode, "instruction 0xd7", {"r0 = 7\n r0 = bswap32 r0\n exit"}, {"r0 = 7\n r0 = be32 r0\n exit"}},
      {Rule::kOpcode, "instruction 0xd4", {"r0 = 7\n r0 = le32 r0\n exit"}, {"r0 = 7\n r0 = be64 r0\n exit"}},
      {Rule::kOpcode,
       "instruction 0x81",
       {"r3 = 7\n *(u64 *)(r10 -8) = r3\n r0 = *(s32 *)(r10 -8)\n exit"},
       {"r3 = 7\n *(u64 *)(r10 -8) = r3\n r0 = *(u32 *)(r10 -8)\n exit"}},
      {Rule::kReusedOpcode, "movsx", {"r1 = 7\n r0 = (s8)r1\n exit"}, {"r1 = 7\n r0 = r1\n exit"}},
      {Rule::kReusedOpcode, "signed division", {"r0 = 7\n r0 s/= 3\n exit"}, {"r0 = 7\n r0 /= 3\n exit"}},
      {Rule::kStoreImmediate,
       "stores of immediates",
       {"*(u64 *)(r10 -8) = 1\n" + kNone},
       {"r1 = 1\n *(u64 *)(r10 -8) = r1\n" + kNone}},
      {Rule::kMultiplier,
       "multiplier is not within u32 value range",
       {field("r0 = *(u64 *)(r1 +0)\n r0 *= 3")},
       {field("r0 = *(u32 *)(r1 +0)\n r0 *= 3")}},
      {Rule::kMultiplicand,
       "multiplicand is not within u32 value range",
       {field("r4 = *(u64 *)(r1 +0)\n r0 = 3\n r0 *= r4")},
       {field("r4 = *(u32 *)(r1 +0)\n r0 = 3\n r0 *= r4")}},
      {Rule::kNegativeMultiplicand,
       "sign extended multiplicand",
       {"r0 = 3\n r0 *= -2\n exit"},
       {"w0 = 3\n w0 *= -2\n exit"}},
      {Rule::kDividend,
       "dividend is not within u32 value range",
       {field("r0 = *(u64 *)(r1 +0)\n r0 /= 3")},
       {field("r0 = *(u32 *)(r1 +0)\n r0 /= 3")}},
      {Rule::kDivisorNotConstant,
       "divisor is not constant",
       {field("r4 = *(u8 *)(r1 +0)\n r0 = 300\n r0 /= r4")},
       {field("r4 = 9\n r0 = 300\n r0 /= r4")}},
      {Rule::kDivisor,
       "divisor is not within u32 value range",
       {"r1 = 0x100000000 ll\n r0 = 300\n r0 /= r1\n exit"},
       {"r1 = 0x10000000 ll\n r0 = 300\n r0 /= r1\n exit"}},
      {Rule::kNegativeDivisor,
       "divide by negative constant",
       {"r0 = 3\n r0 /= -2\n exit"},
       {"r0 = 3\n r0 /= 2\n exit"}},
  };
}

std::vector<Case> accesses() {
  return {
      // Reading data_meta breaks a rule of the context as well; there is no other way to such a pointer.
      {Rule::kPointerType,
       "unsupported ptr type: 7",
       {"r2 = *(u32 *)(r1 +0)\n r1 = *(u32 *)(r1 +8)\n r3 = r1\n r3 += 4\n if r3 > r2 goto out\n r0 = *(u8 *)(r1 +0)\n"
        " out: r0 = 1\n exit"},
       {field("r0 = *(u8 *)(r1 +0)")},
       Rule::kContextRead},
      {Rule::kPointerTypeChanged,
       "ptr type changed",
       {field("r4 = r10\n r4 += -8\n r5 = 1\n *(u64 *)(r10 -8) = r5\n r5 = *(u8 *)(r1 +0)\n if r5 == 0 goto use\n r4 = "
              "r1\n use: r0 = *(u8 *)(r4 +0)")},
       {field("r5 = *(u8 *)(r1 +0)\n if r5 == 0 goto use\n r1 += 1\n use: r0 = *(u8 *)(r1 +0)")}},
      {Rule::kStackOffset,
       "variable ptr stack access",
       {field("r4 = 0\n *(u64 *)(r10 -8) = r4\n *(u64 *)(r10 -16) = r4\n r5 = *(u8 *)(r1 +0)\n r5 &= 7\n r4 = r10\n r4 "
              "+= -16\n r4 += r5\n r0 = *(u8 *)(r4 +0)")},
       {field("r4 = 0\n *(u64 *)(r10 -8) = r4\n r4 = r10\n r4 += -8\n r0 = *(u8 *)(r4 +0)")}},
      {Rule::kContextRead,
       "context field",
       {"r0 = *(u32 *)(r1 +16)\n r0 = 1\n exit"},
       {"r0 = *(u32 *)(r1 +4)\n" + kNone}},
      {Rule::kMapWrite,
       "map writes not supported",
       {look_up("r1 = 5\n *(u64 *)(r0 +0) = r1"), kArray},
       {look_up("r1 = 5\n lock *(u64 *)(r0 +0) += r1"), kArray}},
      {Rule::kMapOffset,
       "map value offset is variable",
       {look_up("r4 = *(u8 *)(r0 +0)\n r4 &= 7\n r0 += r4\n r0 = *(u8 *)(r0 +0)"), kArray},
       {look_up("r0 += 7\n r0 = *(u8 *)(r0 +0)"), kArray}},
      {Rule::kMapWordUse,
       "read vs atomic off: 4",
       {look_up("r1 = 1\n lock *(u64 *)(r0 +0) += r1\n r1 = *(u16 *)(r0 +6)"), kArray},
       {look_up("r1 = 1\n lock *(u64 *)(r0 +0) += r1\n r1 = *(u16 *)(r0 +8)"), kArray}},
      {Rule::kMapWordInitialised,
       "non-zero value off: 0",
       {update("1"), kHash, kClosed},
       {update("0"), kHash, kClosed}},
      {Rule::kAtomicOp,
       "atomic op not implemented: 64",
       {look_up("r1 = 1\n lock *(u64 *)(r0 +0) |= r1"), kArray},
       {kCount, kArray}},
      {Rule::kAtomicOp,
       "atomic op not implemented: 1",
       {look_up("r1 = 1\n r1 = atomic_fetch_add((u64 *)(r0 +0), r1)"), kArray},
       {kCount, kArray}},
      {Rule::kAtomicTarget,
       "atomic add not to a map value pointer: 6",
       {"r1 = 1\n *(u64 *)(r10 -8) = r1\n lock *(u64 *)(r10 -8) += r1\n" + kNone},
       {"r1 = 1\n *(u64 *)(r10 -8) = r1\n" + kNone}},
      {Rule::kAtomicSource,
       "atomic add not of a scalar value: 6",
       {look_up("r1 = r10\n lock *(u64 *)(r0 +0) += r1"), kArray},
       {kCount, kArray}},
  };
}

std::vector<Case> calls() {
  return {
      {Rule::kHelper, "unsupported function id: 5", {"call 5\n" + kNone}, {"call 7\n" + kNone}},
      {Rule::kHelperFirmware,
       "map_delete: not supported by FW",
       {"r3 = 0\n *(u32 *)(r10 -4) = r3\n r2 = r10\n r2 += -4\n r1 = map[0]\n call 3\n" + kNone, kHash, kOpen},
       {"r3 = 0\n *(u32 *)(r10 -4) = r3\n r2 = r10\n r2 += -4\n r1 = map[0]\n call 3\n" + kNone, kHash, kClosed}},
      {Rule::kHelperFirmware,
       "event_output: not supported by FW",
       {event("0xffffffff ll"), kEvents, kOpen},
       {event("0xffffffff ll"), kEvents, kClosed}},
      {Rule::kHelperArgument,
       "must use BPF_F_CURRENT_CPU",
       {event("0"), kEvents, kClosed},
       {event("0xffffffff ll"), kEvents, kClosed}},
      {Rule::kHelperArgument,
       "map_lookup: unsupported ptr type 8",
       {field("r2 = r1\n r1 = map[0]\n call 1"), kArray},
       {field("r3 = *(u32 *)(r1 +0)\n *(u32 *)(r10 -4) = r3\n r2 = r10\n r2 += -4\n r1 = map[0]\n call 1"), kArray}},
      {Rule::kHelperArgument,
       "map_lookup: unaligned stack pointer 7",
       {"r3 = 0\n *(u64 *)(r10 -8) = r3\n r2 = r10\n r2 += -7\n r1 = map[0]\n call 1\n" + kNone, kArray},
       {"r3 = 0\n *(u64 *)(r10 -8) = r3\n r2 = r10\n r2 += -8\n r1 = map[0]\n call 1\n" + kNone, kArray}},
      {Rule::kDirectValue,
       "no direct value access",
       {"r1 = map[0][0]+8\n" + kNone, {map_of(kMapArray, 4, 16, 1)}},
       {kNone, kArray}},
  };
}

std::vector<Case> limits() {
  return {
      {Rule::kMapType,
       "map type lru_hash cannot be offloaded",
       {kNone, {map_of(kMapLruHash, 4, 8)}},
       {kNone, {map_of(kMapHash, 4, 8)}}},
      {Rule::kMapFlags, "map flags 0x1", {kNone, {flagged(map_of(kMapHash, 4, 8))}}, {kNone, {map_of(kMapHash, 4, 8)}}},
      {Rule::kMapCount,
       "too many maps",
       {kNone, std::vector<MapSpec>(128, map_of(kMapArray, 4, 8))},
       {kNone, std::vector<MapSpec>(127, map_of(kMapArray, 4, 8))}},
      {Rule::kMapElements,
       "map with too many elements: 48001, left: 48000",
       {kNone, {map_of(kMapHash, 4, 8, 2'000'000), map_of(kMapHash, 4, 8, 48'001)}},
       {kNone, {map_of(kMapHash, 4, 8, 2'000'000), map_of(kMapHash, 4, 8, 48'000)}}},
      {Rule::kMapElementSize,
       "map elements too large: 72",
       {kNone, {map_of(kMapHash, 17, 48)}},
       {kNone, {map_of(kMapHash, 16, 48)}}},
      {Rule::kMapKeySize, "map key size 57", {kNone, {map_of(kMapHash, 57, 0)}}, {kNone, {map_of(kMapHash, 56, 8)}}},
      {Rule::kMapValueSize,
       "map value size 57",
       {kNone, {map_of(kMapHash, 0, 57)}},
       {kNone, {map_of(kMapHash, 8, 56)}}},
      {Rule::kStackSize,
       "stack too large: program 576B > FW stack 512B",
       {"r1 = 1\n *(u64 *)(r10 -448) = r1\n call sub\n r0 = 1\n exit\n sub: r6 = 1\n *(u64 *)(r10 -32) = r6\n r0 = 1\n "
        "exit"},
       {"r1 = 1\n *(u64 *)(r10 -448) = r1\n call sub\n r0 = 1\n exit\n sub: r1 = 1\n *(u64 *)(r10 -32) = r1\n r0 = 1\n "
        "exit"}},
      {Rule::kPacketReach,
       "packet split boundary",
       {"r2 = *(u32 *)(r1 +4)\n r1 = *(u32 *)(r1 +0)\n r3 = r1\n r3 += 2000\n if r3 > r2 goto out\n r0 = *(u8 *)(r1 "
        "+1999)\n out: r0 = 1\n exit",
        {},
        kOpen,
        9000},
       {"r2 = *(u32 *)(r1 +4)\n r1 = *(u32 *)(r1 +0)\n r3 = r1\n r3 += 2000\n if r3 > r2 goto out\n r0 = *(u8 *)(r1 "
        "+1887)\n out: r0 = 1\n exit",
        {},
        kOpen,
        9000}},
  };
}

std::vector<Case> cases() {
  std::vector<Case> all;
  for (auto&& part : {instructions(), accesses(), calls(), limits()}) all.insert(all.end(), part.begin(), part.end());
  return all;
}

TEST(NfpOffload, EachRuleRefusesItsProgramAloneAndTakesTheTwin) {
  for (const Case& test : cases()) {
    SCOPED_TRACE(std::string(rule_name(test.rule)) + ": " + test.broken.text);
    const auto refusals = offload(test.broken.text, test.broken.maps, test.broken.firmware, test.broken.mtu);
    ASSERT_FALSE(refusals.empty());
    for (const Refusal& refusal : refusals) {
      if (refusal.rule != test.also) {
        EXPECT_EQ(rule_name(refusal.rule), rule_name(test.rule)) << refusal.message;
      }
      EXPECT_NE(refusal.error, 0);
      EXPECT_FALSE(refusal.advice.empty());
    }
    EXPECT_NE(refusals[0].message.find(test.message), std::string::npos) << refusals[0].message;
    for (const Refusal& refusal : offload(test.fixed.text, test.fixed.maps, test.fixed.firmware, test.fixed.mtu))
      ADD_FAILURE() << "the twin is refused: " << rule_name(refusal.rule) << ": " << refusal.message << "\n"
                    << test.fixed.text;
  }
}

TEST(NfpOffload, RefusesKernelFunctions) {
  Program program = verify::testing::program_of("r0 = 1\n exit");
  program.insns[0] = CallKernel{1, 0};
  program.raw = encode(program.insns);
  Facts facts;
  facts.insns.resize(2);
  facts.insns[0].reached = facts.insns[1].reached = true;
  facts.stack_bytes = {0};
  const auto refusals = check_offload(program, facts, {arch::nfp::find_firmware(kOpen), 1500});
  ASSERT_EQ(refusals.size(), 1u);
  EXPECT_EQ(rule_name(refusals[0].rule), rule_name(Rule::kKernelFunction));
  // What is never reached is removed before the driver sees it.
  facts.insns[0].reached = false;
  EXPECT_TRUE(check_offload(program, facts, {arch::nfp::find_firmware(kOpen), 1500}).empty());
}

TEST(NfpOffload, EveryRuleHasAProgram) {
  std::set<std::string_view> tested = {rule_name(Rule::kKernelFunction)};
  for (const Case& test : cases()) tested.insert(rule_name(test.rule));
#define XNIC_NFP_RULE(name, id) EXPECT_TRUE(tested.contains(id)) << id;
  XNIC_NFP_RULES(XNIC_NFP_RULE)
#undef XNIC_NFP_RULE
}

}  // namespace
}  // namespace xnic::compile::target::nfp
