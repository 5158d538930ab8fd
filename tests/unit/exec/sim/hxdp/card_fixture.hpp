// SPDX-License-Identifier: Apache-2.0
// Images put together row by row, and a card that runs them.
#pragma once

#include <gtest/gtest.h>

#include <initializer_list>
#include <memory>
#include <vector>

#include "exec/sim/hxdp/card.hpp"

namespace xnic::exec::sim::hxdp {

using isa::AddMemory;
using isa::Address;
using isa::Alu;
using isa::AluOp;
using isa::Argument;
using isa::Branch;
using isa::BranchPacket;
using isa::Call;
using isa::CallExit;
using isa::CallSite;
using isa::Exit;
using isa::ExitRegister;
using isa::Goto;
using isa::Imm;
using isa::JumpOp;
using isa::Load;
using isa::Memory;
using isa::Move;
using isa::Nop;
using isa::Op;
using isa::Reg;
using isa::Space;
using isa::Store;
using isa::Width;
using Rows = std::vector<std::vector<Op>>;

inline isa::Image image_of(const Rows& rows) {
  isa::Image image;
  image.program = "test";
  for (const auto& ops : rows) {
    isa::Bundle bundle;
    for (size_t lane = 0; lane < ops.size(); ++lane) bundle.lanes[lane] = ops[lane];
    image.rows.push_back(bundle);
    image.slots.emplace_back().fill(isa::kNoSlot);
  }
  return image;
}

inline Memory at(Space space, int16_t offset, uint8_t bytes) { return {space, 0, 0, bytes, offset}; }
inline Memory through(Reg base, int16_t offset, uint8_t bytes) { return {Space::kRegister, base, 0, bytes, offset}; }
inline Load load(Reg dst, const Memory& from) { return {dst, from, false, false, false}; }
inline Move set(Reg dst, Imm value) { return {Width::k64, dst, value}; }
inline Move copy(Reg dst, Reg src) { return {Width::k64, dst, src}; }
inline CallSite site_of(uint32_t helper, std::initializer_list<Argument> args) {
  CallSite site;
  site.helper = helper;
  std::copy(args.begin(), args.end(), site.args.begin());
  return site;
}

struct Runner {
  explicit Runner(const isa::Image& image, const CardOptions& options = {},
                  std::vector<std::shared_ptr<maps::Map>> maps = {}) {
    auto loaded = std::make_shared<LoadedProgram>();
    loaded->maps = std::move(maps);
    loaded->map_ids.resize(loaded->maps.size(), 7);
    auto made = Card::make(image, loaded, options);
    if (!made) {
      error = made.error().message();
      return;
    }
    card = std::move(*made);
  }
  // Runs `count` packets of `bytes` bytes 0, 1, 2, …; they are left in `packets`.
  void run(size_t count, size_t bytes = 60) {
    std::vector<uint8_t> frame(bytes);
    for (size_t i = 0; i < bytes; ++i) frame[i] = static_cast<uint8_t>(i);
    packets.resize(count);
    verdicts.assign(count, {});
    for (packet::Packet& packet : packets) packet.assign(frame);
    run_packets();
  }
  void run_packets() {
    verdicts.resize(packets.size());
    ASSERT_NE(card, nullptr) << error;
    card->run(packets, verdicts, context);
  }
  uint32_t verdict() {
    run(1);
    return verdicts.empty() ? ~0u : verdicts[0].code;
  }
  // Cycles per packet once the pipeline is full.
  double cycles_per_packet(size_t bytes = 60) {
    run(100, bytes);
    const uint64_t before = card->counters().elapsed;
    run(1000, bytes);
    return static_cast<double>(card->counters().elapsed - before) / 1000;
  }

  std::unique_ptr<Card> card;
  std::string error;
  std::vector<packet::Packet> packets;
  std::vector<Verdict> verdicts;
  uint64_t random_state = 1;
  RunContext context{.random_state = &random_state};
};

}  // namespace xnic::exec::sim::hxdp
