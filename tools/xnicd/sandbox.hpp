// SPDX-License-Identifier: Apache-2.0
// What the daemon gives up once its ports are open (docs/operations.md, "Privileges").
#pragma once

#include <string>
#include <vector>

#include "base/result.hpp"

namespace xnic::tools {

// Raises the limits on locked memory and open files as far as this process may: AF_XDP packet memory and maps need
// them.
void raise_limits();

// Keeps, of the capabilities that the process has, those that adding a port at run time needs: CAP_NET_ADMIN (XDP
// programs, TAP interfaces), CAP_NET_RAW (XDP sockets), CAP_BPF (the program that feeds the sockets), and
// CAP_IPC_LOCK where raise_limits() could not lift the limit of locked memory (the packets of XDP sockets). All others
// go, from the bounding set too, and no_new_privs is set. Pre: the process has one thread. Returns the names of what is
// kept. Errors: kIo.
base::Result<std::string> drop_capabilities();

// From now on a system call that is not on the list fails with EPERM, in every thread: there is no way to another
// program, process, namespace, user, file system or packet socket. Pre: no_new_privs. Errors: kIo.
base::Result<void> enter_seccomp();

}  // namespace xnic::tools
