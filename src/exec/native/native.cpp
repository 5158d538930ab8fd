// SPDX-License-Identifier: Apache-2.0
// The engine around compiled code: keeps the code of every program that tail calls may reach, and runs packets and
// timers. The loop over packets is compiled with the program (runtime/runtime.cpp).
#include "exec/native/native.hpp"

#include <unordered_map>

#include "base/check.hpp"
#include "exec/helpers/helper_state.hpp"
#include "exec/native/code.hpp"
#include "exec/native/symbols.hpp"

namespace xnic::exec::native {
namespace {

constexpr uint64_t kStackReach = 256 * 1024;  // below run()'s frame; programs' stacks lie there

ImageProvider& installed() {
  static ImageProvider provider;
  return provider;
}

uint64_t invoke_callback(helpers::HelperContext& helper, uint64_t function, uint64_t a1, uint64_t a2, uint64_t a3,
                         uint64_t a4, uint64_t a5) {
  Run& run = static_cast<Run&>(helper);
  const CallbackEntry callback = run.code->callback(helpers::function_slot(function));
  CHECK(callback != nullptr);  // the verifier saw that the value names a subprogram
  return callback(&run, run.packet, a1, a2, a3, a4, a5);
}

}  // namespace

void install(ImageProvider provider) { installed() = std::move(provider); }

base::Result<arch::native::Image> provide(const arch::native::Request& request) {
  if (!installed())
    return base::make_error(base::ErrorKind::kUnsupported, "native", "this tool has no native compiler");
  return installed()(request);
}

struct Native::State {
  ImageProvider provider;
  std::shared_ptr<const LoadedProgram> program;
  const Code* code = nullptr;  // of `program`
  // Code by the program's identity. The shared pointer keeps the key from being reused.
  struct Entry {
    std::shared_ptr<const LoadedProgram> loaded;
    std::unique_ptr<Code> code;
  };
  std::unordered_map<const LoadedProgram*, Entry> codes;
  Run run;
  helpers::HelperState helper_state;
  EngineCounters counters;
  packet::Packet no_packet;

  base::Result<const Code*> code_of(std::shared_ptr<const LoadedProgram> loaded);
  void prepare(const LoadedProgram* loaded, const Code* code, const RunContext& context, packet::Packet& packet);
  void run_timer(const helpers::DueTimer& due, const RunContext& context);
};

// Compiles `loaded` and all that its tail calls can reach now. A target that cannot be compiled makes its tail call
// fail, as in the interpreter; only the program itself must compile.
base::Result<const Code*> Native::State::code_of(std::shared_ptr<const LoadedProgram> loaded) {
  const auto found = codes.find(loaded.get());
  if (found != codes.end()) {
    if (found->second.code == nullptr)
      return base::make_error(base::ErrorKind::kUnsupported, loaded->program->name, "does not compile");
    return found->second.code.get();
  }
  Entry& entry = codes[loaded.get()];
  entry.loaded = loaded;
  XNIC_ASSIGN(const arch::native::Image image, provider(make_request(*loaded)));
  XNIC_ASSIGN(entry.code,
              Code::make(image, [&](const arch::native::Symbol& symbol) { return address_of(symbol, *loaded); }));
  const Code* code = entry.code.get();
  for (const auto& map : loaded->maps) {
    if (map->spec().type != arch::ebpf::kMapProgArray) continue;
    for (uint32_t i = 0; i < map->spec().max_entries; ++i)
      if (auto target = map->program(i)) static_cast<void>(code_of(std::move(target)));
  }
  return code;
}

void Native::State::prepare(const LoadedProgram* loaded, const Code* code, const RunContext& context,
                            packet::Packet& packet) {
  run.reset();
  run.packet = &packet;
  run.program = loaded;
  run.code = code;
  run.run = &context;
  run.state = &helper_state;
  run.invoke = invoke_callback;
  run.engine = this;
  run.stack = reinterpret_cast<uint64_t>(__builtin_frame_address(0)) - kStackReach;
  run.stack_bytes = kStackReach;
  run.code_of = [](Run& r, std::shared_ptr<const LoadedProgram> target) -> const Code* {
    base::Result<const Code*> code = static_cast<State*>(r.engine)->code_of(std::move(target));
    return code ? *code : nullptr;
  };
}

// The kernel runs a timer's callback without a packet; an empty one stands in.
void Native::State::run_timer(const helpers::DueTimer& due, const RunContext& context) {
  const auto found = codes.find(due.program);
  if (found == codes.end() || found->second.code == nullptr) return;
  prepare(due.program, found->second.code.get(), context, no_packet);
  run.lent.push_back({due.key, due.key_bytes});
  invoke_callback(run, due.callback, due.map, due.key, due.value, 0, 0);
  helper_state.running_timer = 0;
  run.held_maps.clear();
}

Native::Native() : state_(std::make_unique<State>()) { state_->provider = installed(); }
Native::~Native() = default;

base::Result<void> Native::load(std::shared_ptr<const LoadedProgram> program) {
  CHECK(program != nullptr && program->program != nullptr);
  if (!state_->provider)
    return base::make_error(base::ErrorKind::kUnsupported, "native", "this tool has no native compiler");
  state_->codes.clear();
  state_->helper_state.timers.clear();  // their callbacks are in the old programs
  state_->counters = {};
  state_->program.reset();
  XNIC_ASSIGN(state_->code, state_->code_of(program));
  state_->program = std::move(program);
  return {};
}

base::Result<void> Native::run(std::span<packet::Packet> packets, std::span<Verdict> verdicts,
                               const RunContext& context) {
  CHECK(packets.size() == verdicts.size());
  if (state_->program == nullptr) return base::make_error(base::ErrorKind::kBadInput, "native", "no program is loaded");
  if (packets.empty()) return {};
  run_timers(context);
  const base::SystemClock clock;
  const uint64_t start = context.count_time ? clock.monotonic_ns() : 0;
  EngineCounters& counters = state_->counters;
  state_->prepare(state_->program.get(), state_->code, context, packets[0]);
  state_->code->batch()(&state_->run, packets.data(), packets.size(), verdicts.data());
  state_->run.held_maps.clear();
  counters.bytes += std::exchange(state_->run.bytes, 0);
  for (size_t i = 0; i < std::size(counters.actions); ++i)
    counters.actions[i] += std::exchange(state_->run.actions[i], 0);
  counters.packets += packets.size();
  if (context.count_time) counters.run_ns += clock.monotonic_ns() - start;
  return {};
}

EngineCounters Native::counters() const { return state_->counters; }

uint64_t Native::run_timers(const RunContext& context) {
  if (!state_->helper_state.has_timers()) return 0;
  uint64_t ran = 0;
  while (std::optional<helpers::DueTimer> due = state_->helper_state.take_due(context)) {
    state_->run_timer(*due, context);
    ++ran;
  }
  return ran;
}

std::string Native::take_trace() { return std::exchange(state_->helper_state.trace, {}); }

}  // namespace xnic::exec::native

// A tail call keeps the frame it happens in: what the other program returns is returned in its place. The caller's
// caller is still in the old program.
extern "C" uint32_t xnic_tail_call(xnic::exec::native::Run* run, xnic::exec::packet::Packet* packet, uint64_t map,
                                   uint64_t index, uint64_t* result) {
  using namespace xnic::exec;
  constexpr uint32_t kTailCall = 12;
  *result = helpers::helper_function(kTailCall)(*run, 0, map, index, 0, 0);
  if (run->tail_call == nullptr) return 0;
  const std::shared_ptr<const LoadedProgram> target = std::move(run->tail_call);
  run->tail_call.reset();
  const native::Code* code = run->code_of(*run, target);
  if (code == nullptr) return 0;
  const native::Code* caller_code = run->code;
  const LoadedProgram* caller = run->program;
  run->code = code;
  run->program = target.get();
  *result = code->program()(run, packet);
  run->code = caller_code;
  run->program = caller;
  return 1;
}

extern "C" uint64_t xnic_adjust_fragments(xnic::exec::native::Run* run, uint64_t delta) {
  constexpr uint32_t kAdjustTail = 65;
  return xnic::exec::helpers::helper_function(kAdjustTail)(*run, 0, delta, 0, 0, 0);
}

extern "C" void xnic_settle(xnic::exec::native::Run* run) { run->held_maps.clear(); }
