// SPDX-License-Identifier: Apache-2.0
// bpf_timer. A timer is a record in HelperState under the handle that its field in the map value holds; the engine asks
// for due timers when time passes. A field that no longer holds its handle (element deleted or reused) ends the timer.
#include <cstring>

#include "arch/ebpf/map_types.hpp"
#include "base/bytes.hpp"
#include "exec/helpers/call.hpp"

namespace xnic::exec::helpers {

namespace {

// Where the key of the element lies is the map's secret; keys are tried until one leads to the value. Timers are rare.
bool find_key(maps::Map& map, uint64_t value, uint32_t cpu, std::vector<uint8_t>& key) {
  const uint32_t key_size = map.spec().key_size;
  key.assign(key_size, 0);
  std::vector<uint8_t> previous;
  while (map.host_next_key(previous.empty() ? nullptr : previous.data(), key.data()) == 0) {
    if (address(map.lookup(key.data(), cpu)) == value) return true;
    previous = key;
  }
  return false;
}

}  // namespace

std::optional<DueTimer> HelperState::take_due(const RunContext& context) {
  const uint64_t now = now_ns(&context);
  for (;;) {
    auto first = timers.end();
    for (auto it = timers.begin(); it != timers.end(); ++it) {
      if (it->second.armed && it->second.due_ns <= now &&
          (first == timers.end() || it->second.due_ns < first->second.due_ns))
        first = it;
    }
    if (first == timers.end()) return std::nullopt;
    Timer& timer = first->second;
    timer.armed = false;
    const uint64_t value = timer.address - static_cast<uint64_t>(timer.map->spec().timer_offset);
    if (base::load<uint64_t>(pointer<void>(timer.address)) != first->first ||
        !find_key(*timer.map, value, context.cpu, due_key)) {
      timers.erase(first);
      continue;
    }
    if (timer.program == nullptr) continue;
    running_timer = first->first;
    return DueTimer{timer.program, timer.callback, address(timer.map), address(due_key.data()), due_key.size(), value};
  }
}

}  // namespace xnic::exec::helpers
