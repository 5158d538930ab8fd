// SPDX-License-Identifier: Apache-2.0
// iproute2 makes the pair; libbpf loads into the live kernel, since this process has no device installed here.
#include "changepoint/veth.hpp"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <sched.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <map>

namespace xnic::apps::changepoint {

using base::ErrorKind;
using base::make_error;

struct VethPair::State {
  std::map<std::string, bpf_object*> objects;  // owned
  ~State() {
    for (auto& [path, object] : objects) bpf_object__close(object);
  }
};

VethPair::VethPair(std::unique_ptr<State> state) : state_(std::move(state)) {}
VethPair::VethPair(VethPair&&) noexcept = default;
VethPair& VethPair::operator=(VethPair&&) noexcept = default;
VethPair::~VethPair() = default;

base::Result<VethPair> VethPair::make() {
  if (unshare(CLONE_NEWNET) != 0)
    return make_error(ErrorKind::kIo, "a network namespace", "{} (needs root)", std::strerror(errno));
  VethPair pair(std::make_unique<State>());
  // No address and no IPv6, so that nothing but our frames is on the wire.
  const std::string a = pair.sending_, b = pair.receiving_;
  const std::string commands[] = {
      "ip link add " + a + " type veth peer name " + b,
      "sysctl -qw net.ipv6.conf.all.disable_ipv6=1",
      "ip link set " + a + " up",
      "ip link set " + b + " up",
  };
  for (const std::string& command : commands) {
    if (std::system(command.c_str()) != 0) return make_error(ErrorKind::kIo, command, "failed");
  }
  return pair;
}

base::Result<void> VethPair::attach(const std::string& path) {
  const auto index = static_cast<int>(if_nametoindex(receiving_.c_str()));
  bpf_xdp_detach(index, XDP_FLAGS_DRV_MODE, nullptr);
  if (path.empty()) return {};
  bpf_object*& object = state_->objects[path];
  if (object == nullptr) {
    object = bpf_object__open_file(path.c_str(), nullptr);
    if (object == nullptr || bpf_object__load(object) != 0)
      return make_error(ErrorKind::kIo, path, "the kernel does not load it: {}", std::strerror(errno));
  }
  const int fd = bpf_program__fd(bpf_object__next_program(object, nullptr));
  const int error = bpf_xdp_attach(index, fd, XDP_FLAGS_DRV_MODE, nullptr);
  if (error != 0) return make_error(ErrorKind::kIo, receiving_, "attaching {}: {}", path, std::strerror(-error));
  return {};
}

}  // namespace xnic::apps::changepoint
