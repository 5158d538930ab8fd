// SPDX-License-Identifier: Apache-2.0
// Options go to the agent's own socket, with the agent's rights: so only those pass whose values are plain bytes (no
// pointers into a process that is not the caller) and that give no power over other traffic. Others are ENOPROTOOPT,
// and those that need a privilege EPERM.
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <initializer_list>

#include "transport/agent/agent_impl.hpp"

namespace xnic::transport::agent {

using message::decode;

namespace {

bool is_one_of(int name, std::initializer_list<int> names) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

constexpr int kIpLocalPortRange = 51;  // linux/in.h, since Linux 6.3
constexpr int kSoIncomingNapiId = 56;
constexpr int kTcpInq = 36;
constexpr socklen_t kMostBytes = 4096;

}  // namespace

bool may_set_option(int level, int name) {
  switch (level) {
    case SOL_SOCKET:
      return is_one_of(name, {SO_REUSEADDR, SO_REUSEPORT, SO_DONTROUTE, SO_BROADCAST, SO_SNDBUF, SO_RCVBUF,
                              SO_KEEPALIVE, SO_OOBINLINE, SO_PRIORITY, SO_LINGER, SO_TIMESTAMP, SO_MAX_PACING_RATE,
                              SO_INCOMING_CPU, SO_DEBUG, SO_SNDLOWAT});
    case IPPROTO_IP:
      return is_one_of(name, {IP_TOS, IP_TTL, IP_MTU_DISCOVER, IP_RECVERR, IP_MINTTL, IP_BIND_ADDRESS_NO_PORT,
                              IP_RECVTOS, kIpLocalPortRange});
    case IPPROTO_IPV6:
      return is_one_of(name,
                       {IPV6_V6ONLY, IPV6_UNICAST_HOPS, IPV6_TCLASS, IPV6_RECVTCLASS, IPV6_MTU_DISCOVER, IPV6_RECVERR});
    case IPPROTO_TCP:
      return is_one_of(name, {TCP_NODELAY, TCP_MAXSEG, TCP_CORK, TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT, TCP_SYNCNT,
                              TCP_LINGER2, TCP_DEFER_ACCEPT, TCP_WINDOW_CLAMP, TCP_QUICKACK, TCP_CONGESTION,
                              TCP_USER_TIMEOUT, TCP_FASTOPEN, TCP_NOTSENT_LOWAT, TCP_THIN_LINEAR_TIMEOUTS});
    default:
      return false;
  }
}

bool may_get_option(int level, int name) {
  if (may_set_option(level, name)) return true;
  if (level == SOL_SOCKET) return is_one_of(name, {kSoIncomingNapiId, SO_RCVLOWAT, SO_MARK, SO_BUSY_POLL});
  if (level == IPPROTO_IP) return name == IP_MTU;
  if (level == IPPROTO_IPV6) return name == IPV6_MTU;
  return level == IPPROTO_TCP && is_one_of(name, {TCP_INFO, TCP_CC_INFO, kTcpInq});
}

void AgentImpl::on_set_option(Session& session, TcpSocket& socket, uint32_t id, base::Bytes body) {
  const auto wanted = decode<message::OptionBody>(body);
  if (!wanted) return violate(session, "an option that is none");
  const base::Bytes value = body.subspan(sizeof *wanted);
  if (!may_set_option(wanted->level, wanted->name)) {
    const bool privileged = wanted->level == SOL_SOCKET &&
                            is_one_of(wanted->name, {SO_BINDTODEVICE, SO_MARK, SO_SNDBUFFORCE, SO_RCVBUFFORCE});
    return answer(session, id, wanted->tag, privileged ? EPERM : ENOPROTOOPT);
  }
  if (setsockopt(socket.fd.get(), wanted->level, wanted->name, value.data(), static_cast<socklen_t>(value.size())) != 0)
    return answer(session, id, wanted->tag, errno);
  if (wanted->level == SOL_SOCKET && wanted->name == SO_LINGER && value.size() >= sizeof(linger)) {
    linger given;
    std::memcpy(&given, value.data(), sizeof given);
    socket.linger_s = given.l_onoff != 0 ? std::max(given.l_linger, 0) : -1;
  }
  answer(session, id, wanted->tag, 0);
}

void AgentImpl::on_get_option(Session& session, TcpSocket& socket, uint32_t id, base::Bytes body) {
  const auto wanted = decode<message::OptionBody>(body);
  if (!wanted) return violate(session, "a question for an option that is none");
  if (!may_get_option(wanted->level, wanted->name)) return answer(session, id, wanted->tag, ENOPROTOOPT);
  uint8_t value[kMostBytes];
  socklen_t size = std::min(wanted->capacity, kMostBytes);
  if (getsockopt(socket.fd.get(), wanted->level, wanted->name, value, &size) != 0)
    return answer(session, id, wanted->tag, errno);
  answer(session, id, wanted->tag, 0, {value, size});
}

}  // namespace xnic::transport::agent
