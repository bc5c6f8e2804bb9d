# Programs for tests that are made of several files: tests/integration/NAME_*.c, before the libraries
# they need.
define of_several
$(O)/tests/integration/prog_$(1): %: %.o $(call objs,$(wildcard tests/integration/$(1)_*.c)) $(TEST_LIBS)
	@echo "  LINK  $$@"
	$$(Q)$$(CC) $$(LDFLAGS_ALL) $$^ $$(URING) -lsystemd -ljansson -o $$@
endef

$(foreach name,donor_client fork hostile stress system_calls,$(eval $(call of_several,$(name))))
