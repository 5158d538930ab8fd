// SPDX-License-Identifier: Apache-2.0
// What helpers keep from one run to the next. Each engine owns one; nothing in it is shared between threads.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "exec/engine.hpp"

namespace xnic::exec::helpers {

// bpf_timer. The 16 bytes in the map value hold a handle (0: not initialised), unique in the process, so that a timer
// is forgotten by itself when its element is deleted and the field becomes zero.
struct Timer {
  uint64_t address = 0;  // of the bpf_timer in the map value
  maps::Map* map = nullptr;
  const LoadedProgram* program = nullptr;  // null until timer_set_callback
  uint64_t callback = 0;
  bool armed = false;
  uint64_t due_ns = 0;
};

struct DueTimer {
  const LoadedProgram* program;
  uint64_t callback;
  uint64_t map;
  uint64_t key;  // address of a copy of the element's key, good until the next take_due
  uint64_t key_bytes;
  uint64_t value;
};

struct HelperState {
  std::string trace;  // lines of bpf_trace_printk, in order
  std::unordered_map<uint64_t, Timer> timers;
  uint64_t running_timer = 0;  // handle whose callback is being run; 0: none
  // Secret of the raw SYN cookies, two 128-bit keys for each family.
  uint64_t syncookie_key[2][4] = {{0x5851f42d4c957f2d, 0x14057b7ef767814f, 0x2545f4914f6cdd1d, 0xda942042e4dd58b5},
                                  {0x9e3779b97f4a7c15, 0xbf58476d1ce4e5b9, 0x94d049bb133111eb, 0xd1342543de82ef95}};
  uint64_t random_state = 0;  // used when the run context brings none
  std::vector<uint8_t> due_key;
  std::vector<uint8_t> keys;  // for_each_map_elem: stack of key snapshots

  bool has_timers() const { return !timers.empty(); }
  // The earliest timer whose time has come by the context's clock, disarmed; none: empty.
  std::optional<DueTimer> take_due(const RunContext& context);
};

}  // namespace xnic::exec::helpers
