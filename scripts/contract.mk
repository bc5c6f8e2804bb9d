# The contract programs share helpers and tests: what is not a test_*.c is linked into each of them,
# before the libraries it needs. Allocations are counted (tests/contract/mallocs.c). By name and not
# by pattern: make passes over a pattern whose prerequisites are not all there yet for one whose are.
# Bound at start like libpager.so: binding later would touch memory of the loader (poison.h).
CONTRACT_PARTS := $(call objs,$(filter-out tests/contract/test_%,$(wildcard tests/contract/*.c)))

$(CONTRACT): $(O)/tests/contract/%: $(O)/tests/contract/%.o $(CONTRACT_PARTS) $(O)/tests/suite.o $(TEST_LIBS)
	@echo "  LINK  $@"
	$(Q)$(CC) $(LDFLAGS_ALL) -Wl,-z,now -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc $^ $(URING) -lsystemd \
		-ljansson -lcunit -o $@

# The benchmark measures against the same small donor.
$(O)/tests/bench/bench_transport: $(O)/tests/contract/donor.o $(O)/tests/contract/rdma.o
$(O)/tests/bench/bench_transport: LDLIBS += $(O)/libcommon.a $(URING)
