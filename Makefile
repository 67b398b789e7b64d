# Everything that a person or CI runs. `make help` lists it.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c

VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
ARCH := $(shell uname -m)
BINARIES := registrar convoy-bind lb-watcher edge-router machine-setup scheduler agent convoy-lease convoyctl
GENERATOR := convoy-generator

# Where things go; a package overrides these.
DESTDIR ?=
bindir ?= /usr/bin
unitdir ?= /usr/lib/systemd/system
generatordir ?= /usr/lib/systemd/system-generators
polkitdir ?= /usr/share/polkit-1/rules.d
catalogdir ?= /usr/lib/systemd/catalog
sysusersdir ?= /usr/lib/sysusers.d
templatedir ?= /usr/lib/convoy/templates
exampledir ?= /usr/share/doc/convoy/examples
mandir ?= /usr/share/man
bashdir ?= /usr/share/bash-completion/completions
zshdir ?= /usr/share/zsh/vendor-completions
fishdir ?= /usr/share/fish/vendor_completions.d

RELEASE_TREE := target/release-tree
RELEASE := target/convoy-$(VERSION)-$(ARCH).tar.gz

# Seconds of fuzzing, all targets together.
FUZZ_SECONDS ?= 300

.PHONY: help setup build install release lint test bench outside fuzz demo demo-down

help:
	@echo 'make demo        the whole road on four machines (or on loopback), step by step'
	@echo 'make demo-down   removes what the demo left running'
	@echo 'make setup       installs what build and tests need (Debian, as root)'
	@echo 'make build       builds the daemons'
	@echo 'make install     installs them (DESTDIR, bindir, unitdir and so on can be set)'
	@echo 'make release     builds the tarball that cloud-config.yaml installs'
	@echo 'make lint        format, lints, dependencies'
	@echo 'make test        all tests, the scenarios on real machines included'
	@echo 'make bench       benchmarks against the old ways, as tables'
	@echo 'make outside     the edge router under slowhttptest, sslscan and testssl.sh'
	@echo 'make fuzz        coverage-guided fuzzing, FUZZ_SECONDS=300'

setup:
	packaging/setup-debian.sh build test

build:
	packaging/setup-debian.sh build
	cargo build --release --locked $(BINARIES:%=--bin %) --bin $(GENERATOR)

# Units name the programs in /usr/bin; they follow when bindir is another place.
EMPTY :=
SPACE := $(EMPTY) $(EMPTY)
HERE = sed -E 's,/usr/bin/($(subst $(SPACE),|,$(BINARIES))),$(bindir)/\1,g'

install:
	install -d $(DESTDIR)$(bindir) $(DESTDIR)$(unitdir) $(DESTDIR)$(generatordir) \
	    $(DESTDIR)$(polkitdir) $(DESTDIR)$(catalogdir) $(DESTDIR)$(exampledir)/placed \
	    $(DESTDIR)$(sysusersdir) $(DESTDIR)$(templatedir) $(DESTDIR)$(mandir)/man1 \
	    $(DESTDIR)$(bashdir) $(DESTDIR)$(zshdir) $(DESTDIR)$(fishdir)
	install -m 0755 $(BINARIES:%=target/release/%) $(DESTDIR)$(bindir)/
	install -m 0755 target/release/$(GENERATOR) $(DESTDIR)$(generatordir)/
	target/release/convoyctl man $(DESTDIR)$(mandir)/man1
	target/release/convoyctl completions bash > $(DESTDIR)$(bashdir)/convoyctl
	target/release/convoyctl completions zsh > $(DESTDIR)$(zshdir)/_convoyctl
	target/release/convoyctl completions fish > $(DESTDIR)$(fishdir)/convoyctl.fish
	for unit in units/*.service units/*.socket units/*.target; do \
	    $(HERE) "$$unit" > $(DESTDIR)$(unitdir)/"$${unit##*/}"; \
	    chmod 0644 $(DESTDIR)$(unitdir)/"$${unit##*/}"; \
	done
	for unit in units/examples/*.service units/examples/placed/*.service; do \
	    $(HERE) "$$unit" > $(DESTDIR)$(exampledir)/"$${unit#units/examples/}"; \
	    chmod 0644 $(DESTDIR)$(exampledir)/"$${unit#units/examples/}"; \
	done
	for dropin in units/*.d; do \
	    install -d $(DESTDIR)$(unitdir)/"$${dropin##*/}"; \
	    install -m 0644 "$$dropin"/*.conf $(DESTDIR)$(unitdir)/"$${dropin##*/}"/; \
	done
	install -m 0644 packaging/usr/share/polkit-1/rules.d/*.rules $(DESTDIR)$(polkitdir)/
	install -m 0644 packaging/usr/lib/systemd/catalog/*.catalog $(DESTDIR)$(catalogdir)/
	install -m 0644 packaging/usr/lib/sysusers.d/*.conf $(DESTDIR)$(sysusersdir)/
	install -m 0644 packaging/usr/lib/convoy/templates/*.j2 $(DESTDIR)$(templatedir)/

# Nothing in the tarball lies under /usr but what /usr/local has to hold: see cloud-config.yaml.
release: build
	rm -rf $(RELEASE_TREE)
	$(MAKE) --no-print-directory install DESTDIR=$(RELEASE_TREE) bindir=/opt/convoy/bin \
	    unitdir=/etc/systemd/system generatordir=/etc/systemd/system-generators \
	    polkitdir=/etc/polkit-1/rules.d catalogdir=/usr/local/lib/systemd/catalog \
	    sysusersdir=/etc/sysusers.d templatedir=/opt/convoy/templates \
	    exampledir=/opt/convoy/examples mandir=/usr/local/share/man \
	    bashdir=/usr/local/share/bash-completion/completions zshdir=/usr/local/share/zsh/site-functions \
	    fishdir=/usr/local/share/fish/vendor_completions.d > /dev/null
	# Where people look for a command: on Flatcar in /opt/bin, elsewhere in /usr/local/bin.
	for place in opt/bin usr/local/bin; do \
	    install -d $(RELEASE_TREE)/$$place; \
	    ln -s /opt/convoy/bin/convoyctl $(RELEASE_TREE)/$$place/convoyctl; \
	done
	# Files without their folders: tar would close an existing one, / included, to everybody else for a moment.
	cd $(RELEASE_TREE) && find . ! -type d -print0 | LC_ALL=C sort --zero-terminated \
	    | tar --null --files-from=- --mtime=@0 --owner=root:0 --group=root:0 -czf $(CURDIR)/$(RELEASE)
	@echo '$(RELEASE)'

lint:
	packaging/setup-debian.sh build
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	@if command -v cargo-deny > /dev/null; then cargo deny --locked check bans licenses sources; \
	    else echo 'cargo-deny is not installed: dependencies are not checked (cargo install cargo-deny)'; fi

# Scenarios share the machine's cores with nothing else, so the test programs run one after the other.
test: setup release
	CONVOY_RELEASE=$(CURDIR)/$(RELEASE) CONVOY_BIN_DIR=$(CURDIR)/target/release \
	    cargo test --workspace --locked --no-fail-fast

bench: setup release
	cargo build --release --locked -p convoy-bench -p convoy-road
	CONVOY_RELEASE=$(CURDIR)/$(RELEASE) target/release/convoy-bench

outside:
	packaging/setup-debian.sh build outside
	cargo build --release --locked --bin edge-router --bin convoy-outside
	target/release/convoy-outside

fuzz:
	packaging/setup-debian.sh build fuzz
	tests/fuzz/run.sh $(FUZZ_SECONDS)

demo:
	@packaging/setup-debian.sh build test
	@$(MAKE) --no-print-directory release
	@cargo build --quiet --release --locked -p convoy-demo -p convoy-road -p convoy-cluster
	@CONVOY_RELEASE=$(CURDIR)/$(RELEASE) target/release/convoy-demo

demo-down:
	@cargo build --quiet --release --locked -p convoy-demo
	@target/release/convoy-demo down
