// SPDX-License-Identifier: Apache-2.0
// BTF_LOAD: checks a blob and makes it an object.
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>

#include "device/state.hpp"

namespace xnic::device {
namespace {

constexpr uint32_t kMaxBtfBytes = 16u << 20;
constexpr size_t kLogTrueSizeOffset = 28;  // u32 btf_log_true_size, Linux 6.4

int write_log(const Command& command, const std::string& log) {
  const auto& attr = command.attr;
  uint32_t true_size = attr.btf_log_level == 0 ? 0 : static_cast<uint32_t>(log.size()) + 1;
  if (int error = command.put(kLogTrueSizeOffset, true_size)) return error;
  if (!attr.btf_log_buf) return 0;
  size_t kept = std::min<size_t>(log.size(), attr.btf_log_size - 1);
  if (int error = command.caller.write(attr.btf_log_buf, log.c_str() + (log.size() - kept), kept + 1)) return error;
  return true_size > attr.btf_log_size ? -ENOSPC : 0;
}

}  // namespace

long btf_load(Command& command) {
  const auto& attr = command.attr;
  if (!command.clean_after(kLogTrueSizeOffset + sizeof(uint32_t))) return -EINVAL;
  if (attr.btf_log_level & ~15u) return -EINVAL;
  if ((attr.btf_log_buf != 0) != (attr.btf_log_size != 0) || (attr.btf_log_buf && attr.btf_log_level == 0))
    return -EINVAL;
  if (attr.btf_size > kMaxBtfBytes) return -E2BIG;
  std::vector<uint8_t> blob(attr.btf_size);
  if (int error = command.caller.read(attr.btf, blob.data(), blob.size())) return error;
  auto parsed = Btf::parse(blob);
  std::string log;
  if (!parsed)
    log = parsed.error().message() + "\n";
  else if (attr.btf_log_level)
    log = fmt::format("magic: 0x{:x}\ntypes: {}\n", BTF_MAGIC, (*parsed)->last_id());
  if (int error = write_log(command, log)) return error;
  if (!parsed) return -EINVAL;

  auto object = std::make_shared<BtfObject>();
  object->uid = command.caller.uid();
  object->btf = std::move(*parsed);
  if (int error = command.state.objects.make_handle(*object, "xnic-btf")) return error;
  object->id = command.state.objects.allocate_id(ObjectKind::kBtf);
  int fd = command.state.objects.publish(object, Access::kReadOnly);
  return fd < 0 ? fd : command.caller.give(fd);
}

}  // namespace xnic::device
