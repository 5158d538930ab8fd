// SPDX-License-Identifier: Apache-2.0
// What the functions with libc's names (entry_*.cpp) share. Each looks whether the descriptor is offloaded, which costs
// one load, and goes to libc otherwise.
#pragma once

#include <cerrno>

#include "transport/preload/calls.hpp"
#include "transport/preload/inside.hpp"
#include "transport/preload/internal.hpp"
#include "transport/preload/real.hpp"

namespace xnic::transport::preload {

// As libc gives results.
template <class Number>
Number give(Number result) {
  if (result >= 0) return result;
  errno = static_cast<int>(-result);
  return -1;
}

inline bool is_inside() { return thread_state.depth != 0; }
// A call of the program's, in a process where something may be offloaded.
inline bool concerns_us() { return thread_state.depth == 0 && library_ready() && library().enabled(); }
inline bool is_attached() { return concerns_us() && library().stack() != nullptr; }

// entry_process.cpp: descriptors in a control message that go out, or have come in.
void pass_rights(const msghdr& message);
void take_rights(const msghdr& message);

}  // namespace xnic::transport::preload
