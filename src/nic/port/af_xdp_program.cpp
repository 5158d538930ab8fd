// SPDX-License-Identifier: Apache-2.0
// Five instructions: return bpf_redirect_map(&sockets, ctx->rx_queue_index, XDP_PASS).
#include "nic/port/af_xdp_program.hpp"

#include <cstddef>
#include <cstring>

namespace xnic::nic::port {

using exec::kernel::attr_pointer;
using exec::kernel::bpf_call;
using exec::kernel::Fd;
using exec::kernel::kernel_error;

base::Result<RedirectProgram> RedirectProgram::load(uint32_t queues, bool multi_buffer) {
  RedirectProgram made;
  bpf_attr attr{};
  attr.map_type = BPF_MAP_TYPE_XSKMAP;
  attr.key_size = attr.value_size = sizeof(uint32_t);
  attr.max_entries = queues;
  std::strcpy(attr.map_name, "xnic_sockets");
  long fd = bpf_call(BPF_MAP_CREATE, attr);
  if (fd < 0) return kernel_error("af_xdp", "cannot make the map of sockets", fd);
  made.map_ = Fd(static_cast<int>(fd));

  const bpf_insn instructions[] = {
      {BPF_LDX | BPF_MEM | BPF_W, BPF_REG_2, BPF_REG_1, offsetof(xdp_md, rx_queue_index), 0},
      {BPF_LD | BPF_IMM | BPF_DW, BPF_REG_1, BPF_PSEUDO_MAP_FD, 0, made.map_.get()},
      {0, 0, 0, 0, 0},
      {BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_3, 0, 0, XDP_PASS},
      {BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_redirect_map},
      {BPF_JMP | BPF_EXIT, 0, 0, 0, 0},
  };
  static const char license[] = "Apache-2.0";  // it calls no helper that asks for the GPL
  attr = bpf_attr{};
  attr.prog_type = BPF_PROG_TYPE_XDP;
  attr.expected_attach_type = BPF_XDP;
  attr.insns = attr_pointer(instructions);
  attr.insn_cnt = std::size(instructions);
  attr.license = attr_pointer(license);
  attr.prog_flags = multi_buffer ? BPF_F_XDP_HAS_FRAGS : 0;
  std::strcpy(attr.prog_name, "xnic_to_sockets");
  fd = bpf_call(BPF_PROG_LOAD, attr);
  if (fd < 0) return kernel_error("af_xdp", "cannot load the redirecting program", fd);
  made.program_ = Fd(static_cast<int>(fd));
  return made;
}

int RedirectProgram::attach(int ifindex, uint32_t xdp_flags) {
  bpf_attr attr{};
  attr.link_create.prog_fd = static_cast<uint32_t>(program_.get());
  attr.link_create.target_ifindex = static_cast<uint32_t>(ifindex);
  attr.link_create.attach_type = BPF_XDP;
  attr.link_create.flags = xdp_flags;
  const long fd = bpf_call(BPF_LINK_CREATE, attr);
  if (fd < 0) return static_cast<int>(fd);
  link_ = Fd(static_cast<int>(fd));
  return 0;
}

int RedirectProgram::set_socket(uint32_t queue, int socket_fd) {
  bpf_attr attr{};
  attr.map_fd = static_cast<uint32_t>(map_.get());
  attr.key = attr_pointer(&queue);
  attr.value = attr_pointer(&socket_fd);
  return static_cast<int>(bpf_call(BPF_MAP_UPDATE_ELEM, attr));
}

void RedirectProgram::erase_socket(uint32_t queue) {
  bpf_attr attr{};
  attr.map_fd = static_cast<uint32_t>(map_.get());
  attr.key = attr_pointer(&queue);
  (void)bpf_call(BPF_MAP_DELETE_ELEM, attr);  // gone already when the socket is
}

}  // namespace xnic::nic::port
