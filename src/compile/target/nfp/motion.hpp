// SPDX-License-Identifier: Apache-2.0
// Moving words down, behind a branch or the write of a pointer, where they fill a cycle that would be lost. Internal to
// the compiler.
#pragma once

#include "compile/target/nfp/words.hpp"

namespace xnic::compile::target::nfp {

// The last word of [first, to) that may run directly behind the word at `to`, with the same outcome. `end`: of the
// words behind `to` that run before anything else. `live`: what is read after those. Nothing: there is none.
std::optional<uint32_t> last_movable(const Words& words, uint32_t first, uint32_t to, uint32_t end,
                                     const Resources& live);
// Moves it there: the words in between, `to` among them, are then one earlier.
void move_behind(Words& words, uint32_t from, uint32_t to);

}  // namespace xnic::compile::target::nfp
