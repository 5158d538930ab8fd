// SPDX-License-Identifier: Apache-2.0
// Perf buffers: what perf_event_open(2) gives for bpf_perf_event_output().
#pragma once

#include <linux/perf_event.h>
#include <stddef.h>

namespace xnic::preload {

// perf_event_open(2) with these arguments: a perf buffer of the card when it asks for the output of bpf programs.
// The descriptor, -errno, or kNotOurs.
long open_perf(const perf_event_attr* attr);

// ioctls that switch a perf event on and off.
inline bool is_perf_request(unsigned long request) {
  return request == PERF_EVENT_IOC_ENABLE || request == PERF_EVENT_IOC_DISABLE || request == PERF_EVENT_IOC_RESET;
}

}  // namespace xnic::preload
