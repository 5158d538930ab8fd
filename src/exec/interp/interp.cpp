// SPDX-License-Identifier: Apache-2.0
// The engine around the machine: keeps decoded programs (tail calls bring more than one), runs packets and timers.
#include "exec/interp/interp.hpp"

#include <unordered_map>
#include <utility>

#include "base/check.hpp"
#include "exec/helpers/helper_state.hpp"
#include "exec/interp/machine.hpp"

namespace xnic::exec::interp {

struct Interp::State {
  InterpOptions options;
  std::shared_ptr<const LoadedProgram> program;
  // Decoded programs by identity. The shared pointer keeps the key from being reused.
  struct Entry {
    std::shared_ptr<const LoadedProgram> loaded;
    std::unique_ptr<Code> code;
  };
  std::unordered_map<const LoadedProgram*, Entry> codes;
  Machine machine;
  helpers::HelperState helper_state;
  EngineCounters counters;
  packet::Packet no_packet;
  uint64_t out_of_budget = 0;
  uint64_t executed = 0;
  std::optional<Violation> violation;

  base::Result<const Code*> code_of(std::shared_ptr<const LoadedProgram> loaded);
  void prepare(const LoadedProgram* loaded, const RunContext& context, packet::Packet& packet);
  void settle();
  Verdict run_packet(const Code& code, packet::Packet& packet, const RunContext& context);
  void run_timer(const helpers::DueTimer& due, const RunContext& context);
};

base::Result<const Code*> Interp::State::code_of(std::shared_ptr<const LoadedProgram> loaded) {
  const auto found = codes.find(loaded.get());
  if (found != codes.end()) return found->second.code.get();
  auto code = std::make_unique<Code>();
  XNIC_TRY(translate(loaded->program->insns, loaded.get(), options.checked, *code));
  const Code* result = code.get();
  const LoadedProgram* key = loaded.get();
  codes.emplace(key, Entry{std::move(loaded), std::move(code)});
  return result;
}

void Interp::State::prepare(const LoadedProgram* loaded, const RunContext& context, packet::Packet& packet) {
  machine.budget = options.budget == 0 ? ~uint64_t{0} : options.budget;
  machine.depth = machine.floor = machine.base_depth = 0;
  machine.violation.reset();
  machine.out_of_budget = false;
  machine.checked = options.checked;
  machine.check_facts = options.check_facts;
  machine.scramble = options.scramble_dead_halves;
  machine.observer = options.observer ? &options.observer : nullptr;
  machine.context = reinterpret_cast<uint64_t>(machine.context_object);
  helpers::HelperContext& helper = machine.helper;
  helper.reset();
  helper.packet = &packet;
  helper.program = loaded;
  helper.run = &context;
  helper.state = &helper_state;
  helper.invoke = invoke_callback;
  helper.engine = &machine;
  helper.stack = reinterpret_cast<uint64_t>(machine.stacks);
  helper.stack_bytes = sizeof machine.stacks;
  machine.owner = this;
  machine.code_of = [](Machine& m, std::shared_ptr<const LoadedProgram> target) -> const Code* {
    base::Result<const Code*> code = static_cast<State*>(m.owner)->code_of(std::move(target));
    return code ? *code : nullptr;
  };
  machine.enter_frame(0);
}

void Interp::State::settle() {
  executed += (options.budget == 0 ? ~uint64_t{0} : options.budget) - machine.budget;
  if (machine.out_of_budget) ++out_of_budget;
  if (machine.violation && !violation) violation = machine.violation;
  machine.helper.held_maps.clear();
}

Verdict Interp::State::run_packet(const Code& code, packet::Packet& packet, const RunContext& context) {
  prepare(code.loaded, context, packet);
  machine.code = &code;
  machine.r[1] = machine.context;
  run_loop(machine, code.ops.data());
  settle();
  Verdict verdict;
  verdict.code = static_cast<uint32_t>(machine.r[0]);
  if (verdict.code == arch::ebpf::kXdpRedirect) verdict.redirect = machine.helper.redirect;
  return verdict;
}

// The kernel runs a timer's callback without a packet; an empty one stands in.
void Interp::State::run_timer(const helpers::DueTimer& due, const RunContext& context) {
  const auto found = codes.find(due.program);
  if (found == codes.end()) return;
  prepare(due.program, context, no_packet);
  machine.code = found->second.code.get();
  machine.helper.lent.push_back({due.key, due.key_bytes});
  invoke_callback(machine.helper, due.callback, due.map, due.key, due.value, 0, 0);
  helper_state.running_timer = 0;
  settle();
}

Interp::Interp(const InterpOptions& options) : state_(std::make_unique<State>()) { state_->options = options; }
Interp::~Interp() = default;

base::Result<void> Interp::load(std::shared_ptr<const LoadedProgram> program) {
  CHECK(program != nullptr && program->program != nullptr);
  state_->codes.clear();
  state_->helper_state.timers.clear();  // their callbacks are in the old programs
  state_->counters = {};
  state_->out_of_budget = state_->executed = 0;
  state_->violation.reset();
  state_->program.reset();
  XNIC_TRY(state_->code_of(program));
  state_->program = std::move(program);
  return {};
}

base::Result<void> Interp::run(std::span<packet::Packet> packets, std::span<Verdict> verdicts,
                               const RunContext& context) {
  CHECK(packets.size() == verdicts.size());
  if (state_->program == nullptr) return base::make_error(base::ErrorKind::kBadInput, "interp", "no program is loaded");
  run_timers(context);
  const base::SystemClock clock;
  const uint64_t start = clock.monotonic_ns();
  const Code& code = *state_->codes.find(state_->program.get())->second.code;
  for (size_t i = 0; i < packets.size(); ++i) {
    state_->counters.bytes += packets[i].size();
    verdicts[i] = state_->run_packet(code, packets[i], context);
    ++state_->counters.actions[verdicts[i].action()];
  }
  state_->counters.packets += packets.size();
  state_->counters.run_ns += clock.monotonic_ns() - start;
  return {};
}

EngineCounters Interp::counters() const { return state_->counters; }

uint64_t Interp::run_timers(const RunContext& context) {
  if (!state_->helper_state.has_timers()) return 0;
  uint64_t ran = 0;
  while (std::optional<helpers::DueTimer> due = state_->helper_state.take_due(context)) {
    state_->run_timer(*due, context);
    ++ran;
  }
  return ran;
}

const std::optional<Violation>& Interp::violation() const { return state_->violation; }
uint64_t Interp::out_of_budget() const { return state_->out_of_budget; }
uint64_t Interp::executed() const { return state_->executed; }
std::string Interp::take_trace() { return std::exchange(state_->helper_state.trace, {}); }

}  // namespace xnic::exec::interp
