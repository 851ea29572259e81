#include "agent/postfix/startup.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "agent/io/logsink.h"
#include "agent/io/patience.h"
#include "agent/settings/config.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"

enum {
	RETRY_MS = 1000,
	TELL_EVERY_MS = 60000,
	/* What postconf(1) itself finds wrong is not the system's, but may be
	 * a file that is just being edited. */
	CONFIG_TRIES = 5,
};

/* Told by what failed for the system's sake. */
static bool
wait_for_system(void *ctx, const char *why)
{
	struct startup *s = ctx;
	int64_t now_ms = clock_mono_ms();

	if (s->told_ms == 0 || now_ms - s->told_ms >= TELL_EVERY_MS)
		log_warn("%s -- cannot start, trying again", why);
	else
		now_ms = s->told_ms;
	s->told_ms = now_ms;
	if (!master_pause(RETRY_MS))
		exit(0);
	return true;
}

void
startup_begin(struct startup *s, const char *log_name, int argc, char **argv)
{
	char *error = NULL;

	*s = (struct startup){.argc = argc, .argv = argv, .state = {.fd = -1}};
	(void)signal(SIGPIPE, SIG_IGN);
	master_hide_memory();
	options_parse(&s->opt, argc, argv, &s->problems);
	/* master(8) sets GENERATION; somebody who tries it by hand reads. */
	logsink_open(log_name, _PATH_LOG,
	    s->opt.log_to_stderr || getenv("GENERATION") == NULL);
	log_set_verbose(s->opt.verbose);
	s->master = master_open(&s->opt, &error);
	if (s->master == NULL)
		log_fatal("%s", error);
	options_fini(&s->opt);
	problems_fini(&s->problems);
	patience_set(wait_for_system, s);
}

void
startup_read_settings(struct startup *s, struct provider_set *provider)
{
	for (int tries = 1;; tries++) {
		bool is_read;
		char *why;

		options_parse(&s->opt, s->argc, s->argv, &s->problems);
		is_read =
		    config_load(&s->set, provider, &s->opt, &s->problems, NULL);
		if (is_read && !s->problems.may_pass) {
			s->anonymizer = anonymizer_new(&s->set);
			return;
		}
		CHECK(s->problems.count > 0);
		why = mem_strdup(s->problems.text[s->problems.count - 1]);
		if (!s->problems.may_pass && tries >= CONFIG_TRIES) {
			logsink_tell_syslog(why);
			log_fatal("%s", why);
		}
		(void)wait_for_system(s, why);
		mem_free(why);
		if (provider != NULL)
			provider_set_fini(provider);
		settings_free(&s->set);
		problems_fini(&s->problems);
		options_fini(&s->opt);
	}
}

void
startup_set_log_name(struct startup *s, const char *log_name)
{
	if (options_override(&s->opt, "lane_log_name") != NULL)
		return;
	mem_free(s->set.lane_log_name);
	s->set.lane_log_name = mem_strdup(log_name);
}

void
startup_log_problems(const struct startup *s, size_t from)
{
	for (size_t i = from; i < s->problems.count; i++)
		log_lasting_fatal("%s", s->problems.text[i]);
}

void
startup_wait(struct startup *s, const char *why)
{
	char *text = mem_printf("%s: %s", why, strerror(errno));

	(void)wait_for_system(s, text);
	mem_free(text);
}

bool
startup_drop_privileges(void *startup)
{
	const struct startup *s = startup;
	char *error = NULL;
	bool is_good = master_drop_privileges(&s->set, &s->opt, &error);

	mem_free(error);
	return is_good;
}

static bool
is_passing(int error)
{
	return error == EMFILE || error == ENFILE || error == ENOMEM ||
	       error == EAGAIN || error == EINTR;
}

static enum state_directory
open_directory(struct startup *s, char **error_out)
{
	char why[512];
	enum state_directory result = state_directory_make(&s->set, error_out);

	if (result != STATE_DIRECTORY_OK ||
	    statefile_dir_open(
		&s->state, s->set.lane_state_directory, why, sizeof(why)))
		return result;
	*error_out = mem_strdup(why);
	return STATE_DIRECTORY_UNUSABLE;
}

enum state_directory
startup_open_state(struct startup *s, char **error_out)
{
	CHECK(s->state.fd < 0);
	for (;;) {
		enum state_directory result;

		errno = 0;
		result = open_directory(s, error_out);
		if (result != STATE_DIRECTORY_UNUSABLE || !is_passing(errno)) {
			anonymizer_use_key(s->anonymizer,
			    result == STATE_DIRECTORY_OK ? &s->state : NULL);
			return result;
		}
		(void)wait_for_system(s, *error_out);
		mem_free(*error_out);
	}
}

void
startup_try_state(struct startup *s)
{
	char *error = NULL;

	if (startup_open_state(s, &error) != STATE_DIRECTORY_OK)
		log_warn("%s", error);
	mem_free(error);
}

void
startup_fini(struct startup *s)
{
	anonymizer_free(&s->anonymizer);
	statefile_dir_close(&s->state);
	master_close(&s->master);
	problems_fini(&s->problems);
	settings_free(&s->set);
	options_fini(&s->opt);
}
