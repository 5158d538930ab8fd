/* SPDX-License-Identifier: Apache-2.0 */
/* What one bpf(2) on an element costs, and one access to mapped values. The same program measures the kernel, and under
 * `xnic exec` the card. Best of several rounds, in ns. usage: overhead [CALLS] */
#include <linux/bpf.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { kRounds = 7, kBatch = 256 };

static long bpf(int command, union bpf_attr* attr) { return syscall(SYS_bpf, command, attr, sizeof *attr); }

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

static int make_map(unsigned type, unsigned flags) {
  union bpf_attr attr = {0};
  attr.map_type = type;
  attr.key_size = 4;
  attr.value_size = 8;
  attr.max_entries = 1024;
  attr.map_flags = flags;
  return (int)bpf(BPF_MAP_CREATE, &attr);
}

static double elements(int map, int command, unsigned calls) {
  double best = 1e18;
  for (int round = 0; round < kRounds; ++round) {
    const double start = now();
    for (uint32_t i = 0; i < calls; ++i) {
      uint32_t key = i % 1024;
      uint64_t value = i;
      union bpf_attr attr = {0};
      attr.map_fd = (uint32_t)map;
      attr.key = (uintptr_t)&key;
      attr.value = (uintptr_t)&value;
      if (bpf(command, &attr)) return -1;
    }
    const double each = (now() - start) / calls;
    if (each < best) best = each;
  }
  return best;
}

static double batch(int map, unsigned calls) {
  static uint32_t keys[kBatch];
  static uint64_t values[kBatch];
  for (uint32_t i = 0; i < kBatch; ++i) keys[i] = i;
  double best = 1e18;
  for (int round = 0; round < kRounds; ++round) {
    const double start = now();
    for (unsigned i = 0; i < calls / kBatch + 1; ++i) {
      union bpf_attr attr = {0};
      attr.batch.map_fd = (uint32_t)map;
      attr.batch.keys = (uintptr_t)keys;
      attr.batch.values = (uintptr_t)values;
      attr.batch.count = kBatch;
      if (bpf(BPF_MAP_UPDATE_BATCH, &attr)) return -1;
    }
    const double each = (now() - start) / (calls / kBatch + 1) / kBatch;
    if (each < best) best = each;
  }
  return best;
}

static double mapped(int map, unsigned calls) {
  volatile uint64_t* values = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, map, 0);
  if (values == MAP_FAILED) return -1;
  double best = 1e18;
  for (int round = 0; round < kRounds; ++round) {
    const double start = now();
    for (unsigned i = 0; i < calls * 100; ++i) values[i % 1024] += i;
    const double each = (now() - start) / (calls * 100);
    if (each < best) best = each;
  }
  return best;
}

int main(int argc, char** argv) {
  const unsigned calls = argc > 1 ? (unsigned)atoi(argv[1]) : 20000;
  const int hash = make_map(BPF_MAP_TYPE_HASH, 0), array = make_map(BPF_MAP_TYPE_ARRAY, BPF_F_MMAPABLE);
  if (hash < 0 || array < 0) return perror("map"), 1;
  const double update = elements(hash, BPF_MAP_UPDATE_ELEM, calls); /* fills it, too */
  const double lookup = elements(hash, BPF_MAP_LOOKUP_ELEM, calls);
  printf("hash update %.0f ns, lookup %.0f ns, of a batch of %d %.0f ns; array update %.0f ns, mapped %.2f ns\n",
         update, lookup, kBatch, batch(hash, calls), elements(array, BPF_MAP_UPDATE_ELEM, calls), mapped(array, calls));
  return 0;
}
