# Everything a person types. `make run` and `make test` need no step before them.
# JOBS: parallel compiles (default: one a core).
JOBS ?= $(shell nproc)
PRESET ?= release
BUILD = build/$(PRESET)
BIN = build/release/bin

.PHONY: test-toolchain docs docs-hxdp run test test-hxdp test-nfp test-native test-prove test-changepoint test-link demo-changepoint bench lint fmt clean setup build test-asan test-corpus test-nightly fuzz

## run: set up, build, and run four programs over three captures on the interpreter and the live kernel
run: PRESET = release
run: build
	scripts/demo.sh $(BIN)/xnic build/release/programs

## demo-changepoint: the stock series through the card: decisions checked, latency, and the picture
demo-changepoint: PRESET = release
demo-changepoint: build
	scripts/changepoint_demo.sh $(BIN) build/release/programs build/demo

## test: set up, build, and run all tests
test: build
	cd $(BUILD) && ctest --output-on-failure -j $(JOBS)
	@grep -hE '^[0-9]+ programs, .* (compared|checked), ' $(BUILD)/Testing/Temporary/LastTest.log || true

## test-nightly: the random comparisons at length, and test-native (SEED=n: other programs and packets)
SEED ?= 1
test-nightly: test-native
	$(BUILD)/bin/diff_random --programs 100000 --seed $(SEED) --save $(BUILD)
	$(BUILD)/bin/diff_soundness --programs 20000 --seed $(SEED) --save $(BUILD)

## test-native: native code against the interpreter at length: 20,000 random programs, 10,000,000 packets on real ones, as many with workers that share maps
test-native: build
	XNIC_CACHE=off $(BUILD)/bin/diff_random --engine native --programs 20000 --seed $(SEED) --save $(BUILD)
	$(BUILD)/bin/diff_programs tests/programs $(BUILD)/programs --engine native --packets 10000000 --seed $(SEED)
	$(BUILD)/bin/diff_programs tests/programs $(BUILD)/programs --workers 4 --any-order $(BUILD)/tests/diff/shared_state.bpf.o \
	  --packets 10000000 --seed $(SEED)

## test-hxdp: the hXDP compiler and card against the interpreter at length: every width, each pass off; HXDP_PACKETS a setting
HXDP_PACKETS ?= 100000
test-hxdp: build
	$(BUILD)/bin/hxdp_diff --programs tests/programs $(BUILD)/programs --installed --all --packets $(HXDP_PACKETS)
	$(BUILD)/bin/hxdp_diff --random 5000 --random-settings 8 --all

## test-nfp: the NFP compiler and card against the interpreter at length: each pass off in turn, the driver's alone, none
NFP_PROGRAMS ?= 5000
test-nfp: build
	$(BUILD)/bin/nfp_diff --programs $(NFP_PROGRAMS) --packets 108 --each --seed $(SEED)
	$(BUILD)/bin/nfp_diff --real tests/programs $(BUILD)/programs --packets 2000 --each --seed $(SEED)

## test-prove: every program at every cpu version: proved, or which region is not decided, and how long; fails when one is refuted or newly undecided
PROVE_SECONDS ?= 60
PROVE_UNDECIDED = $(foreach v,v1 v2 v3 v4,$(v)/katran_lb $(v)/syncookie $(v)/changepoint_sample)
test-prove: build
	$(BUILD)/bin/prove_programs --timeout $(PROVE_SECONDS)000 $(PROVE_UNDECIDED:%=--undecided %) \
	  $(foreach v,v1 v2 v3 v4,$(sort $(wildcard $(BUILD)/programs/$(v)/*.bpf.o)))

## test-link: 10^8 messages each way through the TCP offload's link, and 10^7 behind faults (LINK_MESSAGES a setting)
LINK_MESSAGES ?= 100000000
test-link: build
	$(BUILD)/bin/link_campaign --messages $(LINK_MESSAGES)
	$(BUILD)/bin/link_campaign --messages $$(($(LINK_MESSAGES) / 10)) --drop 20 --duplicate 20 --reorder 20 --corrupt 20 --stall 10

## test-changepoint: 10,000 streams of 2,000 samples, in order and then lossy on four queues, against the plain computation
test-changepoint: build
	$(BUILD)/bin/changepoint_campaign $(BUILD)/programs/changepoint_stream.bpf.o --engine native
	$(BUILD)/bin/changepoint_campaign $(BUILD)/programs/changepoint_stream.bpf.o --engine native --queues 4 --loss 10 --reorder 20 --late 2 --duplicates 5
	$(BUILD)/bin/changepoint_campaign $(BUILD)/programs/changepoint_sample.bpf.o --engine native --sampling --queues 4 --streams 1000 --loss 10 --reorder 20

## soak-datapath: a card at full rate for SOAK_SECONDS among bad links, slow and hostile peers; every packet accounted for
SOAK_SECONDS ?= 600
.PHONY: soak-datapath
soak-datapath: PRESET = release
soak-datapath: build
	build/release/bin/soak_datapath build/release/programs --seconds $(SOAK_SECONDS) $(ARGS)

## test-traffic: hosts in namespaces through the card at length, every engine and way of the ports (needs root)
.PHONY: test-traffic
test-traffic: build
	XNIC_TRAFFIC=long $(BUILD)/bin/traffic

## test-toolchain: two minutes of 50 clients, some killed; and what bpf(2) costs, of the kernel and of the card
test-toolchain: build
	tests/toolchain/on_a_card.sh $(BUILD)/bin/xnic $(BUILD)/bin/toolchain_clients 50 120 $(SEED)
	$(BUILD)/bin/toolchain_overhead
	tests/toolchain/on_a_card.sh $(BUILD)/bin/xnic $(BUILD)/bin/toolchain_overhead

## test-offload: the TCP offload against kernel TCP: the suite with itself 20 times, all of it offloaded, and redis at length
.PHONY: test-offload
test-offload: build
	scripts/bootstrap.sh clients
	$(BUILD)/bin/offload_runner $(BUILD)/bin/offload_conformance --jobs 8 --repeat 20
	tests/offload/net.sh $(BUILD)/bin/xnic-agent tests/offload/conformance/offload.sh $(BUILD)/bin/offload_runner \
	  $(BUILD)/bin/offload_conformance $(abspath $(BUILD))/lib/libxnic-socket.so tests/offload/conformance/differences.txt --jobs 8
	tests/offload/net.sh $(BUILD)/bin/xnic-agent tests/offload/clients/redis.sh $(abspath $(BUILD))/bin/xnic 200000

## test-corpus: other people's XDP programs (Debian packages): taken or refused as the kernel does, and equal on packets
test-corpus: build
	tests/corpus/build.sh
	$(BUILD)/bin/corpus_kernel_verdicts
	$(BUILD)/bin/corpus_compare

## test-asan: the whole test suite under AddressSanitizer and UndefinedBehaviorSanitizer
test-asan:
	$(MAKE) test PRESET=asan

## test-tsan: rings, ports, card and workers under ThreadSanitizer, and the soak for a while
.PHONY: test-tsan
test-tsan: setup
	@[ -f build/tsan/build.ninja ] || cmake --preset tsan
	cmake --build build/tsan -j $(JOBS) --target unit_nic soak_datapath programs
	TSAN_OPTIONS="die_after_fork=0 halt_on_error=1" build/tsan/bin/unit_nic \
	  --gtest_filter='Spsc*:Frames*:MemoryPort*:HostilePeer*:Fault*:Card*:TwoWorkers*:Threads*'
	TSAN_OPTIONS="halt_on_error=1" build/tsan/bin/soak_datapath build/tsan/programs --seconds 20 --engine interp --max-growth 4194304

## bench: all benchmarks; bench-NAME: one. Tables, and the same rows in build/bench/NAME.json (docs/benchmarks.md).
##   ARGS: options of the benchmark, as in make bench-hxdp ARGS="--cpu v3 --no-proof"
BENCHES = changepoint datapath efvi engines hxdp native nfp offload sim
bench: $(BENCHES:%=bench-%)

bench-datapath bench-efvi bench-native: peers
.PHONY: peers
peers:
	@scripts/bootstrap.sh peers

bench-%: PRESET = release
bench-%: build
	build/release/bin/bench_$* tests/programs build/release/programs build/bench/$*.json $(ARGS)

## build: configure and compile (PRESET=release|debug|asan|fuzz)
build: setup
	@[ -f $(BUILD)/build.ninja ] || cmake --preset $(PRESET)
	cmake --build $(BUILD) -j $(JOBS)

## setup: install the Debian packages that are missing
setup:
	@scripts/bootstrap.sh

## docs: bring the generated tables of docs/ up to date
docs: build
	$(BUILD)/bin/tidy . --write

## docs-hxdp: the tables in docs/hxdp.md of what each compiler pass buys, and how far schedules are from the shortest
docs-hxdp: build
	$(BUILD)/bin/hxdp_cases tests/programs $(BUILD)/programs/v2 --tables docs/hxdp.md

## lint: clang-tidy over the sources, format check, house rules
lint: build
	$(BUILD)/bin/tidy .
	scripts/lint.sh $(BUILD)

## fmt: format every C and C++ file
fmt:
	git ls-files '*.cpp' '*.hpp' '*.c' '*.h' | xargs clang-format-19 -i

## clean: remove everything that was built
clean:
	rm -rf build

## fuzz: each libFuzzer target for FUZZ_SECONDS (default 600), two at a time; findings in build/fuzz/findings
fuzz: setup
	@[ -f build/fuzz/build.ninja ] || cmake --preset fuzz
	cmake --build build/fuzz -j $(JOBS) --target fuzz_door fuzz_elf fuzz_verifier fuzz_interp fuzz_pcap fuzz_link fuzz_seeds programs
	tests/fuzz/run.sh build/fuzz
