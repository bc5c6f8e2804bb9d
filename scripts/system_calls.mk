# prog_system_calls is made of several files: tests/integration/system_calls_*.c, before the libraries.
SYSTEM_CALLS_PARTS := $(call objs,$(wildcard tests/integration/system_calls_*.c))

$(O)/tests/integration/prog_system_calls: %: %.o $(SYSTEM_CALLS_PARTS) $(TEST_LIBS)
	$(CC) $(LDFLAGS_ALL) $^ $(URING) -lsystemd -ljansson -o $@
