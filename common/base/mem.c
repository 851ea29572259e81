#include "common/base/mem.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"

static void *
checked(void *p)
{
	if (p == NULL)
		log_fatal("out of memory");
	return p;
}

void *
mem_alloc(size_t n)
{
	return checked(malloc(n ? n : 1));
}

void *
mem_zalloc(size_t n)
{
	return checked(calloc(1, n ? n : 1));
}

void *
mem_zarray(size_t count, size_t size)
{
	CHECK(size > 0 && count <= SIZE_MAX / size);
	return checked(calloc(count ? count : 1, size));
}

void *
mem_realloc(void *p, size_t n)
{
	return checked(realloc(p, n ? n : 1));
}

char *
mem_strdup(const char *s)
{
	return mem_strndup(s, strlen(s));
}

char *
mem_strndup(const char *s, size_t n)
{
	size_t len = strnlen(s, n);
	char *copy = mem_alloc(len + 1);

	memcpy(copy, s, len);
	copy[len] = '\0';
	return copy;
}

char *
mem_printf(const char *format, ...)
{
	char *text = NULL;
	va_list ap;
	int n;

	va_start(ap, format);
	n = vasprintf(&text, format, ap);
	va_end(ap);
	if (n < 0)
		log_fatal("out of memory");
	return text;
}

void
mem_free(void *p)
{
	free(p);
}

void
mem_wipe(void *p, size_t n)
{
	if (p != NULL && n > 0)
		explicit_bzero(p, n);
}
