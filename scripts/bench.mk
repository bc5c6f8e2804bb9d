# The programs of tests/bench are linked without the test library, so that what is measured starts
# as an ordinary program does.

BENCH_PARTS := $(patsubst %.c,$(O)/%.o,$(filter-out tests/bench/bench_%,$(wildcard tests/bench/*.c)))

$(BENCH): $(O)/tests/bench/%: $(O)/tests/bench/%.o $(BENCH_PARTS) $(O)/libcommon.a
	@echo "  LINK  $@"
	$(Q)$(CC) $(LDFLAGS_ALL) $^ $(URING) $(LDLIBS) -o $@

$(O)/tests/unit/test_bench_content: $(O)/tests/bench/content.o
