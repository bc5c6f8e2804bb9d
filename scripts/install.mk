# Where things go: PREFIX (/usr/local) under DESTDIR. And what is not about programs: man pages, help.

MAN := $(patsubst docs/man/%.scd,$(O)/man/%,$(wildcard docs/man/*.scd))

.PHONY: install man clean help
$(O)/man/%: docs/man/%.scd
	@mkdir -p $(@D)
	scdoc <$< >$@

man: $(MAN) ## man pages, with scdoc

install: all man ## into DESTDIR= PREFIX=
	install -Dm755 $(O)/pagerctl $(DESTDIR)$(PREFIX)/bin/pagerctl
	install -Dm755 $(O)/donord $(DESTDIR)$(PREFIX)/sbin/donord
	install -Dm755 $(O)/libpager.so $(DESTDIR)$(PREFIX)/lib/libpager.so
	install -Dm644 libpager/pager.h $(DESTDIR)$(PREFIX)/include/pager.h
	sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@VERSION@|$(VERSION)|' libpager/libpager.pc.in | \
		install -Dm644 /dev/stdin $(DESTDIR)$(PREFIX)/lib/pkgconfig/libpager.pc
	sed -e 's|@PREFIX@|$(PREFIX)|' donor/donord.service | \
		install -Dm644 /dev/stdin $(DESTDIR)$(PREFIX)/lib/systemd/system/donord.service
	for page in $(MAN); do \
		install -Dm644 $$page $(DESTDIR)$(PREFIX)/share/man/man$${page##*.}/$${page##*/} || exit 1; \
	done
clean: ## removes every build
	rm -rf build build-*

# A target is listed if its line ends with "## what it does".
help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' $(filter %akefile %.mk,$(MAKEFILE_LIST)) | \
		awk -F'\t' '{ printf "  %-18s %s\n", $$1, $$2 }'
	@echo; sed -n '3,5s/^# *//p' Makefile
