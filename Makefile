# jfs: build, install, try, test. `make` alone builds bin/jfs.

GO      ?= go
PREFIX  ?= /usr/local
DESTDIR ?=
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
BENCH   ?= .

export CGO_ENABLED = 1

TOOLS    := .build/bin
LDFLAGS  := -X main.version=$(VERSION)
PGO      := $(addprefix -pgo=,$(abspath $(wildcard profiles/default.pgo)))
GO_FILES := $(shell git ls-files -co --exclude-standard '*.go' 2>/dev/null)

# Tests of packages wait for servers and mounts most of the time, so more of them run side by side than there are cores.
TEST := $(GO) test -p 4 -timeout 30m

# The race detector costs a lot of time; it runs over the rooms whose values are shared between goroutines, and over
# one engine of each family. "make race" runs it over everything.
RACE_ROOMS := $(wildcard internal object block cache prefetch upload fs bench)
RACE_SKIP  := ^TestServers$$|^TestConformanceWith|^TestSuite$$/^(no-cache|trash|writeback-cache)$$

.PHONY: build install setup quickstart demo tools test-deps test race soak lint fmt bench clean

build: ## bin/jfs
	$(GO) build -trimpath $(PGO) -ldflags '$(LDFLAGS)' -o bin/jfs ./cmd/jfs

install: build ## bin/jfs to $(PREFIX)/bin, and the link that mount(8) and fstab look for
	install -d '$(DESTDIR)$(PREFIX)/bin' '$(DESTDIR)/sbin'
	install -m 755 bin/jfs '$(DESTDIR)$(PREFIX)/bin/jfs'
	ln -sf '$(PREFIX)/bin/jfs' '$(DESTDIR)/sbin/mount.jfs'

setup: ## what building and running need from the distribution
	scripts/need.sh fusermount3:fuse3 gcc:gcc,libc6-dev

quickstart: setup build ## format, mount, copy a real tree in, check it after a remount, measure
	JFS=$(CURDIR)/bin/jfs scripts/quickstart.sh

demo: quickstart

tools: $(TOOLS)/golangci-lint $(TOOLS)/versitygw

$(TOOLS)/golangci-lint: tools/go.mod tools/go.sum
	cd tools && $(GO) build -o '$(CURDIR)/$@' github.com/golangci/golangci-lint/v2/cmd/golangci-lint

$(TOOLS)/versitygw: tools/go.mod tools/go.sum
	cd tools && $(GO) build -o '$(CURDIR)/$@' github.com/versity/versitygw/cmd/versitygw

test-deps: setup tools ## the servers that the tests start by themselves, and the programs that they run in a mount
	scripts/need.sh redis-server:redis-server initdb:postgresql mariadbd:mariadb-server etcd:etcd-server \
		git:git rsync:rsync sqlite3:sqlite3 make:make flock:util-linux \
		stress-ng:stress-ng fio:fio dbench:dbench bonnie++:bonnie++ setfattr:attr setfacl:acl

test: test-deps lint ## everything: lint, all tests, and the shared rooms again under the race detector
	PATH='$(CURDIR)/$(TOOLS)':"$$PATH" $(TEST) ./...
	PATH='$(CURDIR)/$(TOOLS)':"$$PATH" $(TEST) -race -skip '$(RACE_SKIP)' $(RACE_ROOMS:%=./%/...) ./meta ./meta/redis ./meta/sql ./meta/tkv ./meta/tkv/mem ./maintain

race: test-deps ## all tests under the race detector; takes about an hour
	PATH='$(CURDIR)/$(TOOLS)':"$$PATH" $(TEST) -race -timeout 3h ./...

soak: test-deps ## load, scale and crashes in full size; takes an hour or two
	PATH='$(CURDIR)/$(TOOLS)':"$$PATH" $(GO) test -timeout 4h ./cmd/jfs -run 'E2EScale|E2EStress|E2ECrash|E2ERaces|E2ERandom' -soak -crash.rounds 200

lint: $(TOOLS)/golangci-lint
	$(TOOLS)/golangci-lint run ./...

fmt:
	gofmt -w $(GO_FILES)

bench: ## the packages' benchmarks; BENCH is the pattern, compare two outputs with benchstat
	$(GO) test -run '^$$' -bench '$(BENCH)' -benchmem ./...

clean:
	rm -rf bin .build
