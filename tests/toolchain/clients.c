/* SPDX-License-Identifier: Apache-2.0 */
/* Many clients at once: each makes maps, fills them, reads them back one by one, by iteration and in batches, and
 * deletes; all write into a map that they share. Some are killed at any moment and others take their place. At the end
 * no value was wrong, and no map is left. It knows nothing of the card. usage: clients COUNT SECONDS SEED */
#include <errno.h>
#include <linux/bpf.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { kElements = 64, kMaxClients = 256 };

static long bpf(int command, union bpf_attr* attr) { return syscall(SYS_bpf, command, attr, sizeof *attr); }

static int make_map(unsigned entries) {
  union bpf_attr attr = {0};
  attr.map_type = BPF_MAP_TYPE_HASH;
  attr.key_size = 4;
  attr.value_size = 8;
  attr.max_entries = entries;
  strcpy(attr.map_name, "clients");
  return (int)bpf(BPF_MAP_CREATE, &attr);
}

static long element(int command, int map, uint32_t* key, uint64_t* value) {
  union bpf_attr attr = {0};
  attr.map_fd = (uint32_t)map;
  attr.key = (uintptr_t)key;
  if (command != BPF_MAP_DELETE_ELEM) attr.value = (uintptr_t)value;
  return bpf(command, &attr);
}

static _Noreturn void wrong(const char* what) {
  fprintf(stderr, "client %d: %s: %s\n", getpid(), what, strerror(errno));
  _exit(1);
}

static uint64_t value_of(uint32_t key, uint32_t salt) { return (uint64_t)key << 32 | (key * 2654435761u ^ salt); }

/* All elements by GET_NEXT_KEY: each once, with its value. */
static void iterate(int map, uint32_t salt) {
  uint32_t key = 0, next = 0;
  uint64_t seen = 0, value = 0;
  for (int first = 1;; first = 0) {
    union bpf_attr attr = {0};
    attr.map_fd = (uint32_t)map;
    attr.key = first ? 0 : (uintptr_t)&key;
    attr.next_key = (uintptr_t)&next;
    if (bpf(BPF_MAP_GET_NEXT_KEY, &attr)) break;
    key = next;
    if (key >= kElements || (seen >> key & 1)) wrong("a key twice, or none of ours");
    seen |= 1ull << key;
    if (element(BPF_MAP_LOOKUP_ELEM, map, &key, &value) || value != value_of(key, salt)) wrong("value");
  }
  if (errno != ENOENT || seen != ~0ull) wrong("iteration");
}

static void batches(int map, uint32_t salt) {
  uint32_t keys[kElements], token = 0;
  uint64_t values[kElements];
  union bpf_attr attr = {0};
  attr.batch.map_fd = (uint32_t)map;
  attr.batch.out_batch = (uintptr_t)&token;
  attr.batch.keys = (uintptr_t)keys;
  attr.batch.values = (uintptr_t)values;
  attr.batch.count = kElements;
  if (bpf(BPF_MAP_LOOKUP_BATCH, &attr) && errno != ENOENT) wrong("batch");
  if (attr.batch.count != kElements) wrong("elements of a batch");
  for (int i = 0; i < kElements; ++i)
    if (values[i] != value_of(keys[i], salt)) wrong("value of a batch");
}

static void work(int shared, uint32_t number) {
  for (uint32_t round = 0;; ++round) {
    const uint32_t salt = (uint32_t)getpid() * 977 + round;
    const int map = make_map(kElements);
    if (map < 0) wrong("make");
    for (uint32_t key = 0; key < kElements; ++key) {
      uint64_t value = value_of(key, salt);
      if (element(BPF_MAP_UPDATE_ELEM, map, &key, &value)) wrong("update");
    }
    iterate(map, salt);
    batches(map, salt);
    for (uint32_t key = 0; key < kElements; key += 3)
      if (element(BPF_MAP_DELETE_ELEM, map, &key, NULL)) wrong("delete");
    uint64_t value = salt, found = 0;
    if (element(BPF_MAP_UPDATE_ELEM, shared, &number, &value)) wrong("update of the shared map");
    if (element(BPF_MAP_LOOKUP_ELEM, shared, &number, &found) || found != value) wrong("value of the shared map");
    close(map);
  }
}

static int maps(void) {
  int count = 0;
  union bpf_attr attr = {0};
  while (bpf(BPF_MAP_GET_NEXT_ID, &attr) == 0) {
    attr.start_id = attr.next_id;
    ++count;
  }
  return count;
}

static pid_t start(int shared, uint32_t number) {
  fflush(stdout);
  const pid_t pid = fork();
  if (pid == 0) work(shared, number);
  return pid;
}

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  const int count = atoi(argv[1]), seconds = atoi(argv[2]);
  srand((unsigned)atoi(argv[3]));
  if (count < 1 || count > kMaxClients) return 2;
  const int before = maps(), shared = make_map(kMaxClients);
  if (shared < 0) return perror("map"), 1;
  pid_t clients[kMaxClients];
  for (int i = 0; i < count; ++i) clients[i] = start(shared, (uint32_t)i);
  int killed = 0, failed = 0, status;
  const time_t end = time(NULL) + seconds;
  while (time(NULL) < end && !failed) {
    usleep(20000);
    const int i = rand() % count;
    kill(clients[i], SIGKILL);
    waitpid(clients[i], &status, 0);
    failed |= WIFEXITED(status);
    clients[i] = start(shared, (uint32_t)i);
    ++killed;
  }
  for (int i = 0; i < count; ++i) {
    kill(clients[i], SIGKILL);
    waitpid(clients[i], &status, 0);
    failed |= WIFEXITED(status);
  }
  close(shared);
  int after = maps();
  for (int i = 0; i < 100 && after != before; ++i) { /* a command of a killed client may still be under way */
    usleep(20000);
    after = maps();
  }
  printf("%d clients, %d killed, maps before %d and after %d\n", count, killed, before, after);
  return failed || after != before;
}
