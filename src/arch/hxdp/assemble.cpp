// SPDX-License-Identifier: Apache-2.0
// From text to operations: a scanner over one line, one function a group of forms. "|" parts operations and is the "or"
// of arithmetic, too: behind a register it is "or" when an operand follows that is not the start of "r5 = …".
#include <algorithm>
#include <charconv>
#include <optional>

#include "arch/hxdp/text.hpp"
#include "arch/hxdp/text_tables.hpp"
#include "base/check.hpp"

namespace xnic::arch::hxdp {

namespace {

using namespace text;

class Scanner {
 public:
  Scanner(std::string_view text, std::vector<CallSite>& sites) : rest_(text), sites_(sites) {}

  // Parses one operation, or sets `wrong`.
  std::optional<Op> op();
  bool at_end() {
    skip();
    return rest_.empty() || rest_.front() == ';';
  }
  bool eat(std::string_view word) {
    skip();
    if (!rest_.starts_with(word)) return false;
    // Words end where letters do.
    if (std::isalnum(static_cast<unsigned char>(word.back())) && rest_.size() > word.size() &&
        (std::isalpha(static_cast<unsigned char>(rest_[word.size()])) || rest_[word.size()] == '_'))
      return false;
    rest_.remove_prefix(word.size());
    return true;
  }
  std::optional<int64_t> number() {
    skip();
    int64_t value = 0;
    const bool plus = rest_.starts_with('+');
    const char* first = rest_.data() + (plus ? 1 : 0);
    const auto [end, error] = std::from_chars(first, rest_.data() + rest_.size(), value);
    if (error != std::errc()) return fail("a number");
    rest_.remove_prefix(size_t(end - rest_.data()));
    return value;
  }
  std::string wrong;

 private:
  void skip() {
    while (!rest_.empty() && rest_.front() == ' ') rest_.remove_prefix(1);
  }
  std::nullopt_t fail(std::string_view expected) {
    if (wrong.empty()) wrong = "expected " + std::string(expected) + " at \"" + std::string(rest_.substr(0, 20)) + "\"";
    return std::nullopt;
  }
  bool need(std::string_view word) { return eat(word) || (fail("\"" + std::string(word) + "\""), false); }
  // Longest first, so that ">" does not hide ">=".
  template <size_t N>
  std::optional<size_t> one_of(const std::string_view (&words)[N]) {
    std::optional<size_t> best;
    skip();
    for (size_t i = 0; i < N; i++) {
      if (words[i].empty() || !rest_.starts_with(words[i])) continue;
      if (!best || words[i].size() > words[*best].size()) best = i;
    }
    if (best) rest_.remove_prefix(words[*best].size());
    return best;
  }
  // "r7" or "w7": a letter and digits.
  bool at_register(char letter) {
    skip();
    return rest_.size() > 1 && rest_[0] == letter && std::isdigit(static_cast<unsigned char>(rest_[1]));
  }
  Reg reg(char letter = 'r') {
    if (!at_register(letter)) return fail(std::string("register ") + letter), Reg(0);
    rest_.remove_prefix(1);
    const auto n = number();
    if (n && (*n < 0 || *n >= int64_t(kRegisters))) fail("a register up to 15");
    return Reg(n.value_or(0));
  }
  Operand operand(Width width) {
    const char letter = width == Width::k64 ? 'r' : 'w';
    if (at_register(letter)) return reg(letter);
    return Imm(number().value_or(0));
  }
  bool or_follows();
  std::optional<Memory> memory();
  std::optional<Op> assignment();
  std::optional<Op> from_registers(Width width, Reg dst);
  std::optional<Op> to_memory(const Memory& to);
  std::optional<Op> atomic(bool fetch, Reg dst);
  std::optional<Op> branch();
  std::optional<uint16_t> site();
  Argument argument();

  std::string_view rest_;
  std::vector<CallSite>& sites_;
};

// Whether the "|" that comes is arithmetic.
bool Scanner::or_follows() {
  const std::string_view before = rest_;
  bool follows = eat("|");
  if (follows && (at_register('r') || at_register('w'))) {
    rest_.remove_prefix(1);
    number();
    follows = !eat("=");
  } else if (follows) {
    skip();
    follows =
        !rest_.empty() && (std::isdigit(static_cast<unsigned char>(rest_[0])) ||
                           (rest_.size() > 1 && rest_[0] == '-' && std::isdigit(static_cast<unsigned char>(rest_[1]))));
  }
  rest_ = before;
  return follows;
}

std::optional<Memory> Scanner::memory() {
  const std::string_view before = rest_;
  const auto space = one_of(kMemoryWords);
  if (!space || rest_.empty() || !std::isdigit(static_cast<unsigned char>(rest_[0]))) {
    rest_ = before;
    return std::nullopt;
  }
  Memory m{Space(*space), 0, 0, uint8_t(number().value_or(0)), 0};
  need("[");
  if (m.space == Space::kRegister) m.base = reg();
  if (m.space == Space::kMapValue) {
    m.map = MapIndex(number().value_or(0));
    need(":");
  }
  m.offset = int16_t(uint16_t(number().value_or(0)));
  need("]");
  return m;
}

Argument Scanner::argument() {
  using Kind = Argument::Kind;
  const auto offset = [&] { return number().value_or(0); };
  if (at_register('r')) return {Kind::kRegister, reg(), 0, 0};
  if (eat("bytes")) {
    if (at_register('r')) return {Kind::kRegisterBytes, reg(), 0, 0};
    return {Kind::kConstantBytes, 0, 0, offset()};
  }
  if (eat("stack")) return {Kind::kStack, 0, 0, offset()};
  if (eat("data")) return {Kind::kPacket, 0, 0, offset()};
  if (eat("ctx")) return {Kind::kContext, 0, 0, offset()};
  if (eat("map")) return {Kind::kMap, 0, MapIndex(number().value_or(0)), 0};
  if (eat("value")) {
    const auto map = MapIndex(number().value_or(0));
    return {Kind::kMapValue, 0, map, offset()};
  }
  return {Kind::kConstant, 0, 0, offset()};
}

// "call NAME(arguments)", behind "call".
std::optional<uint16_t> Scanner::site() {
  skip();
  const size_t length = rest_.find('(');
  if (length == std::string_view::npos) return fail("\"(\"");
  const std::string_view name = rest_.substr(0, length);
  CallSite site;
  if (const auto* helper = ebpf::find_helper(name)) {
    site.helper = helper->id;
  } else {
    return fail("a helper");
  }
  rest_.remove_prefix(length + 1);
  for (size_t i = 0; i < site.args.size() && !eat(")"); i++) {
    if (i > 0 && !need(",")) return std::nullopt;
    skip();
    if (rest_.starts_with("-,") || rest_.starts_with("-)"))
      rest_.remove_prefix(1);
    else
      site.args[i] = argument();
    if (i + 1 == site.args.size() && !need(")")) return std::nullopt;
  }
  if (!wrong.empty()) return std::nullopt;
  const auto same = std::find(sites_.begin(), sites_.end(), site);
  if (same != sites_.end()) return uint16_t(same - sites_.begin());
  sites_.push_back(site);
  return uint16_t(sites_.size() - 1);
}

std::optional<Op> Scanner::atomic(bool fetch, Reg dst) {
  const auto which = one_of(kAtomicWords);
  if (!which) return fail("an atomic operation");
  const auto to = memory();
  if (!to || !need(",")) return fail("a place in memory");
  Atomic op{AtomicOp(*which), fetch, *to, reg(), dst, 0};
  if (op.op == AtomicOp::kCmpxchg && need(",")) op.expected = reg();
  return op;
}

// "r1 + 5", "r1", "-5", "w2 high 5" behind "r3 =" or "w3 =".
std::optional<Op> Scanner::from_registers(Width width, Reg dst) {
  const char letter = width == Width::k64 ? 'r' : 'w';
  if (width == Width::k64 && at_register('w')) {
    const Reg a = reg('w');
    if (!need("high")) return std::nullopt;
    return MoveHigh{dst, a, Imm(number().value_or(0))};
  }
  if (eat("s8") || eat("s16") || eat("s32")) {
    const uint8_t bits = rest_.data()[-1] == '8' ? 8 : rest_.data()[-1] == '6' ? 16 : 32;
    return SignExtend{width, bits, dst, reg()};
  }
  if (!at_register(letter)) return Move{width, dst, Imm(number().value_or(0))};
  const Reg a = reg(letter);
  if (width == Width::k64 && eat("if")) {
    Select op{JumpOp::kEq, dst, 0, a, 0};
    op.a = reg();
    const auto jump = one_of(kJumpWords);
    if (!jump) return fail("a comparison");
    op.op = JumpOp(*jump);
    op.b = Imm(number().value_or(0));
    return op;
  }
  if (skip(), at_end() || (rest_.front() == '|' && !or_follows())) return Move{width, dst, a};
  const auto alu = one_of(kAluWords);
  if (!alu) return fail("an operation");
  return Alu{AluOp(*alu), width, dst, a, operand(width)};
}

// What begins with a register: "r3 = …".
std::optional<Op> Scanner::assignment() {
  const Width width = at_register('r') ? Width::k64 : Width::k32;
  const Reg dst = reg(width == Width::k64 ? 'r' : 'w');
  if (!need("=")) return std::nullopt;
  if (width == Width::k32) return from_registers(width, dst);
  if (eat("call")) {
    const auto to = site();
    return to ? std::optional<Op>(Call{*to, true, dst}) : std::nullopt;
  }
  if (eat("atomic")) return atomic(true, dst);
  for (const uint8_t bits : {16, 32, 64}) {
    if (eat("swap" + std::to_string(bits))) return Swap{bits, dst, reg()};
  }
  if (const bool invert = eat("~fold"); invert || eat("fold")) {
    const Reg a = reg();
    if (!need("+")) return std::nullopt;
    return FoldSum{invert, dst, a, operand(Width::k64)};
  }
  if (const auto from = memory()) {
    Load op{dst, *from, false, false, false};
    op.sign_extend = eat(".s");
    op.big_endian = eat(".be");
    op.speculative = eat(".spec");
    return op;
  }
  if (at_register('r') || at_register('w') || rest_.starts_with("s8") || rest_.starts_with("s16") ||
      rest_.starts_with("s32"))
    return from_registers(width, dst);
  if (const auto space = one_of(kAddressWords)) {
    Address op{Space(*space), dst, 0, 0};
    if (op.space == Space::kMapValue || op.space == Space::kMap) op.map = MapIndex(number().value_or(0));
    op.offset = Imm(number().value_or(0));
    return op;
  }
  return from_registers(width, dst);
}

std::optional<Op> Scanner::to_memory(const Memory& to) {
  if (eat("+=")) return AddMemory{to, operand(Width::k64)};
  if (!need("=")) return std::nullopt;
  const Operand src = operand(Width::k64);
  return Store{to, src, eat(".be")};
}

std::optional<Op> Scanner::branch() {
  const auto target = [&]() -> Row { return need("goto") ? Row(number().value_or(0)) : 0; };
  if (eat("packet")) {
    const bool at_least = eat(">=");
    if (!at_least && !need("<")) return std::nullopt;
    const auto bytes = uint32_t(number().value_or(0));
    return BranchPacket{at_least, bytes, target()};
  }
  const Width width = at_register('w') ? Width::k32 : Width::k64;
  const Reg a = reg(width == Width::k64 ? 'r' : 'w');
  const auto jump = one_of(kJumpWords);
  if (!jump) return fail("a comparison");
  const Operand b = operand(width);
  return Branch{JumpOp(*jump), width, a, b, target()};
}

std::optional<Op> Scanner::op() {
  if (at_register('r') || at_register('w')) return assignment();
  if (eat("if")) return branch();
  if (eat("goto")) return Goto{Row(number().value_or(0))};
  if (eat("call")) {
    const auto to = site();
    return to ? std::optional<Op>(Call{*to, false, 0}) : std::nullopt;
  }
  if (eat("atomic")) return atomic(false, 0);
  if (eat("exit")) {
    if (eat("call")) {
      const auto to = site();
      return to ? std::optional<Op>(CallExit{*to}) : std::nullopt;
    }
    if (at_register('w')) return ExitRegister{reg('w')};
    return Exit{uint32_t(number().value_or(0))};
  }
  if (const auto to = memory()) return to_memory(*to);
  if (eat("-")) return Nop{};
  return fail("an operation");
}

}  // namespace

base::Result<Op> assemble_op(std::string_view text, std::vector<CallSite>& sites) {
  Scanner scanner(text, sites);
  const auto op = scanner.op();
  if (op && scanner.wrong.empty() && scanner.at_end()) return *op;
  return base::make_error(base::ErrorKind::kBadInput, std::string(text), "{}",
                          scanner.wrong.empty() ? "the operation ends before the text does" : scanner.wrong);
}

base::Result<void> assemble(std::string_view listing, Image& image) {
  image.rows.clear();
  image.slots.clear();
  size_t line_number = 0;
  while (!listing.empty()) {
    const size_t length = std::min(listing.find('\n'), listing.size());
    const std::string_view line = listing.substr(0, length);
    listing.remove_prefix(std::min(length + 1, listing.size()));
    line_number++;
    Scanner scanner(line, image.call_sites);
    if (scanner.at_end()) continue;
    const auto wrong = [&](const std::string& why) {
      return base::make_error(base::ErrorKind::kBadInput, "line " + std::to_string(line_number), "{}", why);
    };
    // A row number, if one stands there, is that of the row.
    if (const size_t bar = line.find_first_not_of(' '); std::isdigit(static_cast<unsigned char>(line[bar]))) {
      const auto row = scanner.number();
      if (!row || *row != int64_t(image.rows.size())) return wrong("rows are numbered from 0, one by one");
      if (!scanner.eat("|")) return wrong("expected \"|\" behind the row's number");
    }
    Bundle bundle;
    for (uint32_t lane = 0;; lane++) {
      const auto op = scanner.op();
      if (!op || !scanner.wrong.empty()) return wrong(scanner.wrong);
      if (lane >= image.parameters.lanes) return wrong("more operations than lanes");
      bundle.lanes[lane] = *op;
      if (scanner.at_end()) break;
      if (!scanner.eat("|")) return wrong("expected \"|\" or the end of the row");
    }
    image.rows.push_back(bundle);
    image.slots.emplace_back().fill(kNoSlot);
  }
  return {};
}

}  // namespace xnic::arch::hxdp
