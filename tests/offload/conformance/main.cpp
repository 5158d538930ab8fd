// SPDX-License-Identifier: Apache-2.0
// One case a run: `offload_conformance CASE` writes its transcript to standard output. An ordinary program on ordinary
// sockets: it knows nothing of xnic. The peer is the process at the other end of descriptor XNIC_CONFORMANCE_PEER, or,
// when nobody set one up, a child on the same host.
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "case.hpp"

namespace xnic::conformance {
namespace {

constexpr unsigned kSecondsPerCase = 12;

Suite all_cases() {
  Suite suite;
  add_states(suite);
  add_receive(suite);
  add_send(suite);
  add_vectors(suite);
  add_epoll(suite);
  add_poll(suite);
  add_blocking(suite);
  add_options(suite);
  add_descriptors(suite);
  add_processes(suite);
  add_listen(suite);
  add_connect(suite);
  add_close(suite);
  add_urgent(suite);
  add_threads(suite);
  return suite;
}

// The control socket of the peer that was set up for us, or of one that is started now.
int control_of_peer(const Addresses& addresses) {
  if (const char* given = std::getenv("XNIC_CONFORMANCE_PEER")) return std::atoi(given);
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) < 0) return -1;
  if (fork() == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    close(pair[0]);
    serve_peer(pair[1], addresses);
  }
  close(pair[1]);
  return pair[0];
}

int run(const std::string& wanted) {
  const Suite suite = all_cases();
  if (wanted == "--list") {
    for (const Entry& entry : suite.entries()) std::printf("%s\n", entry.name.c_str());
    return 0;
  }
  for (const Entry& entry : suite.entries()) {
    if (entry.name != wanted) continue;
    alarm(kSecondsPerCase);
    const Addresses addresses = addresses_of_environment();
    Case one(control_of_peer(addresses), addresses);
    entry.run(one);
    return 0;
  }
  std::fprintf(stderr, "offload_conformance: no case is called '%s'; --list prints them\n", wanted.c_str());
  return 2;
}

}  // namespace
}  // namespace xnic::conformance

int main(int argc, char** argv) {
  using namespace xnic::conformance;
  if (argc == 4 && std::strcmp(argv[1], "--child") == 0) return run_child(argv[2], std::atoi(argv[3]));
  if (argc != 2) {
    std::fprintf(stderr, "usage: offload_conformance CASE | --list\n");
    return 2;
  }
  return run(argv[1]);
}
