# postlane. One Makefile, no configure; `make help` lists the targets.
#   make [SAN=address,undefined] [CC=clang] [BUILD=dir]

CC       ?= cc
comma    := ,
BUILD    ?= build$(if $(SAN),/$(subst $(comma),-,$(SAN)))
DESTDIR  ?=
PREFIX   ?= /usr
DAEMON_DIR ?= $(or $(shell postconf -h daemon_directory 2>/dev/null),/usr/lib/postfix/sbin)
PROVIDER_DIR ?= /usr/share/postlane/providers

PKGS      = libevent openssl libcares libsasl2 libcurl jansson libpcre2-8 libseccomp hiredis
# hiredis's wish for large files would rename open() and its like, which test/faults replaces.
PKG_CFLAGS := $(filter-out -D_FILE_OFFSET_BITS=64,$(shell pkg-config --cflags $(PKGS) 2>/dev/null))
PKG_LIBS   := $(shell pkg-config --libs $(PKGS) 2>/dev/null)
TERM_LIBS  := $(shell pkg-config --libs ncursesw 2>/dev/null)

WARN = -Wall -Wextra -Wshadow -Wconversion -Wsign-conversion -Wformat=2 \
       -Wstrict-prototypes -Wmissing-prototypes -Wcast-qual -Wwrite-strings \
       -Wundef -Wvla -Wswitch-enum -Wimplicit-fallthrough -Wnull-dereference
# Enumerators are this project's constants, also beside doubles.
ifneq ($(findstring clang,$(CC)),)
WARN += -Wno-enum-float-conversion
endif
CFLAGS   ?= -O2 -g

# Hardening stands behind CFLAGS and LDFLAGS, which so cannot undo it: HARDEN=
# and HARDEN_LD= of make do. What a compiler does not know is left out.
known     = $(shell $(CC) -Werror $(2) $(1) -include stdio.h -S -o /dev/null -x c /dev/null 2>/dev/null && echo '$(1)')
known_ld  = $(shell echo 'int main(void) { return 0; }' | $(CC) -Werror $(1) -o /dev/null -x c - 2>/dev/null && echo '$(1)')
optimizes := $(if $(shell echo __OPTIMIZE__ | $(CC) $(CFLAGS) -E -P - 2>/dev/null | grep -x 1),yes)
zero      = -ftrivial-auto-var-init=zero
HARDEN   := -fPIE -fstack-protector-strong $(call known,-fstack-clash-protection) \
       $(call known,-fcf-protection=full)
ifeq ($(SAN),)
HARDEN   += $(or $(call known,$(zero)),$(call known,$(zero) -enable-trivial-auto-var-init-zero-knowing-it-will-be-removed-from-clang))
ifdef optimizes
HARDEN   += -U_FORTIFY_SOURCE $(or $(call known,-D_FORTIFY_SOURCE=3,-O2),-D_FORTIFY_SOURCE=2)
else
HARDEN   += -U_FORTIFY_SOURCE
# (setup and demo come here before there is a compiler)
$(if $(shell command -v $(firstword $(CC))),$(warning CFLAGS do not optimize: without _FORTIFY_SOURCE))
endif
endif
HARDEN_LD := -pie -Wl,-z,relro,-z,now,-z,noexecstack $(call known_ld,-Wl$(comma)-z$(comma)separate-code)
ALL_CFLAGS = -std=c11 -D_GNU_SOURCE -I. $(WARN) \
       $(if $(SAN),-fsanitize=$(SAN) -fno-omit-frame-pointer -fno-sanitize-recover=all) \
       $(PKG_CFLAGS) $(CFLAGS) $(HARDEN) $(WERROR)
ALL_LDFLAGS = -Wl,--as-needed $(if $(SAN),-fsanitize=$(SAN)) $(LDFLAGS) $(HARDEN_LD)

COMMON_SRC := $(wildcard common/*/*.c)
AGENT_SRC  := $(filter-out agent/main.c,$(wildcard agent/*.c agent/*/*.c))
# postlane replays logs in the world of lane-sim.
MONITOR_SRC := $(filter-out %/main.c,$(wildcard monitor/*.c monitor/lanestat/*.c monitor/replay/*.c \
               tools/lane-sim/*.c))
MONITOR_DIRS := $(patsubst %/main.c,%,$(wildcard monitor/*/main.c))
UNIT_SRC   := $(wildcard test/unit/*/test_*.c)
FUZZ_SRC   := $(wildcard test/fuzz/fuzz_*.c)
TOOL_DIRS  := $(wildcard tools/smarthost tools/delayproxy tools/smtpblast \
               tools/queuemanager)

obj = $(patsubst %.c,$(BUILD)/%.o,$(1))
COMMON_LIB := $(BUILD)/libcommon.a
AGENT_LIB  := $(BUILD)/libagent.a
MONITOR_LIB := $(BUILD)/libmonitor.a
MONITOR_BIN := $(patsubst monitor/%,$(BUILD)/%,$(MONITOR_DIRS))
UNIT_BIN   := $(patsubst %.c,$(BUILD)/unit/%,$(notdir $(UNIT_SRC)))
FUZZ_BIN   := $(patsubst test/fuzz/%.c,$(BUILD)/fuzz/%,$(FUZZ_SRC))
TOOL_BIN   := $(patsubst tools/%,$(BUILD)/%,$(TOOL_DIRS))

all: $(BUILD)/lane $(MONITOR_LIB) $(MONITOR_BIN)

$(BUILD)/lane: $(BUILD)/agent/main.o $(AGENT_LIB) $(COMMON_LIB)
	$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^ $(PKG_LIBS) -lm

$(BUILD)/%.o: %.c $(BUILD)/flags $(if $(WERROR),$(BUILD)/strict)
	@mkdir -p $(@D)
	@$(if $(WERROR),,rm -f $(BUILD)/strict)
	$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

# With what the objects were made: others of them are made anew. strict is
# there as long as all were made with warnings as errors.
FLAGS := $(CC) $(filter-out $(WERROR),$(ALL_CFLAGS))
$(BUILD)/flags: unless-same
	@mkdir -p $(@D)
	@[ "$$(cat $@ 2>/dev/null)" = '$(FLAGS)' ] || echo '$(FLAGS)' >$@
$(BUILD)/strict:
	@mkdir -p $(@D)
	@touch $@
unless-same:

# It contains the general rules (.incbin).
$(BUILD)/agent/settings/provider_set.o: providers/general.conf
$(BUILD)/common/shared/fleet_script.o: share/fleet/renew.lua share/fleet/forget.lua
$(BUILD)/common/base/release.o: VERSION
$(BUILD)/monitor/lanestat/page.o: $(addprefix monitor/lanestat/page.,html css js)

$(COMMON_LIB): $(call obj,$(COMMON_SRC))
	@rm -f $@
	$(AR) rcs $@ $^
$(AGENT_LIB): $(call obj,$(AGENT_SRC))
	@rm -f $@
	$(AR) rcs $@ $^

$(MONITOR_LIB): $(call obj,$(MONITOR_SRC))
	@rm -f $@
	$(AR) rcs $@ $^

# monitor/NAME/*.c makes build/NAME, what operators look with.
define monitor_rule
$(BUILD)/$(notdir $(1)): $(call obj,$(wildcard $(1)/*.c)) $(MONITOR_LIB) $(AGENT_LIB) $(COMMON_LIB)
	$$(CC) $$(ALL_CFLAGS) $$(ALL_LDFLAGS) -o $$@ $$^ $$(PKG_LIBS) $$(TERM_LIBS) -lm
endef
$(foreach d,$(MONITOR_DIRS),$(eval $(call monitor_rule,$(d))))

# tools/NAME/*.c makes build/NAME.
define tool_rule
$(BUILD)/$(notdir $(1)): $(call obj,$(wildcard $(1)/*.c)) $(COMMON_LIB)
	$$(CC) $$(ALL_CFLAGS) $$(ALL_LDFLAGS) -o $$@ $$^ $$(PKG_LIBS)
endef
$(foreach d,$(TOOL_DIRS),$(eval $(call tool_rule,$(d))))
tools: $(TOOL_BIN) $(BUILD)/lane-sim $(BUILD)/faults.so $(BUILD)/slowdisk.so $(BUILD)/clock.so

# To be preloaded: make calls fail, disks slow (scripts/slow-disk), the wall clock wrong.
$(BUILD)/faults.so $(BUILD)/slowdisk.so $(BUILD)/clock.so: $(BUILD)/%.so: test/faults/%.c
	@mkdir -p $(@D)
	$(CC) $(filter-out -fPIE,$(ALL_CFLAGS)) -fPIC -shared -o $@ $< -ldl

# The engine in fake time (doc/internals/pacing.md); test/unit/engine/test_sim.c uses it, too.
SIM_SRC := $(filter-out tools/lane-sim/main.c,$(wildcard tools/lane-sim/*.c))
$(BUILD)/lane-sim: $(call obj,tools/lane-sim/main.c $(SIM_SRC)) $(AGENT_LIB) $(COMMON_LIB)
	$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^ $(PKG_LIBS) -lm

# test/unit/FOLDER/test_NAME.c makes build/unit/test_NAME. They are many: mold or
# lld, where there is one, takes a tenth or half of ld's time for each.
UNIT_LD := $(firstword $(foreach l,mold lld,$(if $(shell command -v ld.$(l)),$(call known_ld,-fuse-ld=$(l)))))
SUPPORT := $(call obj,$(wildcard test/support/*.c) tools/delayproxy/congestion.c)
define unit_rule
$(BUILD)/unit/$(basename $(notdir $(1))): $(call obj,$(1) $(SIM_SRC)) $(SUPPORT) $(MONITOR_LIB) $(AGENT_LIB) $(COMMON_LIB)
	@mkdir -p $$(@D)
	$$(CC) $$(ALL_CFLAGS) $$(ALL_LDFLAGS) $$(UNIT_LD) -o $$@ $$^ $$(PKG_LIBS) -lcmocka -lm
endef
$(foreach t,$(UNIT_SRC),$(eval $(call unit_rule,$(t))))
unit: $(UNIT_BIN)

# What may go wrong, explored exhaustively: test/README.md.
MODEL_BIN := $(BUILD)/model-mail $(BUILD)/model-slots $(BUILD)/model-fleet
MODEL_LIBS := $(call obj,$(addprefix test/support/,fixture.c queue_source.c statedir.c)) $(AGENT_LIB) $(COMMON_LIB)
model_obj = $(call obj,$(patsubst %,test/model/%.c,explore $(1))) $(MODEL_LIBS)
comma_wrap = $(patsubst %,-Wl$(comma)--wrap=%,$(1))
$(BUILD)/model-mail: $(call model_obj,model_mail mail_world mail_world_ops server ledger)
	$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^ $(PKG_LIBS) -lm
$(BUILD)/model-slots: $(call model_obj,model_slots procs)
	$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) $(call comma_wrap,close clock_mono_ms clock_mono_us \
	    $(addprefix statefile_,open allocate lock unlock locked_map read write)) -o $@ $^ $(PKG_LIBS) -lm
$(BUILD)/model-fleet: $(call obj,test/model/model_fleet.c tools/lane-sim/sim_fleet.c) $(AGENT_LIB) $(COMMON_LIB)
	$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^ $(PKG_LIBS) -lm
model tools: $(MODEL_BIN)

# libFuzzer exists in clang only: its objects are apart, and made once for all targets.
FUZZ_CC = clang -std=c11 -D_GNU_SOURCE -I. -g -O1 -fsanitize=fuzzer,address,undefined \
          -fno-sanitize-recover=all
fuzz_obj = $(patsubst %.c,$(BUILD)/fuzz/%.o,$(1))
FUZZ_LIB := $(BUILD)/fuzz/libcommon.a
FUZZ_MAIL := test/fuzz/mail.c $(wildcard agent/engine/session*.c) \
             $(patsubst %,agent/engine/%.c,answers bdp checks generic manner message mtpriority pacer pipeline request rewriting trace transaction \
                          verdict)
FUZZ_BOARD := $(patsubst %,monitor/%.c,boardfile forecast health model model_fleet model_json pending recallfile say slotsfile standstill status_json steerfile \
              topview \
              $(addprefix lanestat/,events exposition history history_json lane_limits metrics metrics_accounts metrics_fleet page recorder)) \
              $(patsubst %,agent/settings/%.c,fingerprint params params_table problems) \
              $(patsubst %,agent/engine/%.c,domains mtpriority pacer) $(patsubst %,agent/io/%.c,dnsquestion trusted_resolver) \
              $(patsubst %,agent/state/%.c,recall_store safepath statefile token_store persist)
$(BUILD)/fuzz/%.o: %.c
	@mkdir -p $(@D)
	$(FUZZ_CC) $(PKG_CFLAGS) -MMD -MP -c -o $@ $<
$(FUZZ_LIB): $(call fuzz_obj,$(COMMON_SRC))
	@rm -f $@
	$(AR) rcs $@ $^
$(FUZZ_BIN): $(BUILD)/fuzz/%: $(BUILD)/fuzz/test/fuzz/%.o $(FUZZ_LIB)
	$(FUZZ_CC) -Wl,--as-needed -o $@ $(filter %.o,$^) $(FUZZ_LIB) $(PKG_LIBS) -lm
$(BUILD)/fuzz/fuzz_provider: $(call fuzz_obj,agent/settings/provider.c agent/engine/rules.c)
$(BUILD)/fuzz/fuzz_token: $(call fuzz_obj,agent/token/answer.c agent/token/form.c)
$(BUILD)/fuzz/fuzz_redis: $(call fuzz_obj,agent/engine/fleet_heard.c agent/fleet/question.c agent/fleet/redis.c agent/io/tls_client.c agent/settings/fleet_access.c)
$(BUILD)/fuzz/fuzz_login: $(call fuzz_obj,agent/smarthost/bearer.c agent/smarthost/sasl.c)
$(BUILD)/fuzz/fuzz_dns: $(call fuzz_obj,$(addprefix agent/io/,dns_filter.c dnsreply.c resolver_records.c))
$(BUILD)/fuzz/fuzz_table: $(call fuzz_obj,$(addprefix agent/tables/,cidr_table.c inline_table.c logical_lines.c table_name.c))
$(BUILD)/fuzz/fuzz_value: $(call fuzz_obj,agent/io/trusted_resolver.c agent/smarthost/tlspolicy.c)
$(BUILD)/fuzz/fuzz_session $(BUILD)/fuzz/fuzz_smuggle: $(call fuzz_obj,$(FUZZ_MAIL))
$(BUILD)/fuzz/fuzz_board: $(call fuzz_obj,$(FUZZ_BOARD))
$(BUILD)/fuzz/fuzz_http: $(call fuzz_obj,agent/io/loop.c monitor/lanestat/answers.c monitor/lanestat/web.c)
$(BUILD)/fuzz/fuzz_proxymap: $(call fuzz_obj,agent/tables/proxymap.c)
fuzz: $(FUZZ_BIN)

setup:
	@scripts/setup --if-missing

check: setup
	@$(MAKE) --no-print-directory -j$$(nproc) WERROR=-Werror checked
	BUILD=$(BUILD) scripts/check
checked: all tools unit fuzz $(if $(SAN),,sanitized)

# lane alone, for the integration tests that watch it from start to end.
sanitized:
	@$(MAKE) --no-print-directory SAN=address,undefined BUILD=$(BUILD)/sanitized $(BUILD)/sanitized/lane

# What scripts/lint compiles with, and every source's object, for it to read.
print-cflags:
	@echo '$(ALL_CFLAGS)'
# libFuzzer declares its entry point nowhere
$(BUILD)/test/fuzz/%.o: WARN += -Wno-missing-prototypes
objects: $(call obj,$(shell find common agent monitor tools test -name '*.c'))
lint:
	scripts/lint

demo:
	@scripts/setup --demo --if-missing
	@$(MAKE) --no-print-directory WERROR=-Werror all tools
	@BUILD=$(BUILD) scripts/demo

# test/bench/NAME_bench.c makes build/NAME_bench: what looking at lanes, and asking one, costs.
BENCH_BIN := $(patsubst test/bench/%.c,$(BUILD)/%,$(wildcard test/bench/*_bench.c))
$(BENCH_BIN): $(BUILD)/%: $(BUILD)/test/bench/%.o $(SUPPORT) $(MONITOR_LIB) $(AGENT_LIB) $(COMMON_LIB)
	$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^ $(PKG_LIBS) -lcmocka -lm
bench-steering: all tools $(BENCH_BIN)
	POSTLANE_BUILD=$(BUILD) /usr/bin/python3 -B test/bench/steering.py

# The fault matrix (test/faults/matrix.py), for hours: SECONDS of each site, SEED.
SECONDS ?= 14400
soak: setup
	@$(MAKE) --no-print-directory all tools
	POSTLANE_BUILD=$(BUILD) /usr/bin/python3 -B test/faults/matrix.py --seconds $(SECONDS) \
	    $(if $(SEED),--seed $(SEED))

# Beside smtp(8), in the same run: test/bench/README.md.
bench: setup
	@$(MAKE) --no-print-directory WERROR=-Werror all tools
	POSTLANE_BUILD=$(BUILD) /usr/bin/python3 -B test/bench/bench.py

MAN_DIR ?= $(PREFIX)/share/man
DOC_DIR ?= $(PREFIX)/share/doc/postlane
COMPLETION_DIR ?= $(PREFIX)/share/bash-completion/completions
install: all
	install -d $(DESTDIR)$(DAEMON_DIR) $(DESTDIR)$(PREFIX)/bin \
	    $(DESTDIR)$(PROVIDER_DIR) $(DESTDIR)$(MAN_DIR)/man1 $(DESTDIR)$(MAN_DIR)/man5 \
	    $(DESTDIR)$(MAN_DIR)/man8 $(DESTDIR)$(DOC_DIR) \
	    $(DESTDIR)$(PREFIX)/share/postlane/prometheus $(DESTDIR)$(PREFIX)/share/postlane/grafana
	install -m 755 $(BUILD)/lane $(BUILD)/lanestat $(DESTDIR)$(DAEMON_DIR)
	install -m 755 $(BUILD)/postlane $(DESTDIR)$(PREFIX)/bin
	install -m 644 providers/*.conf providers/*.replies $(DESTDIR)$(PROVIDER_DIR)
	install -D -m 644 completion/postlane.bash $(DESTDIR)$(COMPLETION_DIR)/postlane
	install -m 644 share/prometheus/* $(DESTDIR)$(PREFIX)/share/postlane/prometheus
	install -m 644 share/grafana/* $(DESTDIR)$(PREFIX)/share/postlane/grafana
	install -m 644 man/*.1 $(DESTDIR)$(MAN_DIR)/man1
	install -m 644 man/*.5 $(DESTDIR)$(MAN_DIR)/man5
	install -m 644 man/*.8 $(DESTDIR)$(MAN_DIR)/man8
	install -m 644 README.md CHANGELOG.md SECURITY.md LICENSE $(DESTDIR)$(DOC_DIR)
	for f in $$(find doc -type f) providers/README.md; do \
	    install -D -m 644 $$f $(DESTDIR)$(DOC_DIR)/$$f || exit 1; done
	install -m 644 main.cf.example master.cf.example $(DESTDIR)$(DOC_DIR)

deb:
	BUILD=$(BUILD) scripts/deb

clean:
	rm -rf $(BUILD)

help:
	@echo 'make | check | demo | bench | soak | lint | tools | unit | model | fuzz | install | deb | clean'

.PHONY: all tools unit model fuzz setup check checked sanitized lint print-cflags objects unless-same demo bench bench-steering soak install deb clean help
.SECONDARY:
-include $(shell find $(BUILD) -name '*.d' -type f 2>/dev/null)
