// SPDX-License-Identifier: Apache-2.0
// One pass over the lines, by recursive descent on a cursor that skips blanks; each line makes one instruction. Jump
// targets are noted on the way and filled in at the end, when all labels are known. Whatever comes out encodes and
// decodes again: sizes, ranges and targets are checked here with the line at hand.
#include "arch/ebpf/assemble.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <limits>
#include <map>
#include <optional>

#include "arch/ebpf/helpers.hpp"
#include "arch/ebpf/text_tables.hpp"

namespace xnic::arch::ebpf {
namespace {

using base::ErrorKind;
using base::Result;
using Parsed = Result<Instruction>;

bool is_word(char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '.'; }

// What is left of a line. Each reader either takes what it names or leaves the cursor where it was.
class Cursor {
 public:
  explicit Cursor(std::string_view line) : rest_(line) { skip(); }

  bool at_end() const { return rest_.empty(); }
  std::string_view rest() const { return rest_; }

  bool take(std::string_view text) {
    if (rest_.substr(0, text.size()) != text) return false;
    // A word ends where the text ends: "lock" does not begin "locked".
    if (is_word(text.back()) && rest_.size() > text.size() && is_word(rest_[text.size()])) return false;
    advance(text.size());
    return true;
  }
  bool take_prefix(std::string_view text) {
    if (rest_.substr(0, text.size()) != text) return false;
    rest_.remove_prefix(text.size());
    return true;
  }
  std::string_view word() {
    size_t n = 0;
    while (n < rest_.size() && is_word(rest_[n])) ++n;
    const std::string_view found = rest_.substr(0, n);
    advance(n);
    return found;
  }
  std::optional<Reg> reg(Width width) {
    const Cursor before = *this;
    const std::string_view text = word();
    unsigned number = kRegCount;
    if (text.size() >= 2 && text[0] == (width == Width::k64 ? 'r' : 'w')) {
      auto [end, error] = std::from_chars(text.data() + 1, text.data() + text.size(), number);
      if (error != std::errc{} || end != text.data() + text.size()) number = kRegCount;
    }
    if (number < kRegCount) return static_cast<Reg>(number);
    *this = before;
    return std::nullopt;
  }
  // A decimal or 0x number with an optional sign, as 64 bits; `is_hex` tells how it was written.
  std::optional<uint64_t> number(bool* is_hex = nullptr) {
    const Cursor before = *this;
    const bool negative = take("-");
    if (!negative) take("+");
    const bool hex = take_prefix("0x");
    if (is_hex) *is_hex = hex;
    uint64_t value = 0;
    auto [end, error] = std::from_chars(rest_.data(), rest_.data() + rest_.size(), value, hex ? 16 : 10);
    if (error != std::errc{}) {
      *this = before;
      return std::nullopt;
    }
    advance(static_cast<size_t>(end - rest_.data()));
    return negative ? 0 - value : value;
  }

 private:
  void advance(size_t n) {
    rest_.remove_prefix(n);
    skip();
  }
  void skip() {
    while (!rest_.empty() && std::isspace(static_cast<unsigned char>(rest_.front()))) rest_.remove_prefix(1);
  }
  std::string_view rest_;
};

// Longest word of the table that the text begins with (so "s>>=" is not "s>").
template <class Table>
auto take_word(Cursor& cursor, const Table& table) -> std::optional<decltype(std::begin(table)->first)> {
  const auto* best = std::end(table);
  for (const auto* row = std::begin(table); row != std::end(table); ++row) {
    const bool fits = cursor.rest().substr(0, row->second.size()) == row->second;
    if (fits && (best == std::end(table) || row->second.size() > best->second.size())) best = row;
  }
  if (best == std::end(table) || !cursor.take(best->second)) return std::nullopt;
  return best->first;
}

struct MemoryText {
  Size size;
  bool sign_extend;
  Reg base;
  int16_t offset;
};

class Assembler {
 public:
  Result<std::vector<Instruction>> run(std::string_view text);

 private:
  Result<void> line(std::string_view text);
  Parsed statement();
  Parsed jump_if();
  Parsed call();
  Parsed store();
  Parsed locked();
  Parsed store_release();
  Parsed assignment(Reg dst, Width width);
  Parsed value(Reg dst, Width width);
  Parsed word_value(Reg dst);
  Parsed number_value(Reg dst, Width width);
  Parsed packet_load(Reg dst, Size size);
  Parsed map_reference(Reg dst);
  Parsed variable(Reg dst);
  Parsed atomic(Reg result);
  Parsed load_acquire(Reg dst);
  Result<MemoryText> memory();
  Result<Operand> operand(Width width);
  Result<Imm> imm();
  Result<void> target(bool may_be_short);
  Result<void> expect(std::string_view text);
  Result<void> resolve();

  template <class... Args>
  base::Unexpected fail(fmt::format_string<Args...> format, Args&&... args) const {
    return base::make_error(ErrorKind::kBadInput, fmt::format("line {}", line_), format, std::forward<Args>(args)...);
  }
  base::Unexpected unexpected(std::string_view wanted) const {
    return fail("expected {}, found \"{}\"", wanted, cursor_.rest());
  }

  // A jump target as written; filled into the instruction at `slot` when all labels are known.
  struct Target {
    Slot slot;
    unsigned line;
    std::string label;  // empty: pc-relative
    int64_t displacement;
    bool is_short;  // the wire form has 16 bits for it
  };

  Cursor cursor_{""};
  unsigned line_ = 0;
  std::vector<Instruction> insns_;
  std::map<std::string, Slot, std::less<>> labels_;
  std::vector<Target> targets_;
};

Result<void> Assembler::expect(std::string_view text) {
  if (!cursor_.take(text)) return unexpected(fmt::format("\"{}\"", text));
  return {};
}

Result<Imm> Assembler::imm() {
  auto number = cursor_.number();
  if (!number) return unexpected("a number");
  const auto as_signed = static_cast<int64_t>(*number);
  if (as_signed < std::numeric_limits<int32_t>::min() || as_signed > std::numeric_limits<uint32_t>::max()) {
    return fail("{} does not fit in 32 bits", as_signed);
  }
  return static_cast<Imm>(*number);
}

Result<Operand> Assembler::operand(Width width) {
  if (auto reg = cursor_.reg(width)) return *reg;
  XNIC_ASSIGN(Imm number, imm());
  return number;
}

// "pc+3", "+3", or a label.
Result<void> Assembler::target(bool is_short) {
  Target target{static_cast<Slot>(insns_.size()), line_, "", 0, is_short};
  cursor_.take_prefix("pc");
  if (auto displacement = cursor_.number()) {
    target.displacement = static_cast<int64_t>(*displacement);
  } else {
    target.label = cursor_.word();
    if (target.label.empty()) return unexpected("a label or a displacement");
  }
  targets_.push_back(target);
  return {};
}

// "(u32 *)(r6 +4)"
Result<MemoryText> Assembler::memory() {
  MemoryText found{};
  XNIC_TRY(expect("("));
  if (auto size = take_word(cursor_, text::kSizeWords)) {
    found.size = *size;
  } else if (auto signed_size = take_word(cursor_, text::kSignedSizeWords)) {
    found.size = *signed_size;
    found.sign_extend = true;
  } else {
    return unexpected("a type of memory (u8 to u64, s8 to s32)");
  }
  XNIC_TRY(expect("*"));
  XNIC_TRY(expect(")"));
  if (cursor_.rest().substr(0, 4) == "skb[") return found;  // of the packet: packet_load() reads on
  XNIC_TRY(expect("("));
  auto base = cursor_.reg(Width::k64);
  if (!base) return unexpected("a 64-bit register");
  found.base = *base;
  if (!cursor_.take(")")) {
    const bool minus = cursor_.take("-");  // llvm-objdump writes a blank between sign and number
    if (!minus) cursor_.take("+");
    auto number = cursor_.number();
    if (!number) return unexpected("an offset");
    const int64_t offset = minus ? -static_cast<int64_t>(*number) : static_cast<int64_t>(*number);
    if (offset != static_cast<int16_t>(offset)) return fail("offset {} does not fit in 16 bits", offset);
    found.offset = static_cast<int16_t>(offset);
    XNIC_TRY(expect(")"));
  }
  return found;
}

Parsed Assembler::statement() {
  if (cursor_.take("exit")) return Exit{};
  if (cursor_.take("if")) return jump_if();
  if (cursor_.take("goto")) {
    XNIC_TRY(target(true));
    return Goto{false, 0};
  }
  if (cursor_.take("gotol")) {
    XNIC_TRY(target(false));
    return Goto{true, 0};
  }
  if (cursor_.take("may_goto")) {
    XNIC_TRY(target(true));
    return MayGoto{0};
  }
  if (cursor_.take("call")) return call();
  if (cursor_.take("callx")) {
    auto reg = cursor_.reg(Width::k64);
    if (!reg) return unexpected("a register");
    return CallRegister{*reg};
  }
  if (cursor_.take("lock")) return locked();
  if (cursor_.take("store_release")) return store_release();
  if (cursor_.take("*")) return store();
  for (Width width : {Width::k64, Width::k32}) {
    if (auto dst = cursor_.reg(width)) return assignment(*dst, width);
  }
  return unexpected("an instruction");
}

Parsed Assembler::jump_if() {
  Width width = Width::k64;
  auto left = cursor_.reg(width);
  if (!left) {
    width = Width::k32;
    left = cursor_.reg(width);
  }
  if (!left) return unexpected("a register");
  auto op = take_word(cursor_, text::kJumpWords);
  if (!op) return unexpected("a comparison");
  XNIC_ASSIGN(auto right, operand(width));
  XNIC_TRY(expect("goto"));
  XNIC_TRY(target(true));
  return Jump{*op, width, *left, right, 0};
}

// "call pc+3", "call label", "call bpf_ktime_get_ns", "call bpf_ktime_get_ns#5", "call 5", "call kernel-function#77".
Parsed Assembler::call() {
  if (cursor_.take("kernel-function")) {
    XNIC_TRY(expect("#"));
    XNIC_ASSIGN(Imm id, imm());
    int64_t fd_index = 0;
    if (cursor_.take(":")) fd_index = static_cast<int64_t>(cursor_.number().value_or(uint64_t{1} << 32));
    if (fd_index != static_cast<int16_t>(fd_index)) return fail("the BTF index must fit in 16 bits");
    return CallKernel{static_cast<uint32_t>(id), static_cast<int16_t>(fd_index)};
  }
  const std::string_view text = cursor_.rest();
  if (text.substr(0, 3) == "pc+" || text.substr(0, 3) == "pc-") {
    XNIC_TRY(target(false));
    if (cursor_.take_prefix("#")) cursor_.word();  // the name that bpftool adds
    return CallLocal{0};
  }
  const bool by_name = !text.empty() && !std::isdigit(static_cast<unsigned char>(text[0])) && text[0] != '#';
  std::string_view name = by_name ? cursor_.word() : "";
  if (!by_name || cursor_.take("#")) {
    cursor_.take("#");
    XNIC_ASSIGN(Imm id, imm());
    return CallHelper{static_cast<uint32_t>(id)};
  }
  const bool prefixed = name.substr(0, 4) == "bpf_";
  if (!prefixed) {
    targets_.push_back({static_cast<Slot>(insns_.size()), line_, std::string(name), 0, false});
    return CallLocal{0};
  }
  name.remove_prefix(4);
  for (HelperId id = 1; helper_name(id) != "unknown"; ++id) {
    if (helper_name(id) == name) return CallHelper{id};
  }
  return fail("no helper is called bpf_{}", name);
}

Parsed Assembler::store() {
  XNIC_ASSIGN(auto to, memory());
  if (to.sign_extend) return fail("a store has no sign: use u8, u16, u32 or u64");
  XNIC_TRY(expect("="));
  XNIC_ASSIGN(auto right, operand(Width::k64));
  return Store{to.size, to.base, to.offset, right};
}

Parsed Assembler::locked() {
  XNIC_TRY(expect("*"));
  XNIC_ASSIGN(auto at, memory());
  for (const auto& words : text::kAtomicWords) {
    if (!cursor_.take(words.assignment)) continue;
    auto src = cursor_.reg(Width::k64);
    if (!src) return unexpected("a register");
    if (at.size != Size::k4 && at.size != Size::k8) return fail("atomic operations work on u32 and u64");
    return Atomic{words.op, false, at.size, at.base, *src, at.offset};
  }
  return unexpected("\"+=\", \"|=\", \"&=\" or \"^=\"");
}

Parsed Assembler::store_release() {
  XNIC_TRY(expect("("));
  XNIC_ASSIGN(auto at, memory());
  XNIC_TRY(expect(","));
  auto src = cursor_.reg(Width::k64);
  if (!src) return unexpected("a register");
  XNIC_TRY(expect(")"));
  return Atomic{AtomicOp::kStoreRelease, false, at.size, at.base, *src, at.offset};
}

Parsed Assembler::assignment(Reg dst, Width width) {
  auto op = take_word(cursor_, text::kBinaryWords);
  if (!op) return unexpected("an operator");
  if (*op == BinaryOp::kMov) return value(dst, width);
  XNIC_ASSIGN(auto right, operand(width));
  return Binary{*op, width, dst, right};
}

// What may stand right of "=".
Parsed Assembler::value(Reg dst, Width width) {
  if (auto src = cursor_.reg(width)) return Binary{BinaryOp::kMov, width, dst, *src};
  for (uint8_t bits : {8, 16, 32}) {
    if (!cursor_.take(fmt::format("(s{})", bits))) continue;
    auto src = cursor_.reg(width);
    if (!src) return unexpected("a register of the same width");
    if (bits == 32 && width == Width::k32) return fail("(s32) needs 64-bit registers");
    return MovSx{width, bits, dst, *src};
  }
  const Cursor before = cursor_;
  if (cursor_.take("-")) {
    if (auto src = cursor_.reg(width)) {
      if (*src != dst) return fail("a register can be negated only in place");
      return Neg{width, dst};
    }
    cursor_ = before;
  }
  const char first = cursor_.rest().empty() ? '\0' : cursor_.rest().front();
  if (std::isdigit(static_cast<unsigned char>(first)) || first == '-' || first == '+') return number_value(dst, width);
  if (width == Width::k32) return unexpected("a number or a 32-bit register");
  return word_value(dst);
}

Parsed Assembler::number_value(Reg dst, Width width) {
  bool hex = false;
  const Cursor before = cursor_;
  const auto number = cursor_.number(&hex);
  if (!number) return unexpected("a number");
  const bool wide = cursor_.take("ll") || (hex && width == Width::k64);
  if (wide && width == Width::k32) return fail("16-byte loads need a 64-bit register");
  if (wide) return LoadImm64{dst, *number};
  cursor_ = before;
  XNIC_ASSIGN(Imm small, imm());
  return Binary{BinaryOp::kMov, width, dst, small};
}

// Right-hand sides that begin with a word or "*": memory, byte order, references, atomics.
Parsed Assembler::word_value(Reg dst) {
  if (cursor_.take("*")) {
    XNIC_ASSIGN(auto from, memory());
    if (cursor_.take("skb")) return packet_load(dst, from.size);
    if (from.sign_extend && from.size == Size::k8) return fail("there is no s64 load");
    return Load{from.size, from.sign_extend, dst, from.base, from.offset};
  }
  for (const auto& [kind, name] : text::kSwapWords) {
    for (uint8_t bits : {16, 32, 64}) {
      if (!cursor_.take(fmt::format("{}{}", name, bits))) continue;
      auto src = cursor_.reg(Width::k64);
      if (!src || *src != dst) return fail("byte order can be changed only in place");
      return Swap{kind, bits, dst};
    }
  }
  if (cursor_.take("map")) return map_reference(dst);
  if (cursor_.take("subprog")) {
    XNIC_TRY(expect("["));
    XNIC_TRY(target(false));
    XNIC_TRY(expect("]"));
    return LoadFunction{dst, 0};
  }
  if (cursor_.take("variable")) return variable(dst);
  if (cursor_.take("load_acquire")) return load_acquire(dst);
  if (cursor_.take_prefix("atomic64_") || cursor_.take_prefix("atomic_")) return atomic(dst);
  return unexpected("a value");
}

// After "r0 = *(u16 *)skb": "[12]" or "[r2 + 12]".
Parsed Assembler::packet_load(Reg dst, Size size) {
  if (dst != Reg::kR0) return fail("a packet load goes to r0");
  if (size == Size::k8) return fail("packet loads have 1, 2 or 4 bytes");
  XNIC_TRY(expect("["));
  auto src = cursor_.reg(Width::k64);
  if (src) cursor_.take("+");
  XNIC_ASSIGN(Imm offset, imm());
  XNIC_TRY(expect("]"));
  return LoadPacket{size, src.has_value(), src.value_or(Reg::kR0), offset};
}

// After "map": "[3]" or "[3][0]+8".
Parsed Assembler::map_reference(Reg dst) {
  XNIC_TRY(expect("["));
  XNIC_ASSIGN(Imm map, imm());
  XNIC_TRY(expect("]"));
  if (!cursor_.take("[")) return LoadMap{dst, static_cast<MapIndex>(map)};
  XNIC_TRY(expect("0"));
  XNIC_TRY(expect("]"));
  XNIC_TRY(expect("+"));
  XNIC_ASSIGN(Imm offset, imm());
  return LoadMapValue{dst, static_cast<MapIndex>(map), static_cast<uint32_t>(offset)};
}

Parsed Assembler::variable(Reg dst) {
  XNIC_TRY(expect("["));
  XNIC_ASSIGN(Imm id, imm());
  XNIC_TRY(expect(":"));
  XNIC_ASSIGN(Imm fd, imm());
  XNIC_TRY(expect("]"));
  return LoadKernelVariable{dst, static_cast<uint32_t>(id), static_cast<uint32_t>(fd)};
}

Parsed Assembler::load_acquire(Reg dst) {
  XNIC_TRY(expect("("));
  XNIC_ASSIGN(auto from, memory());
  XNIC_TRY(expect(")"));
  return Atomic{AtomicOp::kLoadAcquire, false, from.size, dst, from.base, from.offset};
}

// After "rN = atomic_": "fetch_add((u64 *)(r1 +0), rN)", "xchg(…, rN)", "cmpxchg(…, r0, rM)".
Parsed Assembler::atomic(Reg result) {
  AtomicOp op = AtomicOp::kXchg;
  const bool compares = cursor_.take("cmpxchg");
  if (compares) {
    op = AtomicOp::kCmpxchg;
  } else if (!cursor_.take("xchg")) {
    const std::string_view name = cursor_.word();
    const auto* at = std::find_if(std::begin(text::kAtomicWords), std::end(text::kAtomicWords),
                                  [&](const auto& words) { return name == fmt::format("fetch_{}", words.name); });
    if (at == std::end(text::kAtomicWords)) return fail("no atomic operation is called {}", name);
    op = at->op;
  }
  XNIC_TRY(expect("("));
  XNIC_ASSIGN(auto at, memory());
  XNIC_TRY(expect(","));
  if (compares) {
    XNIC_TRY(expect("r0"));
    XNIC_TRY(expect(","));
  }
  auto src = cursor_.reg(Width::k64);
  if (!src) return unexpected("a register");
  XNIC_TRY(expect(")"));
  if (at.size != Size::k4 && at.size != Size::k8) return fail("atomic operations work on u32 and u64");
  if (result != (compares ? Reg::kR0 : *src)) return fail("the old value goes to {}", compares ? "r0" : "the operand");
  return Atomic{op, true, at.size, at.base, *src, at.offset};
}

Result<void> Assembler::line(std::string_view text) {
  text = text.substr(0, std::min(text.find(';'), text.find("//")));
  cursor_ = Cursor(text);
  // "name:", also the slot number at the head of a line of listing(), whose "(bf)" is passed over too.
  while (true) {
    const Cursor before = cursor_;
    const std::string_view name = cursor_.word();
    if (name.empty() || !cursor_.take(":")) {
      cursor_ = before;
      break;
    }
    if (!labels_.emplace(name, static_cast<Slot>(insns_.size())).second) return fail("label {} is defined twice", name);
  }
  if (cursor_.rest().size() > 3 && cursor_.rest()[0] == '(' && cursor_.rest()[3] == ')' && cursor_.rest()[1] != 's') {
    cursor_ = Cursor(cursor_.rest().substr(4));
  }
  if (cursor_.at_end()) return {};
  XNIC_ASSIGN(auto insn, statement());
  if (!cursor_.at_end()) return unexpected("the end of the line");
  insns_.push_back(insn);
  if (is_wide(insn)) insns_.emplace_back(WideTail{});
  return {};
}

Result<void> Assembler::resolve() {
  for (const Target& target : targets_) {
    line_ = target.line;
    int64_t to = int64_t{target.slot} + 1 + target.displacement;
    if (!target.label.empty()) {
      auto label = labels_.find(target.label);
      if (label == labels_.end()) return fail("label {} is not defined", target.label);
      to = label->second;
    }
    if (to < 0 || to >= static_cast<int64_t>(insns_.size())) return fail("the jump leaves the program (slot {})", to);
    if (std::holds_alternative<WideTail>(insns_[to])) return fail("the jump goes into a 16-byte load (slot {})", to);
    const int64_t distance = to - target.slot - 1;
    if (target.is_short && distance != static_cast<int16_t>(distance))
      return fail("the jump is too far ({})", distance);
    std::visit(
        [&](auto& insn) {
          if constexpr (requires { insn.target; }) insn.target = static_cast<Slot>(to);
        },
        insns_[target.slot]);
  }
  return {};
}

Result<std::vector<Instruction>> Assembler::run(std::string_view text) {
  while (!text.empty()) {
    ++line_;
    const size_t end = std::min(text.find('\n'), text.size());
    XNIC_TRY(line(text.substr(0, end)));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  XNIC_TRY(resolve());
  return std::move(insns_);
}

}  // namespace

Result<std::vector<Instruction>> assemble(std::string_view text) { return Assembler().run(text); }

}  // namespace xnic::arch::ebpf
