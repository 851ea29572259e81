#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/mem.h"
#include "monitor/checkup.h"

enum { ENTRY_MAX = 65536 };

/* ---- fields -------------------------------------------------------------- */

static void
check_fields(struct checkup *c, const struct site_lane *lane)
{
	static const struct {
		enum mastercf_field field;
		const char *name, *wanted, *code, *why;
		enum finding_severity severity;
	} rows[] = {
	    {MASTERCF_PRIVATE, "private", "y", "PRIVATE",
		"the queue manager looks for it among private services",
		FINDING_ERROR},
	    {MASTERCF_UNPRIVILEGED, "unprivileged", "y", "UNPRIVILEGED",
		"it would stay root after it has read its tables",
		FINDING_WARNING},
	};
	const char *limit = lane->entry.fields[MASTERCF_PROCESS_LIMIT];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (mastercf_is_yes(&lane->entry, rows[i].field,
			c->prober.compatibility_level))
			continue;
		findings_add(&c->findings, rows[i].code, rows[i].severity,
		    lane->opt.service_name, "%s is n: %s", rows[i].name,
		    rows[i].why);
		checkup_fix_field(c, lane, rows[i].name, rows[i].wanted);
	}
	if (strcmp(limit, "1") == 0)
		return;
	findings_add(&c->findings, "PROCESS-LIMIT", FINDING_ERROR,
	    lane->opt.service_name,
	    "its process limit is %s: each process would have sessions of its "
	    "own, and none would be full",
	    limit);
	checkup_fix_field(c, lane, "process_limit", "1");
}

/* ---- the program and its jail -------------------------------------------- */

static void
check_program(struct checkup *c, const struct site_lane *lane)
{
	char *path = mem_printf(
	    "%s/%s", c->prober.daemon_directory, lane->entry.words[0]);

	if (access(path, X_OK) != 0)
		findings_add(&c->findings, "PROGRAM", FINDING_ERROR,
		    lane->opt.service_name,
		    "%s: %s: install postlane there (DAEMON_DIR)", path,
		    strerror(errno));
	mem_free(path);
}

static bool
is_same_file(const char *one, const char *other)
{
	char a[4096], b[4096];
	FILE *fa = fopen(one, "re"), *fb = fopen(other, "re");
	bool is_same = fa != NULL && fb != NULL;
	size_t n = 1;

	while (is_same && n > 0) {
		n = fread(a, 1, sizeof(a), fa);
		is_same =
		    fread(b, 1, sizeof(b), fb) == n && memcmp(a, b, n) == 0;
	}
	if (fa != NULL)
		(void)fclose(fa);
	if (fb != NULL)
		(void)fclose(fb);
	return is_same;
}

/* What names are looked up with, where there is only the jail. */
static void
check_chroot(struct checkup *c, const struct site_lane *lane)
{
	static const char *const files[] = {
	    "/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf"};
	const char *queue = lane->set.queue_directory;
	struct buf bad, copies;
	char *folder, *target;

	if (!mastercf_is_yes(
		&lane->entry, MASTERCF_CHROOT, c->prober.compatibility_level))
		return;
	buf_init(&bad, ENTRY_MAX);
	buf_init(&copies, ENTRY_MAX);
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		char *inside = mem_printf("%s%s", queue, files[i]);

		if (access(files[i], R_OK) == 0 &&
		    !is_same_file(files[i], inside)) {
			(void)buf_addf(&bad, "%s%s",
			    buf_len(&bad) > 0 ? ", " : "", inside);
			(void)buf_addf(&copies, " %s", files[i]);
		}
		mem_free(inside);
	}
	if (buf_len(&bad) > 0) {
		findings_add(&c->findings, "CHROOT-FILES", FINDING_ERROR,
		    lane->opt.service_name,
		    "it runs in a chroot, and there is missing or different: "
		    "%s",
		    buf_str(&bad));
		folder = mem_printf("%s/etc", queue);
		target = findings_quoted(folder);
		findings_fix(&c->findings, "mkdir -p %s && cp -p%s %s", target,
		    buf_str(&copies), target);
		mem_free(target);
		mem_free(folder);
	}
	buf_fini(&copies);
	buf_fini(&bad);
}

void
checkup_services(struct checkup *c)
{
	for (size_t i = 0; i < c->site->lane_count; i++) {
		const struct site_lane *lane = &c->site->lanes[i];

		checkup_words(c, lane);
		check_fields(c, lane);
		check_program(c, lane);
		check_chroot(c, lane);
	}
}
