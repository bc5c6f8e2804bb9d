# What `make check` is made of. Each part prints "PART: N passed, N failed, N skipped" at its end.

PARTS := unit contract integration fuzz docs
FUZZ_SECONDS ?= 10

.PHONY: deps check $(PARTS:%=check-%) check-faults check-sanitized-donord stress fuzz-programs fault-programs demo bench
deps: ## installs what building and checking need and this machine lacks
	@scripts/install-deps.sh check

# Every part runs, also after one has failed.
check: deps ## all tests but the fault runs
	@failed=; for part in $(PARTS); do \
		$(MAKE) --no-print-directory check-$$part || failed="$$failed $$part"; \
	done; [ -z "$$failed" ] || { echo "failed:$$failed" >&2; exit 1; }

check-unit: $(UNIT) ## pure parts: no network, no root, no clock
	@scripts/run-tests unit $^

$(O)/tests/unit/test_remap $(O)/tests/unit/test_remap_strays: $(O)/tests/unit/remap_bed.o

check-contract: $(O)/donord $(CONTRACT) ## what every transport promises
	@scripts/run-tests contract $(CONTRACT)

check-integration: all $(HELPERS) ## real programs on a donor of this host
	@tests/integration/run --build $(O)

stress: all $(HELPERS) ## an hour of everything at random; STRESS_SECONDS=, STRESS_SEED=
	@tests/integration/run --long --build $(O) stress

# A sanitizer's runtime has to come first in a process, so libpager.so is not preloaded with one. But
# donord may have one while it serves real programs.
SANITIZED_TESTS := donord app_lua

check-sanitized-donord: all $(HELPERS) ## some of those on a donord built with address,undefined
	@$(MAKE) --no-print-directory SAN=address,undefined O=$(O)/sanitized $(O)/sanitized/donord
	@for each in libpager.so pagerctl tests; do ln -sfn ../$$each $(O)/sanitized/$$each; done
	@tests/integration/run --build $(O)/sanitized $(SANITIZED_TESTS)

check-docs: all man ## the examples in README and man pages
	@O=$(O) scripts/check-docs

# ---- fuzzing: tests/fuzz/fuzz_NAME.c defines LLVMFuzzerTestOneInput(), corpus/NAME has seeds ----

FUZZERS := $(patsubst %.c,$(O)/%,$(wildcard tests/fuzz/fuzz_*.c))

# Shorter stems win: this is the rule for tests/fuzz, not the one of the other tests.
$(O)/tests/fuzz/%: $(O)/tests/fuzz/%.o $(TEST_LIBS)
	@echo "  LINK  $@"
	$(Q)$(CC) $(LDFLAGS_ALL) -fsanitize=fuzzer $^ $(URING) -lsystemd -ljansson -o $@

fuzz-programs: $(FUZZERS)

check-fuzz: ## every decoder against FUZZ_SECONDS of garbage (clang)
	@$(MAKE) --no-print-directory CC=clang SAN=fuzzer-no-link,address,undefined O=$(O)/fuzz \
		fuzz-programs
	@O=$(O)/fuzz FUZZ_SECONDS=$(FUZZ_SECONDS) scripts/check-fuzz

# ---- fault points: tests/faults/fault_NAME.c ends with 0 if all went well or an error came back ----

FAULTS := $(patsubst %.c,$(O)/%,$(wildcard tests/faults/fault_*.c))
FAULT_PARTS := $(call objs,$(filter-out tests/faults/fault_%,$(wildcard tests/faults/*.c)))

$(FAULTS): $(O)/tests/faults/%: $(O)/tests/faults/%.o $(FAULT_PARTS) $(TEST_LIBS)
	@echo "  LINK  $@"
	$(Q)$(CC) $(LDFLAGS_ALL) $^ $(URING) -lsystemd -ljansson -o $@

# The programs have faults of their own, for tests that run them.
ifneq ($(findstring FAULT_POINTS,$(CFLAGS)),)
$(PROGRAMS): $(FAULT_PARTS)
endif

$(O)/tests/faults/fault_store: $(call objs,tests/contract/lender.c)

fault-programs: $(O)/donord $(FAULTS)

check-faults: ## every error path, by failing the N-th call for each N
	@$(MAKE) --no-print-directory SAN=address,undefined O=$(O)/faults CFLAGS=-DFAULT_POINTS \
		fault-programs
	@scripts/check-faults $(patsubst $(O)/%,$(O)/faults/%,$(FAULTS))

# ---- shows ----

demo: deps ## a program in a quarter of its memory, next to a plain run
	@$(MAKE) --no-print-directory all
	@O=$(O) scripts/demo.sh

bench: all $(BENCH) ## one JSON line per case, next to the kernel's swap
	@O=$(O) tests/bench/run
