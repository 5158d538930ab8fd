// SPDX-License-Identifier: Apache-2.0
// Names and numbers of interfaces: the C library's functions, and the ioctls under them. A port that takes an interface
// of the kernel's is left to the kernel, which knows more of it.
#include "preload/ports.hpp"

#include <errno.h>
#include <linux/perf_event.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "preload/perf.hpp"
#include "preload/real.hpp"

namespace xnic::preload {

using device::remote::PortRecord;

namespace {

Real<unsigned(const char*)> real_nametoindex("if_nametoindex");
Real<char*(unsigned, char*)> real_indextoname("if_indextoname");
Real<struct if_nameindex*()> real_nameindex("if_nameindex");
Real<int(int, unsigned long, ...)> real_ioctl("ioctl");

// 0, -errno, or 1: not about a port of the card.
int answer_ioctl(unsigned long request, ifreq* order) {
  Ports ports;
  if (request == SIOCGIFNAME) {
    ports.read();
    const PortRecord* port = ports.by_index(static_cast<uint32_t>(order->ifr_ifindex));
    if (port == nullptr || port->is_interface) return 1;
    memcpy(order->ifr_name, port->name, sizeof order->ifr_name);
    return 0;
  }
  if (request != SIOCGIFINDEX && request != SIOCGIFFLAGS && request != SIOCGIFMTU && request != SIOCGIFHWADDR) return 1;
  ports.read();
  const PortRecord* port = ports.by_name(order->ifr_name);
  if (port == nullptr || port->is_interface) return 1;
  switch (request) {
    case SIOCGIFINDEX:
      order->ifr_ifindex = static_cast<int>(port->ifindex);
      break;
    case SIOCGIFFLAGS:
      order->ifr_flags = static_cast<short>(IFF_UP | IFF_BROADCAST | IFF_MULTICAST | (port->up ? IFF_RUNNING : 0));
      break;
    case SIOCGIFMTU:
      order->ifr_mtu = static_cast<int>(port->mtu);
      break;
    default:
      memset(&order->ifr_hwaddr, 0, sizeof order->ifr_hwaddr);
      order->ifr_hwaddr.sa_family = ARPHRD_ETHER;
      memcpy(order->ifr_hwaddr.sa_data, port->mac, sizeof port->mac);
  }
  return 0;
}

}  // namespace

uint64_t network_namespace() {
  struct stat status;
  return stat("/proc/self/ns/net", &status) == 0 ? status.st_ino : 0;
}

void Ports::read() {
  card_ask(
      Question::kPorts, network_namespace(), nullptr, 0, -1,
      [](void* context, const Answer& answer) {
        auto& self = *static_cast<Ports*>(context);
        self.count = answer.size / sizeof(PortRecord);
        if (self.count > kMaxPorts) self.count = kMaxPorts;
        memcpy(self.records, answer.bytes, self.count * sizeof(PortRecord));
      },
      this);
}

const PortRecord* Ports::by_index(uint32_t ifindex) const {
  for (size_t i = 0; i < count; ++i)
    if (records[i].ifindex == ifindex) return &records[i];
  return nullptr;
}

const PortRecord* Ports::by_name(const char* name) const {
  for (size_t i = 0; i < count; ++i)
    if (strncmp(records[i].name, name, sizeof records[i].name) == 0) return &records[i];
  return nullptr;
}

}  // namespace xnic::preload

using xnic::preload::Ports;

XNIC_EXPORT unsigned if_nametoindex(const char* name) noexcept {
  Ports ports;
  ports.read();
  if (const auto* port = ports.by_name(name)) return port->ifindex;
  return xnic::preload::real_nametoindex.get()(name);
}

XNIC_EXPORT char* if_indextoname(unsigned index, char* name) noexcept {
  Ports ports;
  ports.read();
  if (const auto* port = ports.by_index(index)) return strcpy(name, port->name);
  return xnic::preload::real_indextoname.get()(index, name);
}

// The kernel's interfaces, then the card's. if_freenameindex() frees each name and the list.
XNIC_EXPORT struct if_nameindex* if_nameindex() noexcept {
  struct if_nameindex* list = xnic::preload::real_nameindex.get()();
  Ports ports;
  ports.read();
  if (list == nullptr || ports.count == 0) return list;
  size_t count = 0;
  while (list[count].if_index != 0) ++count;
  void* longer = realloc(list, (count + ports.count + 1) * sizeof(struct if_nameindex));
  if (longer == nullptr) return list;
  list = static_cast<struct if_nameindex*>(longer);
  for (size_t i = 0; i < ports.count; ++i)
    if (!ports.records[i].is_interface) list[count++] = {ports.records[i].ifindex, strdup(ports.records[i].name)};
  list[count] = {0, nullptr};
  return list;
}

XNIC_EXPORT int ioctl(int fd, unsigned long request, ...) noexcept {
  va_list list;
  va_start(list, request);
  void* argument = va_arg(list, void*);
  va_end(list);
  if (xnic::preload::is_perf_request(request) && xnic::preload::kind_of(fd) == xnic::preload::ObjectKind::kPerf)
    return 0;  // a perf buffer of the card is always on
  if (_IOC_TYPE(request) == 0x89 && argument != nullptr) {
    const int result = xnic::preload::answer_ioctl(request, static_cast<ifreq*>(argument));
    if (result == 0) return 0;
  }
  return xnic::preload::real_ioctl.get()(fd, request, argument);
}
