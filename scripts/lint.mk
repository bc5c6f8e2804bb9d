# What can be said about the code without running it.

C_FILES = $(shell find common donor pager libpager tests -name '*.[ch]')
LINT_C = $(filter %.c,$(C_FILES))
LINT_JOBS ?= $(shell nproc)

LINTS := format includes sizes shell cppcheck tidy

.PHONY: lint $(LINTS:%=lint-%)
lint: $(LINTS:%=lint-%) ## format, sizes, direction of includes, shellcheck, cppcheck, clang-tidy

# Versions of clang-format do not agree with each other: the tree is as Debian 12's has it.
FORMAT_VERSION := 14

lint-format:
	@echo '  CLANG-FORMAT'
	$(Q)if clang-format --version | grep -q 'version $(FORMAT_VERSION)\.'; then \
		clang-format --dry-run -Werror $(C_FILES); \
	else \
		echo 'skipped: format: needs clang-format $(FORMAT_VERSION)'; \
	fi

lint-includes:
	@echo '  INCLUDES'
	$(Q)scripts/lint-includes

lint-sizes:
	@echo '  SIZES'
	$(Q)scripts/lint-sizes $(C_FILES)

lint-shell:
	@echo '  SHELLCHECK'
	$(Q)scripts/lint-shell

# cppcheck guesses what system headers say, but for the macros of queue.h. Left out is what the
# compilers find, and find better, and va_end() after what does not return.
QUEUE_H = $(shell $(CC) -M -xc -include sys/queue.h /dev/null | grep -o '[^ ]*sys/queue.h')

lint-cppcheck:
	@echo '  CPPCHECK'
	$(Q)cppcheck -j$(LINT_JOBS) --quiet --error-exitcode=1 --enable=warning,performance,portability \
		--suppress=uninitvar --suppress=invalidPrintfArgType_uint --suppress=va_end_missing \
		--inline-suppr --std=c11 -D_GNU_SOURCE -I. --include=$(QUEUE_H) $(LINT_C)

# Reads .clang-tidy and compile_flags.txt. Its standard error is a count of what it left out.
lint-tidy:
	@echo '  CLANG-TIDY'
	$(Q)printf '%s\n' $(LINT_C) | xargs -P$(LINT_JOBS) -n4 clang-tidy --quiet 2>/dev/null
