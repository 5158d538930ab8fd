// SPDX-License-Identifier: Apache-2.0
#include "transport/preload/policy.hpp"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>

namespace xnic::transport::preload {
namespace {

bool offloads(const Policy& policy, Use use, const char* text, uint16_t port) {
  sockaddr_storage address{};
  auto& v4 = reinterpret_cast<sockaddr_in&>(address);
  auto& v6 = reinterpret_cast<sockaddr_in6&>(address);
  if (inet_pton(AF_INET, text, &v4.sin_addr) == 1) {
    v4.sin_family = AF_INET;
    v4.sin_port = htons(port);
  } else {
    EXPECT_EQ(inet_pton(AF_INET6, text, &v6.sin6_addr), 1) << text;
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(port);
  }
  return policy.offloads(use, reinterpret_cast<const sockaddr*>(&address));
}

Policy parsed(const char* text) {
  auto policy = Policy::parse(text);
  EXPECT_TRUE(policy) << text;
  return policy ? *policy : Policy();
}

TEST(Policy, OffloadsEverythingButWhatMeansThisHostOrLink) {
  const Policy none = parsed("");
  for (const char* address : {"10.0.0.1", "0.0.0.0", "::", "2001:db8::1", "::ffff:10.0.0.1"})
    EXPECT_TRUE(offloads(none, Use::kConnect, address, 80)) << address;
  for (const char* address :
       {"127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "169.254.1.1", "fe80::1", "224.0.0.1", "ff02::1"})
    EXPECT_FALSE(offloads(none, Use::kListen, address, 80)) << address;
}

TEST(Policy, TheFirstRuleThatMatchesDecides) {
  const Policy policy = parsed("kernel 10.1.0.0/16; offload connect 10.0.0.0/8 port 80-89; kernel");
  EXPECT_FALSE(offloads(policy, Use::kConnect, "10.1.2.3", 80));
  EXPECT_TRUE(offloads(policy, Use::kConnect, "10.2.2.3", 80));
  EXPECT_TRUE(offloads(policy, Use::kConnect, "::ffff:10.2.2.3", 89));
  EXPECT_FALSE(offloads(policy, Use::kConnect, "10.2.2.3", 90));
  EXPECT_FALSE(offloads(policy, Use::kListen, "10.2.2.3", 80));
  EXPECT_FALSE(offloads(policy, Use::kConnect, "11.0.0.1", 80));
}

TEST(Policy, PrefixesEndWithinBytes) {
  const Policy policy = parsed("offload 172.16.0.0/12; offload 2001:db8:8000::/33; kernel");
  EXPECT_TRUE(offloads(policy, Use::kConnect, "172.31.255.255", 1));
  EXPECT_FALSE(offloads(policy, Use::kConnect, "172.32.0.0", 1));
  EXPECT_TRUE(offloads(policy, Use::kConnect, "2001:db8:ffff::1", 1));
  EXPECT_FALSE(offloads(policy, Use::kConnect, "2001:db8:7fff::1", 1));
}

TEST(Policy, RefusesWhatItDoesNotUnderstand) {
  for (const char* text : {"accept", "offload 10.0.0.0/33", "offload port", "offload port 9-3", "offload port x",
                           "kernel fe80::/129", "offload connect listen", "offload 10.0.0"})
    EXPECT_FALSE(Policy::parse(text)) << text;
}

}  // namespace
}  // namespace xnic::transport::preload
