// SPDX-License-Identifier: Apache-2.0
// Helper calls from their signatures. A pure call is a function of what it sees. Any other is an event: both machines
// must make the same ones in the same order, seeing the same; then what it returns and leaves behind is the same
// unknown for both.
//
// Pure are lookups in maps whose lookups change nothing (a map changes only by the program's own calls while it handles
// a packet, so a lookup is a function of key and version), the processor and node numbers, csum_diff and the packet's
// length. A lookup in an array is arithmetic: null from max_entries on, else the place of the element.
#include <fmt/format.h>

#include "arch/ebpf/helpers.hpp"
#include "arch/ebpf/map_types.hpp"
#include "compile/prove/state.hpp"

namespace xnic::compile::prove {

using namespace arch::ebpf;

namespace {

enum Id : uint32_t {
  kLookup = 1,
  kUpdate = 2,
  kDelete = 3,
  kCpu = 8,
  kTailCall = 12,
  kRedirect = 23,
  kPerfOutput = 25,
  kCsumDiff = 28,
  kNode = 42,
  kRedirectMap = 51,
  kSpinLock = 93,
  kSpinUnlock = 94,
  kPush = 87,
  kPop = 88,
  kPeek = 89,
  kBuffLen = 188,
  kLoadBytes = 189,
  kLookupPercpu = 195,
};
constexpr unsigned kMostBytes = 4096;

bool keyed_lookup(MapType type) {
  return type == kMapHash || type == kMapPercpuHash || type == kMapPercpuArray || type == kMapLpmTrie;
}

struct Viewer {
  const Setting& s;
  const Path& path;
  const CallArguments& args;
  const World& world;
  const Memory& stack;
  CallView view{};
  int64_t map = -1;  // index, -1: not known
  std::vector<Term> key{};

  Terms& terms() const { return s.terms; }

  const MapSpec* spec() const {
    if (map >= 0) return &s.program.maps[size_t(map)];
    const MapSpec* inner = nullptr;  // the template, if all maps of maps agree on one
    for (const MapSpec& m : s.program.maps) {
      if (!m.inner) continue;
      if (inner && (inner->key_size != m.inner->key_size || inner->value_size != m.inner->value_size)) return nullptr;
      inner = m.inner.get();
    }
    return inner;
  }

  // The memory argument's contents, as terms of up to 8 bytes.
  std::vector<Term> contents(size_t i, unsigned bytes) {
    if (bytes > kMostBytes) throw GiveUp{fmt::format("argument {} of {} bytes", i + 1, bytes)};
    std::vector<Term> out;
    if (args[i].bytes) {
      if (bytes > 8) throw GiveUp{"8 bytes given in place of a longer argument"};
      out.push_back(terms().extract(args[i].value, 0, 8 * bytes));
      return out;
    }
    for (const Place& place : places(s, path, world, args[i].value)) {
      const Term in =
          place.tag == kStackTag && place.object != s.core_stack ? terms().truth() : inside(s, world, place, bytes);
      view.fits = terms().both(view.fits, terms().either(terms().negate(place.condition), in));
    }
    for (unsigned at = 0; at < bytes; at += 8) {
      const unsigned n = std::min(8u, bytes - at);
      out.push_back(
          terms().extract(load(s, path, world, stack, terms().plus(args[i].value, uint64_t{at}), n), 0, 8 * n));
    }
    return out;
  }
  void input(size_t i, unsigned bytes) {
    if (bytes == 0) return;
    const std::vector<Term> all = contents(i, bytes);
    view.inputs.insert(view.inputs.end(), all.begin(), all.end());
  }
  void output(size_t i, unsigned bytes) {
    if (bytes == 0) return;
    input(i, bytes);  // what it does not write stays
    if (args[i].bytes) throw GiveUp{"a constant in place of memory that the helper writes"};
    view.outputs.emplace_back(args[i].value, bytes);
  }
  unsigned size_after(size_t i) const {
    const Term size = args[i + 1].value;
    if (!terms().is_const(size)) throw GiveUp{fmt::format("the size in argument {} is not constant", i + 2)};
    return unsigned(std::min<uint64_t>(uint32_t(terms().value(size)), kMostBytes + 1));
  }
  unsigned key_size() const {
    if (!spec()) throw GiveUp{"maps inside maps of several kinds"};
    return spec()->key_size;
  }
  unsigned value_size() const {
    if (!spec()) throw GiveUp{"maps inside maps of several kinds"};
    return spec()->value_size;
  }
  bool null(size_t i) const { return !args[i].bytes && terms().is_const(args[i].value, 0); }

  void argument(size_t i, const HelperSignature& signature);
  void effects(const HelperSignature& signature);
  void pure_result(const HelperSignature& signature);
};

void Viewer::argument(size_t i, const HelperSignature& signature) {
  switch (signature.args[i]) {
    case ArgType::kNone:
      return;
    case ArgType::kMap:
      for (size_t m = 0; m < s.maps.size(); m++) {
        if (args[i].value == s.maps[m]) map = int64_t(m);
      }
      view.inputs.push_back(args[i].value);
      return;
    case ArgType::kContext:
    case ArgType::kAnything:
    case ArgType::kScalar:
    case ArgType::kSize:
    case ArgType::kSizeOrZero:
    case ArgType::kAllocSize:
    case ArgType::kConstString:
    case ArgType::kAllocMemory:
    case ArgType::kSocket:
    case ArgType::kSocketRelease:
    case ArgType::kSpinLock:
      if (args[i].bytes) throw GiveUp{"bytes in place of a value"};
      view.inputs.push_back(args[i].value);
      return;
    case ArgType::kMapKey:
      key = contents(i, key_size());
      view.inputs.insert(view.inputs.end(), key.begin(), key.end());
      return;
    case ArgType::kMapValue:
      return input(i, value_size());
    case ArgType::kMapValueUninit:
      return output(i, value_size());
    case ArgType::kMemory:
    case ArgType::kMemoryOrNull:
      return null(i) ? view.inputs.push_back(args[i].value) : input(i, size_after(i));
    case ArgType::kMemoryUninit:
    case ArgType::kMemoryWritable:
    case ArgType::kMemoryWritableOrNull:
      return null(i) ? view.inputs.push_back(args[i].value) : output(i, size_after(i));
    case ArgType::kFixedMemory:
      return input(i, signature.fixed_sizes[i]);
    case ArgType::kLongOut:
      return output(i, 8);
    case ArgType::kIntOut:
      return output(i, 4);
    default:
      throw GiveUp{fmt::format("an argument of {} that the proof has no model of", signature.name)};
  }
}

// What the helper may see and change besides its arguments. The default is everything seen, no memory changed.
void Viewer::effects(const HelperSignature& signature) {
  view.moves_packet = signature.changes_packet || signature.writes_packet;
  const auto on_map = [&] {
    if (map < 0)
      view.sees_everything = true;
    else
      view.sees_values.push_back(size_t(map));
  };
  switch (view.helper) {
    case kUpdate:
    case kDelete:
    case kPush:
    case kPop:
      on_map();
      for (size_t m = 0; m < s.maps.size(); m++) {
        if (map < 0 || int64_t(m) == map || s.one_value_space) view.changes.push_back(m);
      }
      break;
    case kLookup:
    case kPeek:
    case kLookupPercpu:
    case kRedirect:
    case kRedirectMap:
    case kLoadBytes:
    case 5:
    case 7:
    case 118:
    case 125:
    case 160:
    case 208:
      break;
    case kSpinLock:
    case kSpinUnlock:
      view.sees_everything = true;
      break;
    default:
      if (!signature.changes_packet) view.sees_everything = true;
  }
  view.sees_packet |= view.moves_packet || view.helper == kPerfOutput || view.helper == kLoadBytes;
  const auto value_tag = [&] {
    return map < 0 || s.program.maps[size_t(map)].inner ? int64_t(kHeapTag) : kValueTag + map;
  };
  switch (signature.ret) {
    case RetType::kMapValueOrNull:
      view.result_tag = value_tag();
      break;
    case RetType::kMemoryOrNull:
    case RetType::kSocketOrNull:
      view.result_tag = kHeapTag;
      break;
    case RetType::kInteger:
    case RetType::kVoid:
      break;
    default:
      throw GiveUp{fmt::format("{}, whose result the proof has no model of", signature.name)};
  }
}

void Viewer::pure_result(const HelperSignature& signature) {
  Terms& t = terms();
  const Term zero = t.constant(64, 0);
  if (view.helper == kLookup) {
    const MapSpec& m = s.program.maps[size_t(map)];
    if (m.type == kMapArray) {
      const Term index = t.zext(key[0], 64);
      const uint64_t stride = (uint64_t{m.value_size} + 7) / 8 * 8;
      const Term place = t.add(s.first_values[size_t(map)], t.mul(index, t.constant(64, stride)));
      view.result = t.ite(t.ult(index, t.constant(64, m.max_entries)), place, zero);
      return;
    }
    std::vector<Term> seen = key;
    if (m.type == kMapPercpuArray) {
      const Term null = t.ule(t.constant(64, m.max_entries), t.zext(key[0], 64));
      view.result = t.ite(null, zero, t.pointer_apply(fmt::format("value of map {}", map), seen, kValueTag + map));
      return;
    }
    seen.push_back(world.versions[size_t(map)]);
    view.result = t.ite(t.apply(1, fmt::format("absent in map {}", map), seen), zero,
                        t.pointer_apply(fmt::format("value of map {}", map), seen, kValueTag + map));
    return;
  }
  if (view.helper == kBuffLen) {
    view.result = t.apply(64, "packet length", {world.length, world.data});
    return;
  }
  std::string name(signature.name);
  for (Term input : view.inputs) name += fmt::format(" {}", t.width(input));
  view.result = t.apply(64, name, view.inputs);
}

}  // namespace

CallView view_call(const Setting& s, const Path& path, uint32_t helper, const CallArguments& args, const World& world,
                   const Memory& stack) {
  const HelperSignature* signature = find_helper(helper);
  if (!signature) throw GiveUp{fmt::format("helper {}", helper)};
  if (helper == kTailCall) throw GiveUp{"a tail call"};
  Viewer v{s, path, args, world, stack};
  v.view.helper = helper;
  v.view.fits = s.terms.truth();
  for (size_t i = 0; i < 5; i++) v.argument(i, *signature);
  v.view.pure = helper == kCpu || helper == kNode || helper == kCsumDiff || helper == kBuffLen;
  if (helper == kLookup && v.map >= 0) {
    const MapType type = s.program.maps[size_t(v.map)].type;
    v.view.pure = (type == kMapArray || keyed_lookup(type)) && !s.program.maps[size_t(v.map)].inner;
  }
  if (v.view.pure) {
    v.pure_result(*signature);
  } else {
    v.effects(*signature);
  }
  return std::move(v.view);
}

EventPtr make_event(const Setting& s, const CallView& view, Slot slot, const World& world) {
  Terms& t = s.terms;
  auto event = std::make_shared<Event>();
  event->slot = slot;
  event->helper = view.helper;
  event->inputs = view.inputs;
  event->before = world;
  const std::string name = fmt::format("{}@{}", helper_name(view.helper), slot);
  if (view.result_tag >= 0) {
    event->result = t.ite(t.fresh(1, name + " null"), t.constant(64, 0),
                          t.pointer_apply("object of " + name, {t.fresh(64, name)}, view.result_tag));
  } else {
    event->result = t.fresh(64, name);
  }
  for (const auto& [address, bytes] : view.outputs) {
    for (unsigned i = 0; i < bytes; i++) event->outputs.push_back(t.fresh(8, fmt::format("{}[{}]", name, i)));
  }
  event->after = world;
  if (view.moves_packet) {
    event->after.packet = unknown_memory();
    event->after.data = t.pointer("data of " + name, kPacketTag);
    event->after.length = t.zext(t.fresh(16, "length of " + name), 64);
    event->after.meta = t.zext(t.fresh(8, "meta of " + name), 64);
  }
  for (size_t m : view.changes) {
    event->after.values[m] = unknown_memory();
    event->after.versions[m] = t.fresh(32, fmt::format("map {} of {}", m, name));
  }
  return event;
}

void leave(const Setting& s, const Path& path, const CallView& view, const Event& event, World& world, Memory& stack) {
  size_t at = 0;
  for (const auto& [address, bytes] : view.outputs) {
    for (unsigned i = 0; i < bytes; i++)
      store(s, path, world, stack, s.terms.plus(address, uint64_t{i}), event.outputs.at(at++));
  }
  if (view.moves_packet) {
    world.packet = event.after.packet;
    world.data = event.after.data, world.length = event.after.length, world.meta = event.after.meta;
  }
  for (size_t m : view.changes) world.values[m] = event.after.values[m], world.versions[m] = event.after.versions[m];
}

}  // namespace xnic::compile::prove
