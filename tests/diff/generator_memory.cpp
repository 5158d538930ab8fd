// SPDX-License-Identifier: Apache-2.0
// Random programs: packet, stack, maps and helpers.
#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "generator.hpp"

namespace xnic::tests {
namespace {

constexpr Size kSizes[] = {Size::k1, Size::k2, Size::k4, Size::k8};
constexpr uint32_t round_up8(uint32_t bytes) { return (bytes + 7) / 8 * 8; }

}  // namespace

void Generator::make_maps() {
  const auto add = [&](MapType type, uint32_t key, uint32_t value, uint32_t entries, uint32_t flags = 0) {
    MapSpec spec;
    spec.type = type;
    spec.key_size = key;
    spec.value_size = value;
    spec.max_entries = entries;
    spec.flags = flags;
    spec.name = fmt::format("m{}", maps_.size());
    maps_.push_back(spec);
  };
  const auto value = [&] { return uint32_t(8 * rng_.range(1, 4)); };
  add(kMapArray, 4, value(), 1);  // as global data
  for (uint64_t more = rng_.range(1, 3); more > 0; --more) {
    switch (rng_.below(options_.tries ? 8 : options_.queues ? 7 : 5)) {
      case 0:
        add(kMapArray, 4, value(), uint32_t(rng_.range(1, 9)));
        break;
      case 1:
        add(kMapHash, rng_.chance(1, 2) ? 4 : 8, value(), uint32_t(rng_.range(2, 8)),
            rng_.chance(1, 3) ? uint32_t{kNoPrealloc} : 0);
        break;
      case 2:
        add(kMapPercpuArray, 4, value(), uint32_t(rng_.range(1, 4)));
        break;
      case 3:
        add(kMapPercpuHash, 4, value(), uint32_t(rng_.range(2, 8)));
        break;
      case 4:
        add(kMapLruHash, 4, value(), 512);  // large enough that nothing is evicted
        break;
      case 5:
        add(kMapQueue, 0, value(), uint32_t(rng_.range(1, 4)));
        break;
      case 6:
        add(kMapStack, 0, value(), uint32_t(rng_.range(1, 4)));
        break;
      default:
        add(kMapLpmTrie, 8, value(), 8, kNoPrealloc);
        break;
    }
  }
  if (rng_.chance(1, 3)) add(kMapRingbuf, 0, 0, 4096);
  if (rng_.chance(1, 3)) add(kMapDevmap, 4, 4, 4);
  if (rng_.chance(1, 3)) add(kMapProgArray, 4, 4, 4);
}

std::optional<MapIndex> Generator::pick_map(std::initializer_list<MapType> types) {
  std::vector<MapIndex> fitting;
  for (MapIndex i = 0; i < maps_.size(); ++i)
    if (std::find(types.begin(), types.end(), maps_[i].type) != types.end()) fitting.push_back(i);
  if (fitting.empty()) return std::nullopt;
  return fitting[rng_.below(fitting.size())];
}

// --- Arguments. Sources are registers that arguments set before cannot have overwritten. ---

void Generator::argument(Reg reg) {
  std::vector<Reg> sources;
  for (Reg saved : {r7, r8, r9})
    if (frame_.number[index(saved)]) sources.push_back(saved);
  if (sources.empty() || rng_.chance(1, 3))
    emit(Binary{BinaryOp::kMov, Width::k64, reg, constant()});
  else
    emit(Binary{BinaryOp::kMov, Width::k64, reg, sources[rng_.below(sources.size())]});
}

void Generator::bounded_argument(Reg reg, uint32_t mask) {
  argument(reg);
  emit(Binary{BinaryOp::kAnd, Width::k64, reg, Imm(mask)});
}

void Generator::address(Reg reg, int below_frame) {
  emit(Binary{BinaryOp::kMov, Width::k64, reg, r10});
  emit(Binary{BinaryOp::kAdd, Width::k64, reg, Imm(-below_frame)});
}

int Generator::region(uint32_t bytes) {
  const int size = int(round_up8(bytes));
  const int at = size + 8 * int(rng_.below(uint64_t(frame_.stack_bytes - kPointerSlot - size) / 8 + 1));
  for (int n = at; n > at - size; n -= 8) {
    const bool written =
        std::all_of(frame_.written.begin() + (n - 7), frame_.written.begin() + (n + 1), [](bool byte) { return byte; });
    if (written && rng_.chance(1, 2)) continue;
    if (rng_.chance(1, 2))
      emit(Store{Size::k8, r10, int16_t(-n), constant()});
    else
      emit(Store{Size::k8, r10, int16_t(-n), number()});
    std::fill(frame_.written.begin() + (n - 7), frame_.written.begin() + (n + 1), true);
  }
  return at;
}

// --- Stack ---

void Generator::stack_store() {
  const Size size = kSizes[rng_.below(4)];
  const int step = int(bytes(size));
  const int n = step * int(rng_.range(1, uint64_t(frame_.stack_bytes - kPointerSlot) / uint64_t(step)));
  if (rng_.chance(1, 4))
    emit(Store{size, r10, int16_t(-n), constant()});
  else
    emit(Store{size, r10, int16_t(-n), number()});
  std::fill(frame_.written.begin() + (n - step + 1), frame_.written.begin() + (n + 1), true);
}

void Generator::stack_load() {
  for (int attempt = 0; attempt < 16; ++attempt) {
    const Size size = kSizes[rng_.below(4)];
    const int step = int(bytes(size));
    const int n = step * int(rng_.range(1, uint64_t(frame_.stack_bytes - kPointerSlot) / uint64_t(step)));
    if (!std::all_of(frame_.written.begin() + (n - step + 1), frame_.written.begin() + (n + 1),
                     [](bool b) { return b; }))
      continue;
    const Reg dst = any_and_set();
    return emit(Load{size, size != Size::k8 && rng_.chance(1, 3), dst, r10, int16_t(-n)});
  }
  stack_store();
}

// The slot is written with a constant just before, the same on every path: where paths with different constants there
// meet, Linux 6.18 has been seen to take a branch on the fetched number for decided (kernel_errs/).
void Generator::stack_atomic() {
  const int at = region(8);
  emit(Store{Size::k8, r10, int16_t(-at), constant()});
  atomic_on(r10, int16_t(-at));
}

// The context goes to the slot for pointers and comes back.
void Generator::spill_context() {
  emit(Store{Size::k8, r10, int16_t(-frame_.stack_bytes), r6});
  if (rng_.chance(1, 2)) block(1);
  emit(Load{Size::k8, false, r6, r10, int16_t(-frame_.stack_bytes)});
}

void Generator::atomic_on(Reg base, int16_t offset) {
  const Size size = rng_.chance(1, 2) ? Size::k8 : Size::k4;
  const auto op = AtomicOp(rng_.below(8));
  switch (op) {
    case AtomicOp::kLoadAcquire: {
      const Reg dst = any_and_set();
      return emit(Atomic{op, false, kSizes[rng_.below(4)], dst, base, offset});
    }
    case AtomicOp::kStoreRelease:
      return emit(Atomic{op, false, kSizes[rng_.below(4)], base, number(), offset});
    case AtomicOp::kCmpxchg: {
      if (frame_.reserved[index(r0)]) return;
      const Reg src = number();
      if (rng_.chance(1, 2) || !frame_.number[index(r0)]) {
        if (rng_.chance(1, 2) && src != r0)
          emit(Load{size, false, r0, base, offset});  // so that the exchange happens
        else
          emit(Binary{BinaryOp::kMov, Width::k64, r0, constant()});
      }
      set(r0);
      return emit(Atomic{op, true, size, base, src, offset});
    }
    default: {
      const bool fetch = op == AtomicOp::kXchg || rng_.chance(1, 2);
      const Reg src = fetch ? own_number() : number();
      return emit(Atomic{op, fetch, size, base, src, offset});
    }
  }
}

// --- Held pointers ---

void Generator::held_access() {
  const bool use_packet = frame_.packet && (!frame_.memory || rng_.chance(1, 2));
  const Held held = use_packet ? *frame_.packet : *frame_.memory;
  const bool aligned = held.kind == Held::Kind::kStack;
  if (held.kind != Held::Kind::kPacket && rng_.chance(1, 3)) {
    const auto offset = int16_t(8 * rng_.below(held.bytes / 8));
    // As in stack_atomic(): the stack may be a caller's, but it is the same error.
    if (held.kind == Held::Kind::kStack) emit(Store{Size::k8, held.reg, offset, constant()});
    return atomic_on(held.reg, offset);
  }
  Size size = kSizes[rng_.below(4)];
  while (bytes(size) > held.bytes) size = kSizes[rng_.below(4)];
  uint64_t offset = rng_.below(held.bytes - bytes(size) + 1);
  if (aligned) offset -= offset % bytes(size);
  if (rng_.chance(1, 2)) {
    const Reg dst = any_and_set();
    return emit(Load{size, size != Size::k8 && rng_.chance(1, 3), dst, held.reg, int16_t(offset)});
  }
  if (rng_.chance(1, 4)) return emit(Store{size, held.reg, int16_t(offset), constant()});
  emit(Store{size, held.reg, int16_t(offset), number()});
}

// Pre: held.reg holds the pointer. Post: it is a number again.
void Generator::with_held(Held held, uint32_t statements) {
  std::optional<Held>& place = held.kind == Held::Kind::kPacket ? frame_.packet : frame_.memory;
  const std::optional<Held> outer = std::exchange(place, held);
  frame_.number[index(held.reg)] = false;
  frame_.reserved[index(held.reg)] = true;
  held_access();
  block(statements);
  (held.kind == Held::Kind::kPacket ? frame_.packet : frame_.memory) = outer;
  frame_.reserved[index(held.reg)] = false;
}

std::optional<Reg> Generator::free_holder() {
  for (Reg reg : {r7, r8})
    if (!frame_.reserved[index(reg)]) return reg;
  return std::nullopt;
}

void Generator::packet_block() {
  const auto holder = free_holder();
  if (frame_.packet || !holder) return alu();
  const bool meta = rng_.chance(1, 8);
  const auto checked = uint32_t(rng_.chance(1, 2) ? rng_.range(1, 64) : rng_.chance(1, 4) ? rng_.range(64, 2000) : 14);
  const Label skip = function_->label();
  const bool variable = rng_.chance(1, 4);
  if (variable) {
    argument(r3);
    emit(Binary{BinaryOp::kAnd, Width::k64, r3, Imm(31)});
  }
  emit(Load{Size::k4, false, *holder, r6, int16_t(meta ? 8 : 0)});
  emit(Load{Size::k4, false, r1, r6, int16_t(meta ? 0 : 4)});
  if (variable) emit(Binary{BinaryOp::kAdd, Width::k64, *holder, r3});
  emit(Binary{BinaryOp::kMov, Width::k64, r2, *holder});
  emit(Binary{BinaryOp::kAdd, Width::k64, r2, Imm(meta ? 4 : checked)});
  for (Reg reg : {r1, r2, r3, *holder}) frame_.number[index(reg)] = false;
  const Frame before = frame_;
  switch (rng_.below(4)) {
    case 0:
      emit(Jump{JumpOp::kGe, Width::k64, r2, r1, skip});
      break;
    case 1:
      emit(Jump{JumpOp::kLt, Width::k64, r1, r2, skip});
      break;
    case 2: {
      const Label inside = function_->label();
      emit(Jump{JumpOp::kLe, Width::k64, r2, r1, inside});
      emit(Goto{false, skip});
      function_->bind(inside);
      break;
    }
    default:
      emit(Jump{JumpOp::kGt, Width::k64, r2, r1, skip});
  }
  with_held({Held::Kind::kPacket, *holder, meta ? 4 : checked}, uint32_t(rng_.range(0, 4)));
  function_->bind(skip);
  meet(before);
  emit(Binary{BinaryOp::kMov, Width::k64, *holder, constant()});
  set(*holder);
}

void Generator::packet_length() {
  if (frame_.reserved[index(r0)]) return alu();
  emit(Load{Size::k4, false, r1, r6, 0});
  emit(Load{Size::k4, false, r0, r6, 4});
  emit(Binary{BinaryOp::kSub, Width::k64, r0, r1});
  frame_.number[index(r1)] = false;
  set(r0);
}

void Generator::context_field() {
  const Reg dst = any_and_set();
  emit(Load{Size::k4, false, dst, r6, int16_t(rng_.chance(1, 2) ? kCtxIngressIfindex : kCtxRxQueueIndex)});
}

// --- Maps ---

int Generator::key_on_stack(const MapSpec& map) {
  const int at = region(8);
  const auto store = [&](int n, Size size, uint32_t mask) {
    if (rng_.chance(1, 2)) return emit(Store{size, r10, int16_t(-n), Imm(rng_.next() & mask)});
    const Reg source = number();
    emit(Binary{BinaryOp::kMov, Width::k64, r0, source});
    emit(Binary{BinaryOp::kAnd, Width::k64, r0, Imm(mask)});
    set(r0);
    emit(Store{size, r10, int16_t(-n), r0});
  };
  switch (map.type) {
    case kMapLpmTrie:
      store(at, Size::k4, rng_.chance(1, 4) ? 63 : 31);
      store(at - 4, Size::k4, 0x0303);
      break;
    case kMapArray:
    case kMapPercpuArray:
      store(at, Size::k4, map.max_entries <= 1 ? 1 : 15);
      break;
    default:
      store(at, map.key_size == 8 ? Size::k8 : Size::k4, 7);
  }
  return at;
}

void Generator::lookup(MapIndex map) {
  const int key = key_on_stack(maps_[map]);
  const bool percpu = is_percpu(maps_[map].type) && rng_.chance(1, 3);
  emit(LoadMap{r1, map});
  address(r2, key);
  if (percpu) emit(Binary{BinaryOp::kMov, Width::k64, r3, Imm(rng_.below(3))});
  emit(CallHelper{percpu ? kLookupPercpu : kMapLookup});
  after_call();
  frame_.number[index(r0)] = false;
}

void Generator::map_value_block() {
  const auto map = pick_map({kMapArray, kMapHash, kMapPercpuArray, kMapPercpuHash, kMapLruHash, kMapLpmTrie});
  if (!map || frame_.reserved[index(r0)]) return alu();
  const auto holder = free_holder();
  lookup(*map);
  const Label skip = function_->label();
  emit(Jump{JumpOp::kEq, Width::k64, r0, Imm(0), skip});
  const uint32_t bytes = maps_[*map].value_size;
  Frame before = frame_;
  if (!holder) {
    with_held({Held::Kind::kMapValue, r0, bytes}, 0);
    function_->bind(skip);
    meet(before);
    return;
  }
  before.number[index(*holder)] = false;
  emit(Binary{BinaryOp::kMov, Width::k64, *holder, r0});
  with_held({Held::Kind::kMapValue, *holder, bytes}, uint32_t(rng_.range(0, 4)));
  function_->bind(skip);
  meet(before);
  emit(Binary{BinaryOp::kMov, Width::k64, *holder, constant()});
  set(*holder);
}

void Generator::direct_value() {
  const auto holder = free_holder();
  if (!holder) return alu();
  const auto offset = uint32_t(8 * rng_.below(maps_[0].value_size / 8));
  emit(LoadMapValue{*holder, 0, offset});
  with_held({Held::Kind::kMapValue, *holder, maps_[0].value_size - offset}, uint32_t(rng_.range(0, 3)));
  emit(Binary{BinaryOp::kMov, Width::k64, *holder, constant()});
  set(*holder);
}

void Generator::map_update() {
  const auto map = pick_map({kMapArray, kMapHash, kMapPercpuArray, kMapPercpuHash, kMapLruHash, kMapLpmTrie});
  if (!map || frame_.reserved[index(r0)]) return alu();
  const int value = region(maps_[*map].value_size);
  const int key = key_on_stack(maps_[*map]);
  emit(LoadMap{r1, *map});
  address(r2, key);
  address(r3, value);
  emit(Binary{BinaryOp::kMov, Width::k64, r4, Imm(rng_.chance(3, 4) ? 0 : rng_.below(4))});
  emit(CallHelper{kMapUpdate});
  after_call();
}

void Generator::map_delete() {
  const auto map = pick_map({kMapHash, kMapPercpuHash, kMapLruHash, kMapLpmTrie, kMapArray});
  if (!map || frame_.reserved[index(r0)]) return alu();
  const int key = key_on_stack(maps_[*map]);
  emit(LoadMap{r1, *map});
  address(r2, key);
  emit(CallHelper{kMapDelete});
  after_call();
}

void Generator::queue_call() {
  const auto map = pick_map({kMapQueue, kMapStack});
  if (!map || frame_.reserved[index(r0)]) return alu();
  const int value = region(maps_[*map].value_size);
  const Helper helper = rng_.chance(1, 2) ? kMapPush : rng_.chance(1, 2) ? kMapPop : kMapPeek;
  emit(LoadMap{r1, *map});
  address(r2, value);
  if (helper == kMapPush) emit(Binary{BinaryOp::kMov, Width::k64, r3, Imm(rng_.chance(1, 4) ? 2 : 0)});
  emit(CallHelper{helper});
  after_call();
}

// --- Ring buffers, maps of interfaces and programs ---

// Nobody reads the ring, so it fills up; then reserving fails. The record is written before statements may read it.
void Generator::ring_record() {
  const auto map = pick_map({kMapRingbuf});
  const auto holder = free_holder();
  if (!map || !holder || frame_.reserved[index(r0)]) return alu();
  const auto bytes = uint32_t(8 * rng_.range(1, 4));
  emit(LoadMap{r1, *map});
  emit(Binary{BinaryOp::kMov, Width::k64, r2, Imm(bytes)});
  emit(Binary{BinaryOp::kMov, Width::k64, r3, Imm(0)});
  emit(CallHelper{kRingReserve});
  after_call();
  frame_.number[index(r0)] = false;
  const Label skip = function_->label();
  emit(Jump{JumpOp::kEq, Width::k64, r0, Imm(0), skip});
  frame_.number[index(*holder)] = false;
  const Frame before = frame_;
  emit(Binary{BinaryOp::kMov, Width::k64, *holder, r0});
  for (uint32_t offset = 0; offset < bytes; offset += 8) emit(Store{Size::k8, *holder, int16_t(offset), constant()});
  const bool outer = std::exchange(frame_.record_held, true);
  with_held({Held::Kind::kRecord, *holder, bytes}, uint32_t(rng_.range(0, 3)));
  frame_.record_held = outer;
  emit(Binary{BinaryOp::kMov, Width::k64, r1, *holder});
  emit(Binary{BinaryOp::kMov, Width::k64, r2, Imm(rng_.below(3))});
  emit(CallHelper{rng_.chance(1, 2) ? kRingSubmit : kRingDiscard});
  after_call();
  function_->bind(skip);
  meet(before);
  emit(Binary{BinaryOp::kMov, Width::k64, *holder, constant()});
  set(*holder);
}

void Generator::ring_call() {
  const auto map = pick_map({kMapRingbuf});
  if (!map || frame_.reserved[index(r0)]) return alu();
  if (rng_.chance(1, 2)) {
    const int buffer = region(16);
    emit(LoadMap{r1, *map});
    address(r2, buffer);
    emit(Binary{BinaryOp::kMov, Width::k64, r3, Imm(rng_.range(1, 16))});
    emit(Binary{BinaryOp::kMov, Width::k64, r4, Imm(rng_.chance(3, 4) ? 0 : rng_.below(4))});
    emit(CallHelper{kRingOutput});
  } else {
    emit(LoadMap{r1, *map});
    emit(Binary{BinaryOp::kMov, Width::k64, r2, Imm(rng_.below(5))});
    emit(CallHelper{kRingQuery});
  }
  after_call();
}

void Generator::redirect_by_map() {
  const auto map = pick_map({kMapDevmap});
  if (!map || frame_.reserved[index(r0)]) return alu();
  bounded_argument(r2, 7);
  emit(LoadMap{r1, *map});
  emit(Binary{BinaryOp::kMov, Width::k64, r3, Imm(rng_.below(rng_.chance(3, 4) ? 4 : 40))});
  emit(CallHelper{kRedirectMap});
  after_call();
}

// The program that is called may move the packet, so no pointer into it may be held.
void Generator::tail_call() {
  const auto map = pick_map({kMapProgArray});
  if (!map || !may_exit() || frame_.record_held || frame_.packet || frame_.reserved[index(r0)]) return alu();
  bounded_argument(r3, 7);
  emit(Binary{BinaryOp::kMov, Width::k64, r1, r6});
  emit(LoadMap{r2, *map});
  emit(CallHelper{kTailCall});
  after_call();
  frame_.number[index(r0)] = false;
}

// --- Other helpers ---

void Generator::adjust() {
  const Helper helper = rng_.chance(1, 3) ? kAdjustHead : rng_.chance(1, 2) ? kAdjustTail : kAdjustMeta;
  // Any number but the least, for which bpf_xdp_adjust_tail of Linux 6.18 gives 0 on a fragmented frame (kernel_errs/).
  argument(r2);
  emit(Binary{BinaryOp::kArsh, Width::k32, r2, Imm(rng_.below(31) + 1)});
  if (rng_.chance(3, 4)) {
    const Imm delta = rng_.chance(3, 4) ? Imm(rng_.range(0, 32)) - 16 : Imm(rng_.range(0, 4096)) - 2048;
    emit(Binary{BinaryOp::kMov, Width::k64, r2, helper == kAdjustMeta ? delta / 4 * 4 : delta});
  }
  emit(Binary{BinaryOp::kMov, Width::k64, r1, r6});
  emit(CallHelper{helper});
  after_call();
}

void Generator::checksum() {
  if (frame_.reserved[index(r0)]) return alu();
  const int from = region(16);
  const int to = region(16);
  const auto size = [&](Reg reg) {
    if (rng_.chance(1, 4)) return bounded_argument(reg, 7);
    emit(Binary{BinaryOp::kMov, Width::k64, reg, Imm(4 * rng_.below(5))});
  };
  if (rng_.chance(1, 5)) {
    emit(Binary{BinaryOp::kMov, Width::k64, r1, Imm(0)});
    emit(Binary{BinaryOp::kMov, Width::k64, r2, Imm(0)});
  } else {
    address(r1, from);
    size(r2);
  }
  address(r3, to);
  size(r4);
  argument(r5);
  emit(CallHelper{kCsumDiff});
  after_call();
}

void Generator::packet_bytes() {
  const int buffer = region(16);
  emit(Binary{BinaryOp::kMov, Width::k64, r1, r6});
  if (rng_.chance(3, 4))
    bounded_argument(r2, rng_.chance(1, 2) ? 63 : 0x1fff);
  else
    argument(r2);
  address(r3, buffer);
  if (rng_.chance(1, 4)) {
    bounded_argument(r4, 7);
    emit(Binary{BinaryOp::kAdd, Width::k64, r4, Imm(1)});
  } else {
    emit(Binary{BinaryOp::kMov, Width::k64, r4, Imm(rng_.range(1, 16))});
  }
  emit(CallHelper{rng_.chance(1, 2) ? kLoadBytes : kStoreBytes});
  after_call();
}

void Generator::simple_helper() {
  switch (rng_.below(3)) {
    case 0:
      emit(CallHelper{kCpu});
      break;
    case 1:
      argument(r1);
      emit(Binary{BinaryOp::kMov, Width::k64, r2, Imm(rng_.chance(3, 4) ? 0 : 1)});
      emit(CallHelper{kRedirectTo});
      break;
    default:
      if (!has_context()) return alu();
      emit(Binary{BinaryOp::kMov, Width::k64, r1, r6});
      emit(CallHelper{kBuffLen});
  }
  after_call();
}

// --- Subprograms ---

void Generator::call_subprogram() {
  Signature wanted;
  wanted.kind = Signature::Kind::kSubprogram;
  wanted.depth = frame_.signature.depth + 1;
  wanted.with_memory = rng_.chance(1, 2);
  wanted.packet_held = frame_.packet || frame_.packet_held_outside;
  const auto same = std::find(signatures_.begin(), signatures_.end(), wanted);
  const FunctionId id = same != signatures_.end() ? FunctionId(same - signatures_.begin()) : request(wanted);
  const int memory = wanted.with_memory ? region(16) : 0;
  emit(Binary{BinaryOp::kMov, Width::k64, r1, r6});
  argument(r2);
  argument(r3);
  if (wanted.with_memory) address(r4, memory);
  emit(CallLocal{id});
  after_call();
}

void Generator::call_loop() {
  Signature wanted;
  wanted.kind = Signature::Kind::kLoopCallback;
  wanted.depth = 2;  // calls nothing
  wanted.packet_held = frame_.packet || frame_.packet_held_outside;
  needs_btf_ = true;
  const FunctionId id = request(wanted);
  const int memory = region(8);
  if (rng_.chance(1, 2))
    emit(Binary{BinaryOp::kMov, Width::k64, r1, Imm(rng_.below(20))});
  else
    bounded_argument(r1, 15);
  emit(LoadFunction{r2, id});
  address(r3, memory);
  emit(Binary{BinaryOp::kMov, Width::k64, r4, Imm(rng_.chance(7, 8) ? 0 : 1)});
  emit(CallHelper{kLoop});
  after_call();
}

void Generator::call_for_each() {
  const auto map = pick_map({kMapArray, kMapPercpuArray});
  Signature wanted;
  wanted.kind = Signature::Kind::kElementCallback;
  wanted.depth = 2;
  wanted.map = *map;  // map 0 is an array
  wanted.packet_held = frame_.packet || frame_.packet_held_outside;
  needs_btf_ = true;
  const FunctionId id = request(wanted);
  const int memory = region(8);
  emit(LoadMap{r1, *map});
  emit(LoadFunction{r2, id});
  address(r3, memory);
  emit(Binary{BinaryOp::kMov, Width::k64, r4, Imm(0)});
  emit(CallHelper{kForEach});
  after_call();
}

}  // namespace xnic::tests
