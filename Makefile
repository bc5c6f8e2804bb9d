# Everything here is for people: see `make help`.
#
#   O=DIR        where the build goes            (build, build-address-undefined, build-clang, ...)
#   CC=gcc|clang SAN=address,undefined|thread    V=1 shows commands
#   WERROR=0     for compilers newer than ours
#
# A program is a list of rooms; a room is all .c files of a folder. Adding a file needs no edit here.

comma := ,
ifeq ($(origin CC),default)
CC := gcc
endif
SAN ?=
O ?= build$(if $(SAN),-$(subst $(comma),-,$(SAN)))$(if $(findstring clang,$(CC)),-clang)
PREFIX ?= /usr/local
DESTDIR ?=
WERROR ?= 1
V ?= 0
Q := $(if $(filter 0,$(V)),@)

VERSION := 0.1.0
WARNINGS := -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wvla \
	$(if $(filter 1,$(WERROR)),-Werror)
SANFLAGS := $(if $(SAN),-fsanitize=$(SAN) -fno-sanitize-recover=undefined -fno-omit-frame-pointer)
OPT ?= -O2 -g
CFLAGS_ALL = -std=gnu11 -D_GNU_SOURCE -DLIBPAGER_VERSION='"$(VERSION)"' $(OPT) $(WARNINGS) -fPIC \
	-fvisibility=hidden -ftls-model=initial-exec -pthread -I. $(SANFLAGS) $(CFLAGS)
LDFLAGS_ALL = -pthread $(SANFLAGS) $(LDFLAGS)
# Static where there is one: a program that libpager.so is loaded into need not have the library.
URING := $(if $(findstring /,$(shell $(CC) -print-file-name=liburing.a)),-l:liburing.a,-luring)

BASE := $(wildcard common/base/*.c)
WIRE := $(wildcard common/wire/*.c)
TRANSPORT := $(wildcard common/transport/*.c)
DONOR := $(filter-out donor/main.c,$(wildcard donor/*.c))
PAGER := $(wildcard pager/*.c)
CTL := $(filter-out pager/ctl/main.c,$(wildcard pager/ctl/*.c))
LIB := $(wildcard libpager/*.c)

COMMON := $(BASE) $(WIRE) $(TRANSPORT)
objs = $(patsubst %.c,$(O)/%.o,$(1))

UNIT := $(patsubst %.c,$(O)/%,$(wildcard tests/unit/test_*.c))
CONTRACT := $(patsubst %.c,$(O)/%,$(wildcard tests/contract/test_*.c))
BENCH := $(patsubst %.c,$(O)/%,$(wildcard tests/bench/bench_*.c))
HELPERS := $(patsubst %.c,$(O)/%,$(wildcard tests/integration/prog_*.c))
PROGRAMS := $(O)/donord $(O)/pagerctl $(O)/libpager.so

.PHONY: all
all: $(PROGRAMS) ## donord, pagerctl and libpager.so (the default)

$(O)/%.o: %.c
	@mkdir -p $(@D)
	@echo "  CC    $@"
	$(Q)$(CC) $(CFLAGS_ALL) -MMD -MP -c $< -o $@

# Called only where the CPU has it: common/base/hash.c.
ifneq ($(filter x86_64-%,$(shell $(CC) -dumpmachine)),)
$(O)/common/base/hash_avx2.o: CFLAGS_ALL += -mavx2
endif

# ---- programs ----

# Archives keep a test or tool from linking what it does not use.
$(O)/libcommon.a: $(call objs,$(COMMON))
$(O)/libdonor.a: $(call objs,$(DONOR))
$(O)/libengine.a: $(call objs,$(PAGER))
$(O)/libctl.a: $(call objs,$(CTL))
$(O)/lib%.a:
	@rm -f $@
	@echo "  AR    $@"
	$(Q)ar rcs $@ $^

$(O)/donord: $(call objs,donor/main.c) $(O)/libdonor.a $(O)/libcommon.a
	@echo "  LINK  $@"
	$(Q)$(CC) $(LDFLAGS_ALL) $^ $(URING) -lsystemd -o $@
$(O)/pagerctl: $(call objs,pager/ctl/main.c) $(O)/libctl.a $(O)/libengine.a $(O)/libcommon.a
	@echo "  LINK  $@"
	$(Q)$(CC) $(LDFLAGS_ALL) $^ $(URING) -ljansson -o $@
$(O)/libpager.so: $(call objs,$(LIB) $(PAGER) $(COMMON)) libpager/libpager.map
	@echo "  LINK  $@"
	$(Q)$(CC) -shared $(LDFLAGS_ALL) -Wl,-soname,libpager.so -Wl,-z,now -Wl,-z,defs -Wl,-z,nodelete \
		-Wl,--exclude-libs,ALL \
		-Wl,--version-script=libpager/libpager.map $(filter %.o,$^) $(URING) -o $@

# ---- tests ----

TEST_LIBS := $(O)/libctl.a $(O)/libdonor.a $(O)/libengine.a $(O)/libcommon.a

$(O)/tests/%: $(O)/tests/%.o $(O)/tests/suite.o $(TEST_LIBS)
	@echo "  LINK  $@"
	$(Q)$(CC) $(LDFLAGS_ALL) $^ $(URING) -lsystemd -ljansson -lcunit $(LDLIBS) -o $@
$(BENCH) $(HELPERS): LDLIBS += -lm

# Objects made on the way to a test are kept, or every run would compile them again.
.SECONDARY:

include $(wildcard scripts/*.mk)
-include $(shell find $(O) -name '*.d' 2>/dev/null)
