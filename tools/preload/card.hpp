// SPDX-License-Identifier: Apache-2.0
// The card as this process reaches it: one connection to the daemon for all threads, made anew after fork, after the
// program closed descriptors that it did not open, and after the daemon let go of it.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "device/remote/client.hpp"

namespace xnic::preload {

using device::remote::Question;

enum class ObjectKind : uint8_t { kNone, kMap, kProgram, kLink, kBtf, kPerf, kOther };

// What a descriptor of this process is: kNone when it is no handle of a card.
ObjectKind kind_of(int fd);

// Whether this is the connection to the daemon: what we send over it is not the program's.
bool is_connection(int fd);

// bpf(2), answered by the card: the result or -errno; kNotOurs when it is about something of the kernel.
inline constexpr long kNotOurs = -100000;
long card_bpf(int command, uint64_t attr, uint32_t size);

// The text that answers a question. `take` gets it while the connection is held: it may not come back here.
struct Answer {
  const uint8_t* bytes;
  size_t size;
  int descriptors[2];  // -1: none; taken over
};
using Take = void (*)(void* context, const Answer& answer);
// The value of the answer, or -errno. `shown`: a descriptor that goes along, -1: none.
long card_ask(Question question, uint64_t address, const void* text, size_t size, int shown, Take take, void* context);

}  // namespace xnic::preload
