// SPDX-License-Identifier: Apache-2.0
// The model does what arch/hxdp/lane_rules.hpp says: lane 0 stores, lane 1 looks.
#include "arch/hxdp/lane_rules.hpp"

#include "arch/ebpf/map_types.hpp"
#include "card_fixture.hpp"

namespace xnic::exec::sim::hxdp {
namespace {

using arch::hxdp::memory_seen_by;
using arch::hxdp::Op;
using arch::hxdp::Seen;

constexpr arch::hxdp::Imm kOld = 3, kNew = 40;
constexpr uint32_t kLookup = 1, kUpdate = 2;

// Row 0 stores kOld in the stack; row 1 stores kNew in lane 0 and runs the operation in lane 1, which leaves what it
// saw in r1, in the stack's place, or in the map's value.
uint64_t seen_by(const Op& looks, const Load& result) {
  isa::Image image = image_of({{Store{at(Space::kStack, 0, 8), Imm(kOld), false}, Address{Space::kStack, 4, 0, 0}},
                               {Store{at(Space::kStack, 0, 8), Imm(kNew), false}, looks},
                               {Call{1, true, 5}},
                               {result},
                               {ExitRegister{1}}});
  image.maps = {{"m", arch::ebpf::kMapArray, 4, 8, 1}};
  image.call_sites = {site_of(kUpdate, {{Argument::Kind::kMap, 0, 0, 0},
                                        {Argument::Kind::kConstantBytes, 0, 0, 0},
                                        {Argument::Kind::kStack, 0, 0, 0},
                                        {Argument::Kind::kConstant, 0, 0, 0}}),
                      site_of(kLookup, {{Argument::Kind::kMap, 0, 0, 0}, {Argument::Kind::kConstantBytes, 0, 0, 0}})};
  arch::ebpf::MapSpec spec;
  spec.type = arch::ebpf::kMapArray;
  spec.key_size = 4, spec.value_size = 8, spec.max_entries = 1;
  int error = 0;
  Runner runner(image, {}, {maps::Map::create(spec, {}, error)});
  return runner.verdict();
}

uint64_t expected(const Op& op) { return uint64_t(memory_seen_by(op) == Seen::kBeforeRow ? kOld : kNew); }

TEST(HxdpLaneRules, ALoadSeesMemoryAsTheTableSays) {
  const Op op = load(1, at(Space::kStack, 0, 8));
  EXPECT_EQ(seen_by(op, load(2, at(Space::kStack, 0, 8))), expected(op));
}

TEST(HxdpLaneRules, AnAdditionSeesMemoryAsTheTableSays) {
  const Op op = AddMemory{at(Space::kStack, 0, 8), Imm(0)};
  EXPECT_EQ(seen_by(op, load(1, at(Space::kStack, 0, 8))), expected(op));
}

TEST(HxdpLaneRules, AnAtomicSeesMemoryAsTheTableSays) {
  const Op op = arch::hxdp::Atomic{arch::ebpf::AtomicOp::kAdd, true, through(4, 0, 8), 3, 1, 0};
  EXPECT_EQ(seen_by(op, load(2, at(Space::kStack, 0, 8))), expected(op));
}

TEST(HxdpLaneRules, ACallSeesMemoryAsTheTableSays) {
  const Op op = Call{0, false, 0};
  EXPECT_EQ(seen_by(op, load(1, through(5, 0, 8))), expected(op));
}

}  // namespace
}  // namespace xnic::exec::sim::hxdp
