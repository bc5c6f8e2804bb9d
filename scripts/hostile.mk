# prog_hostile is made of several files: tests/integration/hostile_*.c, before the libraries they need.
HOSTILE_PARTS := $(call objs,$(wildcard tests/integration/hostile_*.c))

$(O)/tests/integration/prog_hostile: %: %.o $(HOSTILE_PARTS) $(TEST_LIBS)
	$(CC) $(LDFLAGS_ALL) $^ $(URING) -lsystemd -ljansson -o $@
