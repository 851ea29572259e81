/* A proxymap(8) of its own answers from a list, and notes what it is asked. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "agent/engine/answers.h"
#include "agent/engine/message.h"
#include "agent/engine/rewriting.h"
#include "agent/settings/params.h"
#include "agent/tables/content_tables.h"
#include "agent/tables/lookahead.h"
#include "common/base/mem.h"
#include "common/postfix/attr.h"
#include "test/support/queue_source.h"
#include "test/support/scratch.h"

enum { ASKED_MAX = 65536, FILE_MAX = 65536, OK = 0, NO_KEY = 1, RETRY = 2 };

static struct world {
	struct loop *loop;
	struct settings set;
	struct mapwatch *watch;
	struct problems problems;
	struct content_tables *tables;
	struct lookahead *lookahead;
	struct request *done; /* the last one that was told */
	bool is_ok;
	int told;
	pid_t server;
	char *asked; /* shared with the server: keys, a blank behind each */
	char path[200];
} w;

static const char *const entries[][2] = {{"a@in.example", "a@out.example"},
    {"@all.example", "@out.example"}, {"b@in.example", "bad"},
    {"bare@in.example", "x@out.example"}};

/* "silent" gets no answer, "retry" says that there is none now. */
static void
answer_key(int fd, struct slice key)
{
	struct buf out;
	int status = slice_eq(key, "retry@in.example") ? RETRY : NO_KEY;
	const char *value = "";
	size_t n = strlen(w.asked);

	(void)snprintf(w.asked + n, ASKED_MAX - n, "%.*s ", (int)key.n, key.p);
	if (slice_eq(key, "silent@in.example"))
		return;
	for (size_t i = 0; i < sizeof(entries) / sizeof(entries[0]); i++)
		if (slice_eq(key, entries[i][0])) {
			status = OK;
			value = entries[i][1];
		}
	buf_init(&out, 1024);
	attr_put_int(&out, "status", status);
	attr_put_str(&out, "value", slice_str(value));
	attr_put_end(&out);
	if (send(fd, buf_slice(&out).p, buf_len(&out), MSG_NOSIGNAL) < 0)
		_exit(1);
	buf_fini(&out);
}

static void
serve(int fd)
{
	static const char hello[] = "protocol\0proxymap_protocol\0";
	struct attr_reader r;
	struct slice key;
	char octet;
	size_t used;

	attr_reader_init(&r, 65536, 16);
	if (send(fd, hello, sizeof(hello), MSG_NOSIGNAL) < 0)
		_exit(2);
	while (read(fd, &octet, 1) == 1)
		if (attr_reader_feed(&r, &octet, 1, &used) == ATTR_LIST &&
		    attr_find(&r, "key", &key))
			answer_key(fd, key);
	attr_reader_fini(&r);
	(void)close(fd);
}

static void
start_server(void)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	(void)unlink(w.path);
	memcpy(addr.sun_path, w.path, strlen(w.path) + 1);
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(listen(fd, 5), 0);
	w.server = fork();
	assert_true(w.server >= 0);
	if (w.server == 0)
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	while (w.server == 0)
		serve(accept(fd, NULL, NULL));
	(void)close(fd);
}

static void
on_foreseen(void *ctx, struct request *req, bool is_ok)
{
	(void)ctx;
	w.done = req;
	w.is_ok = is_ok;
	w.told++;
}

static void
open_tables(int64_t timeout_ms)
{
	struct maps_env env = {.loop = w.loop,
	    .config_directory = "/nowhere",
	    .command_directory = "/nowhere",
	    .proxymap_path = w.path,
	    .mail_version = "3.7.11",
	    .timeout_ms = timeout_ms};

	w.tables = content_tables_open(&env, &w.set, w.watch, &w.problems);
	assert_int_equal(w.problems.count, 0);
	assert_true(content_tables_must_ask(w.tables));
}

static int
set_up(void **state)
{
	(void)state;
	memset(&w, 0, sizeof(w));
	scratch_config("");
	(void)snprintf(w.path, sizeof(w.path), "%s", scratch_path("proxymap"));
	w.asked = mmap(NULL, ASKED_MAX, PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(w.asked != MAP_FAILED);
	w.loop = loop_new();
	w.watch = mapwatch_new();
	params_init(&w.set);
	(void)params_set(&w.set, params_find("smtp_generic_maps"),
	    "inline:{here@in.example=h@out.example}, ldap:/etc/no", NULL);
	(void)params_set(&w.set, params_find("recipient_delimiter"), "+", NULL);
	w.lookahead = lookahead_new(w.loop, on_foreseen, NULL);
	start_server();
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	lookahead_free(&w.lookahead);
	content_tables_close(&w.tables);
	mapwatch_free(&w.watch);
	problems_fini(&w.problems);
	settings_free(&w.set);
	loop_free(&w.loop);
	(void)kill(w.server, SIGKILL);
	(void)waitpid(w.server, NULL, 0);
	(void)munmap(w.asked, ASKED_MAX);
	return 0;
}

/* A request with these headers, a line for each. */
static struct request *
request_of(const char *sender, const char *rcpt, const char *headers,
    struct queue_source *source, struct buf *file)
{
	struct request *req = mem_zalloc(sizeof(*req));

	req->sender = sender;
	req->queue_id = "ID";
	req->rcpts = mem_zarray(1, sizeof(*req->rcpts));
	req->rcpts[0].address = rcpt;
	req->rcpt_count = req->rcpt_due = 1;
	req->rules = content_tables_rules(w.tables);
	buf_init(file, FILE_MAX);
	while (*headers != '\0') {
		size_t n = strcspn(headers, "\n");

		(void)queue_put(file, 'N', slice_of(headers, n));
		headers += n + (headers[n] == '\n');
	}
	(void)queue_put_str(file, 'N', "");
	(void)queue_put_str(file, 'N', "To: body@in.example");
	(void)queue_put_str(file, 'X', "");
	queue_source_init(source, buf_slice(file));
	req->message = message_new(queue_source_of(source), 0, 998);
	message_set_rules(req->message, req->rules, req->queue_id);
	return req;
}

static void
foresee(struct request *req)
{
	int before = w.told;

	lookahead_begin(w.lookahead, req);
	while (w.told == before)
		loop_once(w.loop);
	assert_ptr_equal(w.done, req);
	assert_int_equal(lookahead_count(w.lookahead), 0);
}

static const char *
content(struct request *req)
{
	static char text[FILE_MAX];
	struct buf out;

	buf_init(&out, FILE_MAX);
	message_rewind(req->message, false);
	assert_int_equal(
	    message_read(req->message, &out, FILE_MAX), MESSAGE_END);
	(void)snprintf(text, sizeof(text), "%s", buf_str(&out));
	buf_fini(&out);
	return text;
}

static const char *
mapped(const struct request *req, const char *address)
{
	static char text[1000];
	struct buf out;
	enum rewriter_result result;

	buf_init(&out, sizeof(text));
	result = generic_map(&req->rules->generic, req->answers, address, &out);
	assert_true(result == REWRITER_DONE || result == REWRITER_KEPT);
	(void)snprintf(text, sizeof(text), "%s",
	    result == REWRITER_DONE ? buf_str(&out) : "kept");
	buf_fini(&out);
	return text;
}

static void
lookahead_asks_for_envelope_and_headers_and_no_more(void **state)
{
	struct queue_source source;
	struct buf file;
	struct request *req;

	(void)state;
	open_tables(5000);
	req = request_of("a@in.example", "here@in.example",
	    "To: a@in.example, bare+x@in.example,\n u@all.example\n"
	    "Subject: subject@in.example",
	    &source, &file);
	foresee(req);
	assert_true(w.is_ok);
	assert_string_equal(w.asked,
	    "a@in.example bare+x@in.example u@all.example "
	    "bare@in.example @all.example ");
	assert_string_equal(content(req),
	    "To: a@out.example, x@out.example, u@out.example\r\n"
	    "Subject: subject@in.example\r\n\r\nTo: body@in.example\r\n");
	assert_string_equal(mapped(req, "a@in.example"), "a@out.example");
	assert_string_equal(mapped(req, "here@in.example"), "h@out.example");
	request_free(&req);
	/* What was answered is not asked for again so soon. */
	w.asked[0] = '\0';
	req = request_of("a@in.example", "u@all.example", "", &source, &file);
	foresee(req);
	assert_true(w.is_ok);
	assert_string_equal(w.asked, "");
	assert_string_equal(mapped(req, "u@all.example"), "u@out.example");
	request_free(&req);
	buf_fini(&file);
}

static void
lookahead_fails_what_cannot_be_answered(void **state)
{
	struct queue_source source;
	struct buf file;
	struct request *req;

	(void)state;
	open_tables(100);
	for (int i = 0; i < 3; i++) {
		/* No answer now; none at all; and then there is one. */
		static const char *const senders[] = {
		    "retry@in.example", "silent@in.example", "b@in.example"};

		w.asked[0] = '\0';
		req = request_of(
		    senders[i], "here@in.example", "", &source, &file);
		foresee(req);
		assert_int_equal(w.is_ok, i == 2);
		assert_non_null(strstr(w.asked, senders[i]));
		request_free(&req);
		buf_fini(&file);
	}
}

static void
lookahead_of_many_fails_them_together(void **state)
{
	struct request *reqs[20];
	struct queue_source sources[20];
	struct buf files[20];

	(void)state;
	/* Each for itself would take twenty times as long. */
	open_tables(1000);
	for (int i = 0; i < 20; i++) {
		reqs[i] = request_of("silent@in.example", "here@in.example", "",
		    &sources[i], &files[i]);
		lookahead_begin(w.lookahead, reqs[i]);
	}
	assert_int_equal(lookahead_count(w.lookahead), 20);
	while (w.told < 20) {
		loop_once(w.loop);
		assert_true(w.told == 0 || w.told == 20);
	}
	assert_string_equal(w.asked, "silent@in.example ");
	for (int i = 0; i < 20; i++) {
		request_free(&reqs[i]);
		buf_fini(&files[i]);
	}
}

static void
lookahead_that_is_dropped_is_silent(void **state)
{
	struct queue_source source, other_source;
	struct buf file, other_file;
	struct request *req, *other;

	(void)state;
	open_tables(5000);
	req = request_of("a@in.example", "here@in.example", "", &source, &file);
	other = request_of(
	    "c@in.example", "here@in.example", "", &other_source, &other_file);
	lookahead_begin(w.lookahead, req);
	lookahead_begin(w.lookahead, other);
	assert_true(lookahead_drop(w.lookahead, req));
	assert_false(lookahead_drop(w.lookahead, req));
	request_free(&req);
	while (w.told == 0)
		loop_once(w.loop);
	assert_ptr_equal(w.done, other);
	assert_string_equal(mapped(other, "c@in.example"), "kept");
	assert_false(lookahead_drop(w.lookahead, other));
	request_free(&other);
	buf_fini(&file);
	buf_fini(&other_file);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(lookahead_asks_for_envelope_and_headers_and_no_more),
	    TEST(lookahead_fails_what_cannot_be_answered),
	    TEST(lookahead_of_many_fails_them_together),
	    TEST(lookahead_that_is_dropped_is_silent),
	};

	return cmocka_run_group_tests_name("lookahead", tests, NULL, NULL);
}
