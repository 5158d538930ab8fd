// SPDX-License-Identifier: Apache-2.0
// The bpf(2) commands: copies the attributes in, as the kernel does (kernel/bpf/syscall.c __sys_bpf), and dispatches.
// Commands that the card has no object for give the error that Linux gives when the feature is missing or the arguments
// do not fit XDP, so that libraries which probe for them take their other path.
#include "device/device.hpp"

#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "device/door.hpp"
#include "device/state.hpp"

namespace xnic::device {
namespace {

uint32_t possible_cpus() {
  long count = sysconf(_SC_NPROCESSORS_CONF);
  return count < 1 ? 1 : static_cast<uint32_t>(count);
}

long enable_stats(const Command& command) {
  if (!command.clean_after(XNIC_ATTR_END(enable_stats.type))) return -EINVAL;
  // The card always counts runs and time; the handle only has to be closable.
  if (command.attr.enable_stats.type != BPF_STATS_RUN_TIME) return -EINVAL;
  int error = 0;
  Handle handle = Handle::create("xnic-stats", error);
  if (error) return error;
  int fd = handle.open(Access::kReadWrite);
  return fd < 0 ? fd : command.caller.give(fd);
}

long dispatch(Command& command, int number) {
  switch (number) {
    case BPF_MAP_CREATE:
      return map_create(command);
    case BPF_MAP_LOOKUP_ELEM:
      return map_lookup(command);
    case BPF_MAP_UPDATE_ELEM:
      return map_update(command);
    case BPF_MAP_DELETE_ELEM:
      return map_delete(command);
    case BPF_MAP_GET_NEXT_KEY:
      return map_next_key(command);
    case BPF_MAP_LOOKUP_AND_DELETE_ELEM:
      return map_lookup_and_delete(command);
    case BPF_MAP_FREEZE:
      return map_freeze(command);
    case BPF_MAP_LOOKUP_BATCH:
      return map_lookup_batch(command, false);
    case BPF_MAP_LOOKUP_AND_DELETE_BATCH:
      return map_lookup_batch(command, true);
    case BPF_MAP_UPDATE_BATCH:
      return map_update_batch(command);
    case BPF_MAP_DELETE_BATCH:
      return map_delete_batch(command);
    case BPF_PROG_LOAD:
      return program_load(command);
    case BPF_PROG_BIND_MAP:
      return program_bind_map(command);
    case BPF_PROG_TEST_RUN:
      return program_test_run(command);
    case BPF_BTF_LOAD:
      return btf_load(command);
    case BPF_OBJ_GET_INFO_BY_FD:
      return object_info(command);
    case BPF_PROG_GET_NEXT_ID:
      return object_next_id(command, ObjectKind::kProgram);
    case BPF_MAP_GET_NEXT_ID:
      return object_next_id(command, ObjectKind::kMap);
    case BPF_BTF_GET_NEXT_ID:
      return object_next_id(command, ObjectKind::kBtf);
    case BPF_LINK_GET_NEXT_ID:
      return object_next_id(command, ObjectKind::kLink);
    case BPF_PROG_GET_FD_BY_ID:
      return object_fd_by_id(command, ObjectKind::kProgram);
    case BPF_MAP_GET_FD_BY_ID:
      return object_fd_by_id(command, ObjectKind::kMap);
    case BPF_BTF_GET_FD_BY_ID:
      return object_fd_by_id(command, ObjectKind::kBtf);
    case BPF_LINK_GET_FD_BY_ID:
      return object_fd_by_id(command, ObjectKind::kLink);
    case BPF_OBJ_PIN:
      return object_pin(command);
    case BPF_OBJ_GET:
      return object_get(command);
    case BPF_LINK_CREATE:
      return link_create(command);
    case BPF_LINK_UPDATE:
      return link_update(command);
    case BPF_LINK_DETACH:
      return link_detach(command);
    case BPF_ENABLE_STATS:
      return enable_stats(command);
    case BPF_TASK_FD_QUERY:  // no perf events on a card
      return -ENOTSUP;
    case BPF_PROG_ATTACH:  // cgroups, sockets and flow dissectors; XDP attaches by link
    case BPF_PROG_DETACH:
    case BPF_PROG_QUERY:
    case BPF_RAW_TRACEPOINT_OPEN:
    case BPF_ITER_CREATE:
    default:
      return -EINVAL;
  }
}

bool only_looks(int command) {
  switch (command) {
    case BPF_MAP_LOOKUP_ELEM:
    case BPF_MAP_GET_NEXT_KEY:
    case BPF_MAP_LOOKUP_BATCH:
    case BPF_OBJ_GET_INFO_BY_FD:
    case BPF_PROG_GET_NEXT_ID:
    case BPF_MAP_GET_NEXT_ID:
    case BPF_BTF_GET_NEXT_ID:
    case BPF_LINK_GET_NEXT_ID:
    case BPF_PROG_GET_FD_BY_ID:
    case BPF_MAP_GET_FD_BY_ID:
    case BPF_BTF_GET_FD_BY_ID:
    case BPF_LINK_GET_FD_BY_ID:
    case BPF_OBJ_GET:
      return true;
    default:
      return false;
  }
}

}  // namespace

Device::Device(const DeviceOptions& options) : state_(std::make_unique<State>()) {
  door_is_linked();
  state_->cpus = options.cpus ? options.cpus : possible_cpus();
  if (options.clock) state_->clock = options.clock;
  state_->test_run_engine = options.test_run_engine;
  state_->ports.add(1, "lo", 1);
}

Device::~Device() { uninstall_device(this); }

long Device::bpf(int command, union bpf_attr* attr, uint32_t size) {
  return bpf(LocalCaller(), command, reinterpret_cast<uint64_t>(attr), size);
}

long Device::bpf(const Caller& caller, int command, uint64_t user_attr, uint32_t size) {
  if (caller.read_only() && !only_looks(command)) return -EPERM;
  Command call(*state_, caller, user_attr, size);
  if (size > 4096) return -E2BIG;  // kernel/bpf/syscall.c bpf_check_uarg_tail_zero: one page
  if (size > sizeof call.attr)
    if (int error = caller.check_zero(user_attr + sizeof call.attr, size - sizeof call.attr)) return error;
  if (int error = caller.read(user_attr, &call.attr, std::min<size_t>(size, sizeof call.attr))) return error;
  return dispatch(call, command);
}

std::shared_ptr<const exec::LoadedProgram> Device::program(int fd) const {
  FileIdentity identity;
  if (LocalCaller().identify(fd, identity) != 0) return nullptr;
  auto object = state_->objects.find(identity);
  if (!object || object->kind != ObjectKind::kProgram) return nullptr;
  return program_ref(std::static_pointer_cast<ProgramObject>(object));
}

std::shared_ptr<exec::maps::Map> Device::map(int fd) const {
  FileIdentity identity;
  if (LocalCaller().identify(fd, identity) != 0) return nullptr;
  auto object = state_->objects.find(identity);
  if (!object || object->kind != ObjectKind::kMap) return nullptr;
  return map_ref(std::static_pointer_cast<MapObject>(object));
}

bool Device::add_port(uint32_t ifindex, const std::string& name, uint32_t queues) {
  return state_->ports.add(ifindex, name, queues);
}

bool Device::remove_port(uint32_t ifindex) { return state_->ports.remove(ifindex); }

std::shared_ptr<const exec::LoadedProgram> Device::port_program(uint32_t ifindex) const {
  auto program = state_->ports.program(ifindex);
  return program ? program_ref(program) : nullptr;
}

void Device::set_port_listener(PortListener* listener) { state_->ports.set_listener(listener); }

uint32_t Device::cpus() const { return state_->cpus; }

std::shared_ptr<exec::maps::Map> Device::map_by_id(uint32_t id) const {
  auto object = state_->objects.find(ObjectKind::kMap, id);
  return object ? map_ref(std::static_pointer_cast<MapObject>(object)) : nullptr;
}

std::vector<std::string> Device::pins() const { return state_->pins.paths(); }

bool Device::unpin(const std::string& path) { return state_->pins.unpin(state_->objects, path) == 0; }

}  // namespace xnic::device
