// SPDX-License-Identifier: Apache-2.0
// Descriptors that the library opens for itself. They are moved out of the low numbers, which belong to the program,
// and a program that closes everything does not close them.
#pragma once

namespace xnic::transport::preload {

// Moves `fd` up and marks it; the new number, close-on-exec. Errors, and a full table, give `fd` back as it is.
int make_internal(int fd);
int close_internal(int fd);
// Those that hold the session with the agent: they have to outlive an exec.
void keep_sessions_over_exec(bool keep);

}  // namespace xnic::transport::preload
