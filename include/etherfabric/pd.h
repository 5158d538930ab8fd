/* SPDX-License-Identifier: Apache-2.0 */
/* Protection domains: which memory the card may reach on behalf of which virtual interfaces. */
#ifndef __EFAB_PD_H__
#define __EFAB_PD_H__

#include <etherfabric/base.h>

#ifdef __cplusplus
extern "C" {
#endif

enum ef_pd_flags {
  EF_PD_DEFAULT = 0x0,
  EF_PD_VF = 0x1, /* the card has no virtual functions: -ENODEV */
  EF_PD_PHYS_MODE = 0x2,
  EF_PD_RX_PACKED_STREAM = 0x4,
  EF_PD_VPORT = 0x8,
  EF_PD_MCAST_LOOP = 0x10, /* multicast sent here also reaches filters of the same port that ask for it */
  EF_PD_MEMREG_64KiB = 0x20,
  EF_PD_IGNORE_BLACKLIST = 0x40,
  EF_PD_EXPRESS = 0x80, /* the card has one datapath: no effect */
};

#define EF_PD_VLAN_NONE -1

typedef struct ef_pd {
  enum ef_pd_flags pd_flags;
  unsigned pd_resource_id;
  char* pd_intf_name;
  char* pd_cluster_name;
  int pd_cluster_sock;
  ef_driver_handle pd_cluster_dh;
  unsigned pd_cluster_viset_resource_id;
  int pd_cluster_viset_index;
} ef_pd;

/* A domain on the port whose network interface has this index. -ENODEV: it is no port of the card, or a virtual
 * function was asked for; -ENOSPC. The environment's EF_VI_PD_FLAGS replaces `flags`. */
extern int ef_pd_alloc(ef_pd* pd, ef_driver_handle pd_dh, int ifindex, enum ef_pd_flags flags);

/* The same by the name of the port. There are no clusters: "N@NAME" and other names are -ENODEV. */
extern int ef_pd_alloc_by_name(ef_pd* pd, ef_driver_handle pd_dh, const char* cluster_or_intf_name,
                               enum ef_pd_flags flags);

/* A domain with a virtual port of its own. The card has none: -EOPNOTSUPP. */
extern int ef_pd_alloc_with_vport(ef_pd* pd, ef_driver_handle pd_dh, const char* intf_name, enum ef_pd_flags flags,
                                  int vlan_id);

/* Name of the port; NULL when the domain was made by interface index and the interface is gone. */
extern const char* ef_pd_interface_name(ef_pd* pd);

extern int ef_pd_free(ef_pd* pd, ef_driver_handle pd_dh);

#ifdef __cplusplus
}
#endif

#endif /* __EFAB_PD_H__ */
