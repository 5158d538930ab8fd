// SPDX-License-Identifier: Apache-2.0
// Random images against a second machine, written the slow and plain way: no decoding, a copy of the whole state before
// each row, big numbers where widths matter. It shares with the model only the types of arch/hxdp.
#include <cstring>

#include "base/rng.hpp"
#include "card_fixture.hpp"

namespace xnic::exec::sim::hxdp {
namespace {

using arch::ebpf::Overloaded;
using U128 = unsigned __int128;
using S128 = __int128;

constexpr uint32_t kPacketBytes = 80;

struct State {
  std::array<uint64_t, 16> r{};
  std::array<uint8_t, 512> stack{};
  std::array<uint8_t, kPacketBytes> packet{};
};

struct Plain {
  enum class End { kOn, kTaken, kExit };
  const isa::Image& image;
  State now{};
  uint32_t row = 0;
  uint32_t verdict = 0;

  static uint64_t mask(unsigned bits) { return bits == 64 ? ~uint64_t{0} : (uint64_t{1} << bits) - 1; }
  static S128 value_signed(uint64_t value, unsigned bits) {
    const U128 low = value & mask(bits);
    return (low >> (bits - 1)) != 0 ? S128(low) - (S128(1) << bits) : S128(low);
  }
  static uint64_t operand(const State& before, const isa::Operand& operand) {
    if (const auto* reg = std::get_if<Reg>(&operand)) return before.r[*reg];
    return static_cast<uint64_t>(int64_t{std::get<Imm>(operand)});
  }
  static bool holds(JumpOp op, unsigned bits, uint64_t a, uint64_t b) {
    a &= mask(bits), b &= mask(bits);
    const S128 x = value_signed(a, bits);
    const S128 y = value_signed(b, bits);
    const bool table[] = {a == b, a > b, a >= b, (a & b) != 0, a != b, x > y, x >= y, a < b, a <= b, x < y, x <= y};
    return table[static_cast<int>(op)];
  }
  static uint64_t compute(AluOp op, unsigned bits, uint64_t a, uint64_t b) {
    a &= mask(bits), b &= mask(bits);
    const S128 x = value_signed(a, bits);
    const S128 y = value_signed(b, bits);
    const unsigned shift = static_cast<unsigned>(b % bits);
    U128 result = 0;
    switch (op) {
      case AluOp::kAdd:
        result = U128(a) + b;
        break;
      case AluOp::kSub:
        result = U128(x - y);
        break;
      case AluOp::kReverseSub:
        result = U128(y - x);
        break;
      case AluOp::kMul:
        result = U128(a) * b;
        break;
      case AluOp::kDiv:
        result = b == 0 ? 0 : a / b;
        break;
      case AluOp::kMod:
        result = b == 0 ? a : a % b;
        break;
      case AluOp::kSdiv:
        result = b == 0 ? 0 : U128(x / y);
        break;
      case AluOp::kSmod:
        result = b == 0 ? a : U128(x % y);
        break;
      case AluOp::kOr:
        result = a | b;
        break;
      case AluOp::kAnd:
        result = a & b;
        break;
      case AluOp::kXor:
        result = a ^ b;
        break;
      case AluOp::kLsh:
        result = U128(a) << shift;
        break;
      case AluOp::kRsh:
        result = a >> shift;
        break;
      case AluOp::kArsh:
        result = U128(x >> shift);
        break;
    }
    return static_cast<uint64_t>(result) & mask(bits);
  }
  // The bytes of a memory operand in `state`, or null outside. The test uses direct spaces only.
  static uint8_t* bytes_of(State& state, const Memory& m) {
    const uint32_t offset = static_cast<uint16_t>(m.offset);
    if (m.space == Space::kStack) return state.stack.data() + offset;
    return offset + m.bytes <= kPacketBytes ? state.packet.data() + offset : nullptr;
  }
  static uint64_t assemble(const uint8_t* at, unsigned bytes, bool big) {
    uint64_t value = 0;
    for (unsigned i = 0; i < bytes; ++i) value |= uint64_t{at[big ? bytes - 1 - i : i]} << (8 * i);
    return value;
  }
  static void disassemble(uint8_t* at, unsigned bytes, bool big, uint64_t value) {
    for (unsigned i = 0; i < bytes; ++i) at[big ? bytes - 1 - i : i] = static_cast<uint8_t>(value >> (8 * i));
  }

  End fault() {
    verdict = 0;
    return End::kExit;
  }
  End jump(uint32_t to) {
    row = to;
    return End::kTaken;
  }
  static unsigned bits_of(Width width) { return width == Width::k64 ? 64 : 32; }

  End lane(const Op& op, State& before) {
    State& after = now;
    return std::visit(
        Overloaded{
            [&](const Alu& o) {
              after.r[o.dst] = compute(o.op, bits_of(o.width), before.r[o.a], operand(before, o.b));
              return End::kOn;
            },
            [&](const Move& o) {
              after.r[o.dst] = operand(before, o.src) & mask(bits_of(o.width));
              return End::kOn;
            },
            [&](const isa::MoveHigh& o) {
              after.r[o.dst] = (before.r[o.a] & mask(32)) + (uint64_t{static_cast<uint32_t>(o.imm)} << 32);
              return End::kOn;
            },
            [&](const isa::SignExtend& o) {
              after.r[o.dst] = static_cast<uint64_t>(value_signed(before.r[o.src], o.bits)) & mask(bits_of(o.width));
              return End::kOn;
            },
            [&](const isa::Swap& o) {
              uint8_t bytes[8];
              disassemble(bytes, o.bits / 8, false, before.r[o.src]);
              after.r[o.dst] = assemble(bytes, o.bits / 8, true);
              return End::kOn;
            },
            [&](const isa::FoldSum& o) {
              uint64_t sum = (before.r[o.a] + operand(before, o.b)) & mask(32);
              while (sum > 0xffff) sum = sum % 0x10000 + sum / 0x10000;
              after.r[o.dst] = o.invert ? 0xffff - sum : sum;
              return End::kOn;
            },
            [&](const isa::Select& o) {
              if (holds(o.op, 64, before.r[o.a], static_cast<uint64_t>(int64_t{o.b})))
                after.r[o.dst] = before.r[o.value];
              return End::kOn;
            },
            [&](const Load& o) {
              const uint8_t* at = bytes_of(before, o.from);
              if (at == nullptr && !o.speculative) return fault();
              uint64_t value = at == nullptr ? 0 : assemble(at, o.from.bytes, o.big_endian);
              if (o.sign_extend) value = static_cast<uint64_t>(value_signed(value, o.from.bytes * 8u));
              after.r[o.dst] = value;
              return End::kOn;
            },
            [&](const Store& o) {
              uint8_t* at = bytes_of(after, o.to);
              if (at == nullptr) return fault();
              disassemble(at, o.to.bytes, o.big_endian, operand(before, o.src));
              return End::kOn;
            },
            [&](const AddMemory& o) {
              const uint8_t* from = bytes_of(before, o.to);
              if (from == nullptr) return fault();
              disassemble(bytes_of(after, o.to), o.to.bytes, false,
                          assemble(from, o.to.bytes, false) + operand(before, o.src));
              return End::kOn;
            },
            [&](const Branch& o) {
              const bool taken = holds(o.op, bits_of(o.width), before.r[o.a], operand(before, o.b));
              return taken ? jump(o.target) : End::kOn;
            },
            [&](const BranchPacket& o) { return (kPacketBytes >= o.bytes) == o.at_least ? jump(o.target) : End::kOn; },
            [&](const Goto& o) { return jump(o.target); },
            [&](const Exit& o) {
              verdict = o.verdict;
              return End::kExit;
            },
            [&](const ExitRegister& o) {
              verdict = static_cast<uint32_t>(before.r[o.src]);
              return End::kExit;
            },
            [](const auto&) { return End::kOn; },
        },
        op);
  }

  void run() {
    for (;;) {
      State before = now;
      const isa::Bundle& bundle = image.rows[row];
      End end = End::kOn;
      for (size_t i = 0; i < bundle.lanes.size() && end == End::kOn; ++i) end = lane(bundle.lanes[i], before);
      if (end == End::kExit) return;
      if (end == End::kOn) ++row;
    }
  }
};

class Maker {
 public:
  explicit Maker(uint64_t seed) : rng_(seed) {}

  // Branches lead forwards, so that every program ends.
  isa::Image image() {
    isa::Image image = image_of(Rows(rng_.range(3, 14), {Nop{}}));
    image.parameters.lanes = static_cast<uint32_t>(rng_.range(1, 8));
    const auto rows = static_cast<uint32_t>(image.rows.size());
    for (row_ = 0; row_ < rows; ++row_) {
      uint32_t written = 0;
      for (uint32_t lane = 0; lane < image.parameters.lanes; ++lane) {
        const Op op = row_ < 2 ? Op(rng_.chance(1, 2) ? Op(Move{Width::k64, reg(), imm()}) : load_op()) : pick(rows);
        const int reg = isa::written_register(op);
        if (reg >= 0 && (written >> reg & 1) != 0) continue;
        if (reg >= 0) written |= 1u << reg;
        image.rows[row_].lanes[lane] = op;
      }
    }
    image.rows.back().lanes[image.parameters.lanes - 1] = ExitRegister{reg()};
    return image;
  }

 private:
  Reg reg() { return static_cast<Reg>(rng_.below(16)); }
  Imm imm() {
    constexpr Imm kOdd[] = {0, 1, -1, 31, 32, 63, 64, 0xffff, 0x10000, INT32_MIN, INT32_MAX};
    return rng_.chance(1, 2) ? kOdd[rng_.below(std::size(kOdd))] : static_cast<Imm>(rng_.next());
  }
  isa::Operand operand() { return rng_.chance(1, 2) ? isa::Operand(reg()) : isa::Operand(imm()); }
  Width width() { return rng_.chance(1, 2) ? Width::k64 : Width::k32; }
  JumpOp condition() { return static_cast<JumpOp>(rng_.below(11)); }
  // A few bytes of stack and packet, so that accesses meet; now and then beyond the packet's end.
  Memory memory(uint8_t bytes) {
    if (rng_.chance(1, 2)) return at(Space::kStack, static_cast<int16_t>(rng_.below(12)), bytes);
    return at(Space::kPacket, static_cast<int16_t>(rng_.chance(1, 40) ? kPacketBytes - 3 : rng_.below(70)), bytes);
  }
  uint8_t size() {
    constexpr uint8_t kSizes[] = {1, 2, 4, 6, 8};
    return kSizes[rng_.below(5)];
  }
  uint32_t target(uint32_t rows) { return static_cast<uint32_t>(rng_.range(row_ + 1, rows - 1)); }
  Op store() {
    const Memory to = memory(size());
    if (rng_.chance(1, 3)) return Store{to, imm(), false};
    return Store{to, reg(), rng_.chance(1, 2)};
  }
  Op load_op() {
    const uint8_t bytes = size();
    return Load{reg(), memory(bytes), bytes <= 4 && rng_.chance(1, 3), rng_.chance(1, 3), rng_.chance(1, 2)};
  }

  Op pick(uint32_t rows) {
    const bool last = row_ + 1 == rows;
    switch (rng_.below(20)) {
      case 0:
        return last ? Op(Nop{}) : Op(Branch{condition(), width(), reg(), operand(), target(rows)});
      case 1:
        return last || rng_.chance(1, 2)
                   ? Op(Nop{})
                   : Op(BranchPacket{rng_.chance(1, 2), static_cast<uint32_t>(rng_.range(78, 82)), target(rows)});
      case 2:
        return last || rng_.chance(3, 4) ? Op(Nop{}) : Op(Goto{target(rows)});
      case 3:
        return rng_.chance(5, 6) ? Op(Nop{}) : Op(Exit{static_cast<uint32_t>(rng_.below(9))});
      case 4:
      case 5:
      case 6:
        return load_op();
      case 7:
      case 8:
        return store();
      case 9:
        return AddMemory{memory(rng_.chance(1, 2) ? 4 : 8), operand()};
      case 10:
        return isa::Select{condition(), reg(), reg(), reg(), static_cast<Imm>(static_cast<int16_t>(imm()))};
      case 11:
        return isa::FoldSum{rng_.chance(1, 2), reg(), reg(), operand()};
      case 12:
        return isa::MoveHigh{reg(), reg(), imm()};
      case 13: {
        const Width w = width();
        constexpr uint8_t kBits[] = {8, 16, 32};
        return isa::SignExtend{w, kBits[rng_.below(w == Width::k64 ? 3 : 2)], reg(), reg()};
      }
      case 14: {
        constexpr uint8_t kBits[] = {16, 32, 64};
        return isa::Swap{kBits[rng_.below(3)], reg(), reg()};
      }
      case 15:
        return Move{width(), reg(), operand()};
      default:
        return Alu{static_cast<AluOp>(rng_.below(isa::kAluOps)), width(), reg(), reg(), operand()};
    }
  }

  base::Rng rng_;
  uint32_t row_ = 0;
};

TEST(HxdpRandomRows, TheModelEqualsAPlainMachine) {
  size_t exits = 0;
  for (uint64_t seed = 1; seed <= 20'000; ++seed) {
    const isa::Image image = Maker(seed).image();
    Runner runner(image);
    ASSERT_NE(runner.card, nullptr) << seed << ": " << runner.error;
    Plain plain{image};
    for (size_t i = 0; i < kPacketBytes; ++i) plain.now.packet[i] = static_cast<uint8_t>(i);
    plain.run();
    runner.run(1, kPacketBytes);
    ASSERT_EQ(runner.verdicts[0].code, plain.verdict) << "seed " << seed;
    const std::vector<uint8_t> bytes = runner.packets[0].bytes();
    ASSERT_TRUE(std::equal(bytes.begin(), bytes.end(), plain.now.packet.begin())) << "seed " << seed;
    exits += plain.verdict > 8;
  }
  EXPECT_GT(exits, 5000u) << "most programs shall end with a register that depends on what came before";
}

}  // namespace
}  // namespace xnic::exec::sim::hxdp
