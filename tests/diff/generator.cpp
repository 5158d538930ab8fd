// SPDX-License-Identifier: Apache-2.0
// Random programs: functions, arithmetic, branches and loops. Memory, maps and helpers are in generator_memory.cpp.
#include "generator.hpp"

#include <fmt/core.h>
#include <algorithm>

#include <initializer_list>
#include <utility>

#include "arch/ebpf/codec.hpp"
#include "base/bytes.hpp"

namespace xnic::tests {
namespace {

constexpr size_t kMaxFunctions = 5;
constexpr uint32_t kHasFrags = 1u << 5;  // BPF_F_XDP_HAS_FRAGS
constexpr uint32_t kAttachXdp = 37;      // BPF_XDP

constexpr Imm kInteresting[] = {0,  1,  2,   3,   7,      8,      -1,     -2,        31,       32,
                                63, 64, 255, 256, 0x7fff, 0x8000, 0xffff, INT32_MAX, INT32_MIN};

void append_word(std::vector<uint8_t>& bytes, uint32_t word) {
  const auto* at = reinterpret_cast<const uint8_t*>(&word);
  bytes.insert(bytes.end(), at, at + 4);
}

// The least BTF that the kernel wants for callbacks: one function type, "int (void)", and a static function for each
// subprogram (Documentation/bpf/btf.rst).
std::shared_ptr<const ProgramBtf> minimal_btf(const std::vector<Slot>& first) {
  constexpr uint32_t kInt = 1u << 24, kFunc = 12u << 24, kFuncProto = 13u << 24;
  std::string strings("\0int\0", 5);
  std::vector<uint8_t> types;
  const auto type = [&](uint32_t name, uint32_t info, uint32_t size_or_type) {
    append_word(types, name);
    append_word(types, info);
    append_word(types, size_or_type);
  };
  type(1, kInt, 4);
  append_word(types, 1u << 24 | 32);
  type(0, kFuncProto, 1);
  auto tables = std::make_shared<ProgramBtf>();
  for (size_t i = 0; i < first.size(); ++i) {
    type(uint32_t(strings.size()), kFunc, 2);
    strings += fmt::format("f{}", i) + '\0';
    append_word(tables->func_info, first[i]);
    append_word(tables->func_info, uint32_t(3 + i));
  }
  tables->func_info_rec_size = 8;
  for (uint32_t word : {0x0001eb9fu, 24u, 0u, uint32_t(types.size()), uint32_t(types.size()), uint32_t(strings.size())})
    append_word(tables->btf, word);
  tables->btf.insert(tables->btf.end(), types.begin(), types.end());
  tables->btf.insert(tables->btf.end(), strings.begin(), strings.end());
  return tables;
}

}  // namespace

std::shared_ptr<const Program> random_program(uint64_t seed, const GeneratorOptions& options,
                                              std::vector<uint64_t>* statements) {
  Generator generator(seed, options);
  auto program = generator.generate();
  if (statements) *statements = generator.statements();
  return program;
}

std::shared_ptr<const Program> Generator::generate() {
  make_maps();
  const uint64_t body_seed = rng_.next();
  const uint32_t load_flags = rng_.chance(1, 3) ? kHasFrags : 0;
  request({});
  for (FunctionId id = 0; id < functions_.size(); ++id) {
    rng_ = base::Rng(body_seed + id);
    const Signature signature = signatures_[id];  // the list grows when the function calls others
    function(id, signature);
  }
  auto program = std::make_shared<Program>();
  program->name = "random";
  program->expected_attach_type = kAttachXdp;
  program->load_flags = load_flags;
  program->gpl_compatible = true;
  program->maps = maps_;
  const std::vector<Slot> first = link(functions_, program->insns);
  for (size_t i = 0; i < first.size(); ++i) {
    const Slot end = i + 1 < first.size() ? first[i + 1] : Slot(program->insns.size());
    program->subprograms.push_back({first[i], end, fmt::format("f{}", i), false});
  }
  program->raw = encode(program->insns);
  if (needs_btf_) program->btf = minimal_btf(first);
  return program;
}

FunctionId Generator::request(const Signature& signature) {
  functions_.emplace_back();
  signatures_.push_back(signature);
  return FunctionId(functions_.size() - 1);
}

void Generator::function(FunctionId id, const Signature& signature) {
  function_ = &functions_[id];
  frame_ = Frame{};
  frame_.signature = signature;
  frame_.packet_held_outside = signature.packet_held;
  frame_.stack_bytes = signature.kind == Signature::Kind::kEntry ? kStackLimit : kInnerStack;
  frame_.reserved[index(r6)] = frame_.reserved[index(r10)] = true;
  const auto save = [&](Reg from, Held held) {
    emit(Binary{BinaryOp::kMov, Width::k64, held.reg, from});
    frame_.memory = held;
    frame_.reserved[index(held.reg)] = true;
  };
  switch (signature.kind) {
    case Signature::Kind::kEntry:
      emit(Binary{BinaryOp::kMov, Width::k64, r6, r1});
      budget_ = int(options_.max_statements);
      break;
    case Signature::Kind::kSubprogram:
      emit(Binary{BinaryOp::kMov, Width::k64, r6, r1});
      set(r2);
      set(r3);
      if (signature.with_memory) save(r4, {Held::Kind::kStack, r7, 16});
      budget_ = 8;
      break;
    case Signature::Kind::kLoopCallback:
      set(r1);
      save(r2, {Held::Kind::kStack, r7, 8});
      budget_ = 5;
      break;
    case Signature::Kind::kElementCallback:
      emit(Load{Size::k4, false, r0, r2, 0});
      set(r0);
      save(r3, {Held::Kind::kMapValue, r7, maps_[signature.map].value_size});
      budget_ = 5;
      break;
  }
  block(uint32_t(budget_));
  finish(signature.kind == Signature::Kind::kLoopCallback || signature.kind == Signature::Kind::kElementCallback);
}

void Generator::finish(bool result_is_bit) {
  if (result_is_bit) {
    argument(r0);
    emit(Binary{BinaryOp::kAnd, Width::k64, r0, Imm(rng_.chance(1, 3) ? 1 : 0)});
  } else if (may_exit() && rng_.chance(1, 3)) {
    emit(Binary{BinaryOp::kMov, Width::k64, r0, Imm(rng_.below(5))});
  } else if (const Reg value = number(); value != r0) {
    emit(Binary{BinaryOp::kMov, Width::k64, r0, value});
  }
  emit(Exit{});
}

void Generator::block(uint32_t statements) {
  for (uint32_t i = 0; i < statements && budget_ > 0; ++i) statement();
}

void Generator::statement() {
  --budget_;
  const uint64_t number = rng_.next();
  if (options_.left_out.contains(number)) return;
  statements_.push_back(number);
  const base::Rng outer = std::exchange(rng_, base::Rng(number));
  emit_statement();
  rng_ = outer;
}

void Generator::emit_statement() {
  const bool calls = frame_.signature.depth < 2 && functions_.size() < kMaxFunctions && !frame_.in_loop;
  switch (rng_.below(31)) {
    case 0:
    case 1:
      return branch();
    case 2:
      return may_exit() && !frame_.in_loop && !frame_.record_held ? early_exit() : alu();
    case 3:
      return frame_.in_loop || frame_.signature.depth > 1 ? alu() : rng_.chance(1, 2) ? loop() : counted_while();
    case 4:
    case 5:
      return has_context() ? packet_block() : alu();
    case 6:
      return has_context() ? packet_length() : alu();
    case 7:
      return has_context() ? context_field() : alu();
    case 8:
    case 9:
    case 10:
      return frame_.packet || frame_.memory ? held_access() : stack_store();
    case 11:
      return stack_store();
    case 12:
    case 13:
      return stack_load();
    case 14:
      return stack_atomic();
    case 15:
      return has_context() ? spill_context() : alu();
    case 16:
    case 17:
      return map_value_block();
    case 18:
      return rng_.chance(1, 2) ? direct_value() : map_update();
    case 19:
      return rng_.chance(1, 3) ? map_delete() : map_update();
    case 20:
      return queue_call();
    case 21:
      return has_context() && !frame_.packet && !frame_.packet_held_outside ? adjust() : alu();
    case 22:
      return checksum();
    case 23:
      return has_context() ? packet_bytes() : alu();
    case 24:
      return simple_helper();
    case 25:
      return calls ? (has_context() ? call_subprogram() : alu()) : alu();
    case 26:
      return calls ? (rng_.chance(2, 3) ? call_loop() : call_for_each()) : alu();
    case 27:
      return rng_.chance(2, 3) ? ring_record() : ring_call();
    case 28:
      return rng_.chance(1, 2) ? redirect_by_map() : tail_call();
    default:
      return alu();
  }
}

// --- Parts ---

Reg Generator::any_register() {
  for (;;) {
    const Reg reg = Reg(rng_.below(10));
    if (!frame_.reserved[index(reg)]) return reg;
  }
}

Reg Generator::number() {
  std::vector<Reg> numbers;
  for (int i = 0; i < kRegCount; ++i)
    if (frame_.number[size_t(i)]) numbers.push_back(Reg(i));
  if (!numbers.empty() && !rng_.chance(1, 12)) return numbers[rng_.below(numbers.size())];
  const Reg reg = any_register();
  if (rng_.chance(1, 4))
    emit(LoadImm64{reg, rng_.next()});
  else
    emit(Binary{BinaryOp::kMov, rng_.chance(1, 2) ? Width::k64 : Width::k32, reg, constant()});
  set(reg);
  return reg;
}

Reg Generator::own_number() {
  for (int attempt = 0; attempt < 8; ++attempt)
    if (const Reg reg = number(); !frame_.reserved[index(reg)]) return reg;
  const Reg reg = any_register();
  emit(Binary{BinaryOp::kMov, Width::k64, reg, constant()});
  set(reg);
  return reg;
}

Imm Generator::constant() {
  if (rng_.chance(1, 2)) return kInteresting[rng_.below(std::size(kInteresting))];
  return rng_.chance(1, 2) ? Imm(rng_.below(128)) : Imm(rng_.next());
}

Operand Generator::operand() {
  if (rng_.chance(1, 2)) return constant();
  return number();
}

void Generator::after_call() {
  for (Reg reg : {r1, r2, r3, r4, r5}) frame_.number[index(reg)] = false;
  set(r0);
}

void Generator::meet(const Frame& other) {
  for (size_t i = 0; i < frame_.number.size(); ++i) frame_.number[i] = frame_.number[i] && other.number[i];
  for (size_t i = 0; i < frame_.written.size(); ++i) frame_.written[i] = frame_.written[i] && other.written[i];
}

// --- Arithmetic ---

void Generator::alu() {
  const Width width = rng_.chance(1, 2) ? Width::k64 : Width::k32;
  const Reg dst = own_number();
  switch (rng_.below(8)) {
    case 0:
      return emit(Neg{width, dst});
    case 1: {
      constexpr uint8_t kBits[] = {16, 32, 64};
      return emit(Swap{SwapKind(rng_.below(3)), kBits[rng_.below(3)], dst});
    }
    case 2: {
      constexpr uint8_t kBits[] = {8, 16, 32};
      return emit(MovSx{width, kBits[rng_.below(width == Width::k64 ? 3 : 2)], dst, number()});
    }
    default:
      break;
  }
  const auto op = BinaryOp(rng_.below(14));
  Operand src = operand();
  if (Imm* imm = std::get_if<Imm>(&src)) {
    const bool divides = op == BinaryOp::kDiv || op == BinaryOp::kMod || op == BinaryOp::kSdiv || op == BinaryOp::kSmod;
    const bool shifts = op == BinaryOp::kLsh || op == BinaryOp::kRsh || op == BinaryOp::kArsh;
    if (divides && *imm == 0) *imm = 3;
    if (shifts) *imm &= int(width) - 1;
  } else if (rng_.chance(1, 3) && (op == BinaryOp::kLsh || op == BinaryOp::kRsh || op == BinaryOp::kArsh)) {
    emit(Binary{BinaryOp::kAnd, Width::k64, dst, Imm(int(width) - 1)});
    src = dst;
  }
  emit(Binary{op, width, dst, src});
}

// --- Branches and loops ---

void Generator::branch() {
  const Reg left = number();
  const Operand right = operand();
  const Jump jump{JumpOp(rng_.below(11)), rng_.chance(1, 2) ? Width::k64 : Width::k32, left, right, function_->label()};
  emit(jump);
  const Frame before = frame_;
  block(uint32_t(rng_.range(1, 4)));
  if (rng_.chance(1, 2)) {
    function_->bind(jump.target);
    meet(before);
    return;
  }
  const Label end = function_->label();
  emit(Goto{rng_.chance(1, 4), end});
  function_->bind(jump.target);
  const Frame then = std::exchange(frame_, before);
  block(uint32_t(rng_.range(1, 3)));
  // Never empty: a jump over nothing would be the target of both ways.
  emit(Binary{BinaryOp::kMov, Width::k64, any_and_set(), constant()});
  function_->bind(end);
  meet(then);
}

void Generator::early_exit() {
  const Reg left = number();
  const Operand right = operand();
  const Label end = function_->label();
  emit(Jump{JumpOp(rng_.below(11)), rng_.chance(1, 2) ? Width::k64 : Width::k32, left, right, end});
  const Frame before = frame_;
  finish(false);
  frame_ = before;
  function_->bind(end);
}

// r9 counts down from a constant; the body runs at least once.
void Generator::loop() {
  if (frame_.reserved[index(r9)]) return alu();
  const Label head = function_->label();
  const Label end = function_->label();
  emit(Binary{BinaryOp::kMov, Width::k64, r9, Imm(rng_.range(1, 8))});
  frame_.reserved[index(r9)] = frame_.number[index(r9)] = frame_.in_loop = true;
  for (Reg reg : {r0, r1, r2, r3, r4, r5}) frame_.number[index(reg)] = false;
  function_->bind(head);
  const bool bounded_by_kernel = rng_.chance(1, 4);
  if (bounded_by_kernel) emit(MayGoto{end});
  const Frame before = frame_;
  block(uint32_t(rng_.range(1, 3)));
  emit(Binary{BinaryOp::kAdd, rng_.chance(1, 2) ? Width::k64 : Width::k32, r9, Imm(-1)});
  emit(Jump{JumpOp::kNe, Width::k64, r9, Imm(0), head});
  function_->bind(end);
  if (bounded_by_kernel) meet(before);
  frame_.reserved[index(r9)] = frame_.in_loop = false;
}

// The body runs 0 to 7 times.
void Generator::counted_while() {
  if (frame_.reserved[index(r9)]) return alu();
  const Reg times = number();
  if (times != r9) emit(Binary{BinaryOp::kMov, Width::k64, r9, times});
  emit(Binary{BinaryOp::kAnd, Width::k64, r9, Imm(7)});
  const Label head = function_->label();
  const Label end = function_->label();
  frame_.reserved[index(r9)] = frame_.number[index(r9)] = frame_.in_loop = true;
  for (Reg reg : {r0, r1, r2, r3, r4, r5}) frame_.number[index(reg)] = false;
  function_->bind(head);
  emit(Jump{JumpOp::kEq, Width::k64, r9, Imm(0), end});
  const Frame before = frame_;
  block(uint32_t(rng_.range(1, 3)));
  emit(Binary{BinaryOp::kSub, Width::k64, r9, Imm(1)});
  emit(Goto{rng_.chance(1, 4), head});
  function_->bind(end);
  meet(before);
  frame_.reserved[index(r9)] = frame_.in_loop = false;
}

}  // namespace xnic::tests
